"""What the changes of a commit put into the tables beside the jobs: attempts, a row of events, rows to find jobs by.

Pure; shared by all adapters, which write what ``written`` returns and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tickr import events, tallies
from tickr.attempts import MAX_KEPT
from tickr.events import Change
from tickr.jobs import FINAL, Attempt, Job
from tickr.tallies import Tally

Expiry = tuple[int, str]
"""The ``expires_at`` and the id of a job that waits: a row of ``expiries``."""


Removal = tuple[int, str]
"""When a job that has ended is not kept any longer, by an age of its own, and its id: a row of ``removals``."""


def removal(job: Job) -> Removal | None:
    """Return the row of ``removals`` that ``job`` has: none but for one that has ended and has an age of its own."""
    if job.extras.keep_us is None or job.state not in FINAL or job.finished_at is None:
        return None
    return job.finished_at + job.extras.keep_us, job.id


class Written(NamedTuple):
    """What goes into the tables besides the jobs: attempt rows, and one row of events, ``told`` of them in ``body``.

    ``body`` is None when nothing moved: then there is no row, and no ``tally``, which goes along in it. ``expiries``
    and ``spent`` are the rows that come and go as jobs that expire begin and cease to wait, ``removals`` and ``spared``
    those as jobs with an age of their own end and are started over: mostly none. ``restarted`` are the jobs that begin
    anew, or with another payload, and lose their checkpoints.
    """

    attempts: list[tuple[str, Attempt]]
    told: int
    body: str | None
    tally: Tally | None
    expiries: list[Expiry]
    spent: list[Expiry]
    removals: list[Removal]
    spared: list[Removal]
    restarted: list[str]

    @property
    def outdated(self) -> list[tuple[str, int]]:
        """Up to which fence, itself included, the attempts of which jobs are not kept any more."""
        return [(id_, one.fence - MAX_KEPT) for id_, one in self.attempts if one.fence > MAX_KEPT]


def written(changes: Iterable[Change], now: int) -> Written:
    """Return the rows that one commit with ``changes`` adds."""
    attempts, told, restarted = [], [], []
    counting = tallies.Counting(now)
    waits: dict[Expiry, bool] = {}
    ends: dict[Removal, bool] = {}
    for change in changes:
        before, after = change.before, change.after
        if before is not None and before.version == after.version:
            continue
        told.append(change.event(now))
        counting.add(told[-1], before)
        if (attempt := change.attempt(now)) is not None:
            attempts.append((after.id, attempt))
        if after.extras.expires_at is not None or "expires_at" in change.changed:
            _note_expiry(waits, before, after)
        if after.extras.keep_us is not None:
            gone, come = None if before is None else removal(before), None if change.deleted else removal(after)
            _note_removal(ends, gone, come)
        if "payload" in change.changed or (before and before.state in FINAL and after.state not in FINAL):
            restarted.append(after.id)
    rows = (_that_hold(waits, True), _that_hold(waits, False), _that_hold(ends, True), _that_hold(ends, False))
    body, tally = (events.encode(told), counting.tally()) if told else (None, None)
    return Written(attempts, len(told), body, tally, *rows, restarted)


def _that_hold(found: dict[tuple[int, str], bool], wanted: bool) -> list[tuple[int, str]]:
    return [one for one, holds in found.items() if holds is wanted]


def _note_removal(ends: dict[Removal, bool], gone: Removal | None, come: Removal | None) -> None:
    if gone is not None and ends.pop(gone, None) is None:
        ends[gone] = False
    if come is not None:
        ends[come] = True


def _note_expiry(waits: dict[Expiry, bool], before: Job | None, after: Job) -> None:
    was, is_ = _expiry(before), _expiry(after)
    if was == is_:
        return
    for expiry, holds in ((was, False), (is_, True)):
        if expiry in waits:  # stored and started in one commit
            del waits[expiry]
        elif expiry is not None:
            waits[expiry] = holds


def _expiry(job: Job | None) -> Expiry | None:
    """Return the row that there is of ``job`` while it waits."""
    if job is None or job.extras.expires_at is None or not job.expires:
        return None
    return job.extras.expires_at, job.id
