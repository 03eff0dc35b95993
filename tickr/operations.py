"""The operation: one wish about many jobs, to retry, say, all that match a filter, and how its events tell it. Pure.

An operation is a row with a place (``cursor``): what lies before it has been dealt with. Whoever goes on with it moves
the place in the transaction that changes the jobs, so that of any number of nodes one does each part, once. It goes
through the jobs from the newest to the oldest, those that were there when it began; what may be done to it is in
``operation_moves.py``, what it does to jobs in ``store/operation_changes.py``.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from tickr.edits import NO_EDIT, Edit
from tickr.events import ThingEvent
from tickr.filters import EVERYTHING, Filter, matcher
from tickr.instants import rfc3339
from tickr.jobs import FINAL, WAITING, Job, State

DEFAULT_RATE, MIN_RATE, MAX_RATE = 200.0, 0.1, 5_000.0
"""Jobs a second."""
MOST_AT_ONCE = 200
"""Jobs of one step: of one transaction."""
STEPS_A_SECOND = 4
MOST_BEHIND_US = 1_000_000
"""What was not done in time is made up for as far as this, in microseconds; the rest only comes later."""
PROGRESS_US = 1_000_000
"""Progress is told no more often."""
MAX_IDS = 1_000
MAX_RUNNING = 20
"""Operations that run at a time."""
MAX_KEPT, KEPT_US = 1_000, 7 * 86_400 * 1_000_000
"""So many operations that have ended are kept, and so long."""

Action = Literal["retry", "cancel", "edit", "delete"]
CANCELLABLE = tuple(state for state in State if state not in FINAL)
DEFAULT_STATES: dict[Action, tuple[State, ...]] = {
    "retry": (State.FAILED,),
    "cancel": CANCELLABLE,
    "edit": tuple(state for state in CANCELLABLE if state is not State.RUNNING),
    "delete": (State.SUCCEEDED, State.FAILED, State.CANCELLED),
}
"""The states that are meant where none is named."""
ALLOWED_STATES: dict[Action, frozenset[State]] = {
    "retry": FINAL,
    "cancel": frozenset(CANCELLABLE),
    "edit": frozenset(CANCELLABLE),
    "delete": frozenset(State) - {State.RUNNING},
}

Place = tuple[int, str]
"""The ``(created_at, id)`` of a job."""


class Operation(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operation as the store has it. Instants are microseconds since 1970 UTC.

    Attributes:
      which: the jobs that are meant, always with states. ``ids``: only these, sorted; empty: any.
      edit: what is changed about the jobs that are retried or edited. ``reason``: for those that are cancelled.
      rate: jobs a second.
      total, exact: how many matched when it was asked for; not ``exact``: so many or more.
      created_at: what came in after that is not touched.
      cursor: everything newer was dealt with; None: nothing yet. With ``ids``, the last id that was.
      version: raised by every step, which names the one it goes on from.
      done: jobs that were changed. skipped: those that matched, but not any more when their turn came, or whose unique
        key another job holds.
      due_at: when the next step may be made; None once it has ended.
      told, told_at: how many events there were of it, and when the last.
    """

    id: str
    action: Action
    which: Filter
    ids: tuple[str, ...] = ()
    edit: Edit = NO_EDIT
    reason: str | None = None
    rate: float = DEFAULT_RATE
    total: int = 0
    exact: bool = True
    state: Literal["running", "done", "stopped"] = "running"
    created_at: int = 0
    finished_at: int | None = None
    due_at: int | None = None
    cursor: Place | str | None = None
    version: int = 1
    done: int = 0
    skipped: int = 0
    told: int = 0
    told_at: int = 0

    @property
    def step_size(self) -> int:
        """How many jobs a step is about at most."""
        return max(1, min(MOST_AT_ONCE, math.ceil(self.rate / STEPS_A_SECOND)))

    @property
    def why(self) -> str:
        """What stands in the error of a job that it cancels."""
        return self.reason or f"operation {self.id}"

    def same_wish(self, other: Operation) -> bool:
        """Whether ``other`` asks for the same."""
        same = all(getattr(self, name) == getattr(other, name) for name in ("action", "which", "ids", "reason"))
        return same and self.edit.same(other.edit)

    def takes(self, job: Job, now: int) -> bool:
        """Whether ``job``, as it is now, is one that is meant, and was when this began.

        What ended, was started over or (where only running jobs are meant) was started since then was not. Of a job
        that waits nobody can say more than that it was submitted before.
        """
        begun = self.created_at
        if not matcher(self.which)(job, now) or job.created_at > begun or job.cancel_requested:
            return False
        if job.state in FINAL and (job.finished_at or 0) > begun:
            return False
        if job.state is State.RUNNING and not _WAITING_OUTSIDE.intersection(self.which.states):
            return (job.started_at or 0) <= begun
        return not (job.extras.redrives and job.extras.redrives[-1].at > begun)


_WAITING_OUTSIDE = WAITING | {State.SCHEDULED, State.BLOCKED}


def filtered(action: Action, which: Filter) -> Filter:
    """Return ``which`` with the states that are meant where it names none."""
    return which if which.states else msgspec.structs.replace(which, states=DEFAULT_STATES[action])


def unbounded(which: Filter, ids: tuple[str, ...]) -> bool:
    """Whether nothing is said of which jobs are meant."""
    return which == EVERYTHING and not ids


# -- what is told -----------------------------------------------------------------------------------------------------


class Summary(msgspec.Struct, frozen=True):
    """An operation as events tell it: all but which jobs it is about."""

    id: str
    action: str
    state: str
    rate: float
    total: int
    exact: bool
    done: int
    skipped: int
    created_at: str
    finished_at: str | None


class _Data(msgspec.Struct, frozen=True):
    operation: Summary


_encode = msgspec.json.Encoder().encode


def told(operation: Operation, what: str, now: int) -> tuple[Operation, ThingEvent]:
    """Return the operation, of which one more event is told, and that event."""
    operation = msgspec.structs.replace(operation, told=operation.told + 1, told_at=now)
    data = msgspec.Raw(_encode(_Data(_summary(operation))))
    return operation, ThingEvent(f"operation.{what}", now, operation.id, str(operation.told), data)


def _summary(one: Operation) -> Summary:
    return Summary(
        id=one.id,
        action=one.action,
        state=one.state,
        rate=one.rate,
        total=one.total,
        exact=one.exact,
        done=one.done,
        skipped=one.skipped,
        created_at=rfc3339(one.created_at),
        finished_at=None if one.finished_at is None else rfc3339(one.finished_at),
    )
