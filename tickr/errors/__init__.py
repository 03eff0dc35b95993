"""What can go wrong, as types. Whose fault it is can be read from the branch:

    TickrError
    ├── ConfigError(faults)            the operator's: all faults of flags, variables and file at once
    ├── SpecRejected(pointer, problem) the submitter's: the job as described cannot be taken
    │   ├── DependencyMissing(missing) it depends on jobs that are not stored
    │   └── DependencyCycle(cycle)     jobs of one request depend on each other in a circle
    ├── BatchTooLarge(size_bytes)      the submitter's: more than one transaction carries
    ├── Overloaded(retry_after_s)      nobody's: intake is full, come back
    ├── JobError(job_id)               the caller's
    │   ├── AttemptOver                a handler's: its attempt has ended, and submits nothing any more
    │   ├── JobNotFound
    │   ├── IllegalTransition          the job is not in a state from which this can be done
    │   ├── NotEditable                it has ended, or runs, and that cannot be changed any more
    │   ├── NotDeletable               it has not ended, or others need it still
    │   ├── DuplicateJob               the id is taken by a different job
    │   ├── UniqueConflict(refused)    another job holds the unique key
    │   ├── KeyReused                  the idempotency key was used for another request
    │   └── VersionMismatch            the job has moved on since the caller looked
    ├── CannotOpen(key)                what is encrypted can not be read here
    │   └── BadSignature               a job is not signed as it must be to be run
    ├── QueueError(queue)              the caller's
    │   ├── QueueNotFound
    │   └── QueueNotEmpty              jobs that have not ended are in it
    ├── NodeError(node_id)             the caller's
    │   ├── NodeNotFound
    │   └── TakesNoOrders
    ├── ScheduleError(schedule)        the caller's
    │   ├── ScheduleNotFound
    │   ├── ScheduleExists             it was to be a new one
    │   ├── ScheduleMismatch           the schedule was changed since the caller looked
    │   └── TooManySchedules
    ├── LeaseError(lease)              the remote worker's
    │   ├── LeaseLost                  it has ended, and its jobs are others'
    │   └── LeaseMismatch              it was taken for something else
    ├── OperationError(operation)      the caller's
    │   ├── OperationNotFound
    │   ├── OperationExists            the id is taken by a different operation
    │   └── TooManyOperations
    ├── TokenError(token)              the caller's
    │   ├── TokenNotFound
    │   ├── TokenExists                another that is good has the name
    │   ├── TokenOver                  it is revoked or expired
    │   └── TooManyTokens
    ├── FeedError                      the subscriber's
    │   ├── CursorInvalid              this is no cursor
    │   ├── CursorExpired              what follows it is no longer kept, or it is of another history
    │   └── TooSlow(cursor)            it does not keep up; come back with the cursor
    ├── StoreError                     the world's
    │   ├── StoreUnavailable(outcome_unknown)
    │   └── SchemaMismatch
    ├── LifespanFailed                 the application's; the node ends
    └── IndexUnavailable               the world's; logged and worked round, never shown to a client

Every error has a stable ``code``; HTTP statuses are given to them in ``tickr/api/problems.py`` and nowhere else.
What a *handler* may raise (``RetryLater``, ``GiveUp``) is another family, in ``tickr/worker/endings.py``.
"""

from __future__ import annotations

from tickr.errors.base import BadSignature as BadSignature
from tickr.errors.base import BatchTooLarge as BatchTooLarge
from tickr.errors.base import CannotOpen as CannotOpen
from tickr.errors.base import ConfigError as ConfigError
from tickr.errors.base import Overloaded as Overloaded
from tickr.errors.base import TickrError as TickrError
from tickr.errors.jobs import AttemptOver as AttemptOver
from tickr.errors.jobs import DependencyCycle as DependencyCycle
from tickr.errors.jobs import DependencyMissing as DependencyMissing
from tickr.errors.jobs import DuplicateJob as DuplicateJob
from tickr.errors.jobs import IllegalTransition as IllegalTransition
from tickr.errors.jobs import JobError as JobError
from tickr.errors.jobs import JobNotFound as JobNotFound
from tickr.errors.jobs import KeyReused as KeyReused
from tickr.errors.jobs import NotDeletable as NotDeletable
from tickr.errors.jobs import NotEditable as NotEditable
from tickr.errors.jobs import SpecRejected as SpecRejected
from tickr.errors.jobs import UniqueConflict as UniqueConflict
from tickr.errors.jobs import VersionMismatch as VersionMismatch
from tickr.errors.things import LeaseError as LeaseError
from tickr.errors.things import LeaseLost as LeaseLost
from tickr.errors.things import LeaseMismatch as LeaseMismatch
from tickr.errors.things import NodeError as NodeError
from tickr.errors.things import NodeNotFound as NodeNotFound
from tickr.errors.things import OperationError as OperationError
from tickr.errors.things import OperationExists as OperationExists
from tickr.errors.things import OperationNotFound as OperationNotFound
from tickr.errors.things import QueueError as QueueError
from tickr.errors.things import QueueNotEmpty as QueueNotEmpty
from tickr.errors.things import QueueNotFound as QueueNotFound
from tickr.errors.things import ScheduleError as ScheduleError
from tickr.errors.things import ScheduleExists as ScheduleExists
from tickr.errors.things import ScheduleMismatch as ScheduleMismatch
from tickr.errors.things import ScheduleNotFound as ScheduleNotFound
from tickr.errors.things import TakesNoOrders as TakesNoOrders
from tickr.errors.things import TokenError as TokenError
from tickr.errors.things import TokenExists as TokenExists
from tickr.errors.things import TokenNotFound as TokenNotFound
from tickr.errors.things import TokenOver as TokenOver
from tickr.errors.things import TooManyOperations as TooManyOperations
from tickr.errors.things import TooManySchedules as TooManySchedules
from tickr.errors.things import TooManyTokens as TooManyTokens
from tickr.errors.world import CursorExpired as CursorExpired
from tickr.errors.world import CursorInvalid as CursorInvalid
from tickr.errors.world import FeedError as FeedError
from tickr.errors.world import IndexUnavailable as IndexUnavailable
from tickr.errors.world import LifespanFailed as LifespanFailed
from tickr.errors.world import SchemaMismatch as SchemaMismatch
from tickr.errors.world import StoreError as StoreError
from tickr.errors.world import StoreUnavailable as StoreUnavailable
from tickr.errors.world import TooSlow as TooSlow
from tickr.errors.world import told as told
