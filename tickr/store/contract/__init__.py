"""What every store promises; ``tests/store`` holds each adapter (memory, SQLite, MySQL/MariaDB) to it.

A store method is one transaction: it happens whole or not at all, its ``events`` row included. Instants are
microseconds since 1970 UTC *by the store's own clock*, which alone decides what is due. Who is alive no clock decides
but the row: a node is alive while its row is there, however the store's clock steps (``nodes``, ``expire``).

Errors common to all methods: ``StoreUnavailable`` when the store cannot be reached or does not answer in time; nothing
was changed unless its ``outcome_unknown`` is set, which the adapters resolve by reading back before they give up.

Which moves a method makes is computed by ``store/changes.py`` for every adapter (what keys have to do with it by
``store/keys.py``, what other jobs have by ``store/links.py``), and the rows that a commit adds besides the jobs by its
``written``; ``store/rows.py`` is how the SQL stores write a job, ``store/migrate.py`` which schema they need.

Cancellation: all or nothing, like every other failure. A method cut before COMMIT changed nothing; cut after it, the
change stands and nobody was told. What that can leave behind is described where it matters (``claim``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tickr.jobs import State
from tickr.store.answers import COUNT_TO as COUNT_TO
from tickr.store.answers import LOOK_AT as LOOK_AT
from tickr.store.answers import Check as Check
from tickr.store.answers import DueOperations as DueOperations
from tickr.store.answers import DuePlace as DuePlace
from tickr.store.answers import DueSchedules as DueSchedules
from tickr.store.answers import Expired as Expired
from tickr.store.answers import Fate as Fate
from tickr.store.answers import FeedState as FeedState
from tickr.store.answers import Filter as Filter
from tickr.store.answers import Group as Group
from tickr.store.answers import InboxRow as InboxRow
from tickr.store.answers import Keyed as Keyed
from tickr.store.answers import MovedSchedule as MovedSchedule
from tickr.store.answers import Page as Page
from tickr.store.answers import Place as Place
from tickr.store.answers import Pruned as Pruned
from tickr.store.answers import QueueDepth as QueueDepth
from tickr.store.answers import RefusedRow as RefusedRow
from tickr.store.answers import ScanPosition as ScanPosition
from tickr.store.answers import Start as Start
from tickr.store.answers import Tally as Tally
from tickr.store.backlog import AgePlace as AgePlace
from tickr.store.change_answers import Edited as Edited
from tickr.store.change_answers import MovedOperation as MovedOperation
from tickr.store.contract.access import Access
from tickr.store.contract.backlog import Backlog
from tickr.store.contract.checkpoints import Checkpoints
from tickr.store.contract.editing import Editing
from tickr.store.contract.encrypted import Encrypted
from tickr.store.contract.inbox import Inbox
from tickr.store.contract.job_log import JobLog
from tickr.store.contract.links import Links
from tickr.store.contract.log import Log
from tickr.store.contract.nodes import Nodes
from tickr.store.contract.operations import Operations
from tickr.store.contract.queues import Queues
from tickr.store.contract.retention import Retention
from tickr.store.contract.schedules import Schedules
from tickr.store.contract.statistics import Statistics
from tickr.store.contract.submissions import Submissions
from tickr.store.contract.waiting import Waiting
from tickr.store.contract.work import Work
from tickr.store.link_answers import LinkPage as LinkPage
from tickr.store.link_answers import LinkPlace as LinkPlace
from tickr.store.link_answers import Refused as Refused
from tickr.store.link_answers import Settled as Settled
from tickr.store.node_answers import REMOTE as REMOTE
from tickr.store.node_answers import AtWork as AtWork
from tickr.store.node_answers import Node as Node
from tickr.store.node_answers import Running as Running
from tickr.store.retention_answers import Edge as Edge
from tickr.store.retention_answers import Removed as Removed
from tickr.store.sealed import KeyUse as KeyUse
from tickr.store.sealed import KeyUses as KeyUses
from tickr.store.sealed import Resealed as Resealed
from tickr.store.sealed import keys_for as keys_for
from tickr.store.sums import LogRow as LogRow
from tickr.store.sums import Mark as Mark
from tickr.store.sums import Span as Span
from tickr.store.sums import SumPlace as SumPlace
from tickr.store.sums import Sums as Sums
from tickr.store.sums import Tallied as Tallied
from tickr.store.sums import Untallied as Untallied
from tickr.store.use import Lane as Lane
from tickr.store.use import StoreUse as StoreUse

Clock = Callable[[], int]
"""Returns the current instant in microseconds since 1970 UTC. Given to a store only by tests."""


def wall_clock() -> int:
    """The clock of the stores that run in this process."""
    return time.time_ns() // 1000


def us_of(seconds: float) -> int:
    """Return seconds as the microseconds in which stores reckon."""
    return int(seconds * 1_000_000)


MAX_BATCH = 1_000
"""No method takes more items than this at once, in items; callers split."""

STATE_CODES: dict[State, int] = {
    State.READY: 1,
    State.RETRYING: 2,
    State.BLOCKED: 3,
    State.RUNNING: 4,
    State.SUCCEEDED: 5,
    State.FAILED: 6,
    State.CANCELLED: 7,
}
"""How the SQL stores write a state. ``scheduled`` has no code: it is READY before its ``run_at``."""


class Store(
    Submissions,
    Editing,
    Queues,
    Waiting,
    Links,
    Work,
    Checkpoints,
    JobLog,
    Nodes,
    Log,
    Retention,
    Schedules,
    Operations,
    Encrypted,
    Inbox,
    Statistics,
    Backlog,
    Access,
    Protocol,
):
    """The truth. An open store; adapters are opened by their own async context managers (``open_store``).

    Its methods are in the files beside this one, by who asks.
    """

    name: str
    """``memory``, ``sqlite`` or ``mysql``."""

    writers: int
    """How many inserts are worth having in flight at once."""

    def now_us(self) -> int:
        """Return the store's clock as last seen, carried forward by this process's monotonic clock. No I/O.

        Good to plan a wake-up by; what is really due is decided by the store itself.
        """
        ...

    async def ping(self) -> None:
        """Return once the store has answered a trivial question within its deadline. Raises: StoreUnavailable."""
        ...
