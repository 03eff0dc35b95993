"""What a store method changes, computed from the records it has read. Pure; shared by all adapters.

In come jobs as they are stored (locked, or in a transaction that is checked by ``version`` and ``fence`` when it
writes) and the store's ``now``; out go ``Change``s. ``tickr/jobs.py`` says what a move does to a job, this says which
moves a method makes. An adapter then writes what ``written`` makes of them, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from tickr import editing, events, jobs
from tickr.attempts import MAX_KEPT
from tickr.edits import NO_EDIT, Edit
from tickr.envelopes import same_text
from tickr.errors import DuplicateJob, IllegalTransition, VersionMismatch
from tickr.events import Change
from tickr.jobs import FINAL, NO_EXTRAS, WAITING, Attempt, Job, NewJob, Progress, State
from tickr.links import End
from tickr.names import may_run, node_of_queue
from tickr.queues import Gate, Hold, in_order
from tickr.reasons import LEASE_LOST, Failure, node_gone, on_request
from tickr.reports import Checkpoint, Lines, Note, Outcome
from tickr.store.contract import Start
from tickr.store.ended import NONE as NOT_WRITTEN
from tickr.store.ended import Ended

NO_GATES: Mapping[str, Gate] = {}


def insert(
    new: Sequence[NewJob], stored: Mapping[str, Job], now: int, *, whole: bool = False, start: Start | None = None
) -> tuple[list[tuple[Job, bool]], list[Change]]:
    """Return the answers in order, and for each job that is really new a change, or two where it starts at once.

    Args:
      stored: those of the new ids that exist already.
      start: see ``Store.insert``; its node has a row.
    Raises: DuplicateJob: ``whole``, and one of the ids belongs to a job with another content.
    """
    known, answers, changes = dict(stored), [], []
    for one in new:
        job, is_new = known.get(one.id), False
        if job is None:
            job, is_new = jobs.created(one, now), True
            changes.append(Change(None, job))
            if start is not None and job.id in start.ids and job.run_at <= now and not job.expired_at(now):
                changes.append(Change(job, jobs.started(job, start.node, now)))
            job = known[job.id] = changes[-1].after
        elif whole and not same_content(job, one):
            raise DuplicateJob(one.id)
        answers.append((job, is_new))
    return answers, changes


def past_gates(start: Start, new: Iterable[NewJob], controlled: Collection[str]) -> Start:
    """Return ``start`` without the jobs of queues that are not plain: those go through a claim."""
    held = {one.id for one in new if one.queue in controlled} if controlled else frozenset()
    return start._replace(ids=start.ids - held) if held else start


def inserted(changes: Iterable[Change]) -> tuple[list[Job], list[Change]]:
    """Return the jobs that one commit with ``changes`` adds, waiting or just started, and the moves that are left.

    A job that is added and cancelled in the same commit, for another with its key, is among both.
    """
    added: dict[str, Job] = {}
    moves: list[Change] = []
    for change in changes:
        if change.before is None or (change.after.state is State.RUNNING and change.after.id in added):
            added[change.after.id] = change.after
        else:
            moves.append(change)
    return [*added.values()], moves


def same_content(job: Job, new: NewJob) -> bool:
    """Whether ``new`` is ``job`` submitted again.

    Instants do not count: a client that repeats a submission with "delay" means the same job.
    """
    return (
        job.type == new.type
        and (job.extras.submitted_to or (job.queue, job.priority)) == (new.queue, new.priority)
        and (same_text(job.payload, new.payload) or (new.seal is not None and new.seal.same(job.payload)))
        and job.max_attempts == new.max_attempts
        and job.timeout_us == new.timeout_us
        and job.backoff == new.backoff
        and job.labels == new.labels
        and job.limit_key == new.limit_key
        and job.extras.unique == new.extras.unique
        and job.extras.depends_on == new.extras.depends_on
        and _sequence(job) == _sequence(new)
        and job.extras.parent == new.extras.parent
        and job.extras.max_crashes == new.extras.max_crashes
    )


def _sequence(job: Job | NewJob) -> str | None:
    return None if job.extras.sequence is None else job.extras.sequence.name


def claim(
    found: Iterable[Job],
    *,
    node: str,
    types: Collection[str],
    now: int,
    suspects: int | None = None,
    gates: Mapping[str, Gate] = NO_GATES,
    keys: Collection[str] = (),
) -> list[Change]:
    """Start those of ``found`` that may be started, in the order in which they should run; see ``Store.claim``.

    Those that have expired are ended instead; these changes come last.

    Args:
      gates: of the queues that have one, by name; they count whom they let in.
    """
    able = [
        job
        for job in found
        if job.state in WAITING
        and job.run_at <= now
        and job.type in types
        and may_run(node, job.queue)
        and (job.extras is NO_EXTRAS or readable(job, keys))
    ]
    late = [job for job in able if job.expired_at(now)]
    if late:
        able = [job for job in able if not job.expired_at(now)]
    able.sort(key=lambda job: (job.priority, job.run_at, job.id))
    if suspects is not None:
        too_many = {job.id for job in [job for job in able if job.suspect][suspects:]}
        able = [job for job in able if job.id not in too_many]
    if gates:
        if newest := [gate.name for gate in gates.values() if gate.newest_first]:
            able = list(in_order(able, newest))
        able = [job for job in able if job.queue not in gates or gates[job.queue].admit(job)]
    return [Change(job, jobs.started(job, node, now)) for job in able] + end_expired(late, now)


def readable(job: Job, keys: Collection[str]) -> bool:
    """Whether who has ``keys`` can read ``job``: it is not encrypted, or with one of them."""
    return job.extras.sealed is None or job.extras.sealed in keys


def started(made: Iterable[Change]) -> tuple[list[Change], list[Change]]:
    """Return those of the changes of a claim that start jobs, and the others."""
    starts, others = list[Change](), list[Change]()
    for change in made:
        (starts if change.after.state is State.RUNNING else others).append(change)
    return starts, others


def end_expired(found: Iterable[Job], now: int) -> list[Change]:
    """End those of ``found`` that wait although they have expired, the first first; see ``Store.end_expired``."""
    late = [job for job in found if job.expires and job.expired_at(now)]
    late.sort(key=lambda job: (job.extras.expires_at or 0, job.id))
    return [Change(job, jobs.expired(job, now)) for job in late]


def finish(
    outcomes: Sequence[Outcome], stored: Mapping[str, Job], now: int, written: Mapping[str, Ended] = NOT_WRITTEN
) -> list[Change | None]:
    """Return the change of each outcome, in order; None where that attempt is over already.

    Args:
      written: ends that the handlers of those attempts have written themselves, by id.
    """
    changes: list[Change | None] = []
    for outcome in outcomes:
        job = stored.get(outcome.job.id)
        if job is None or job.state is not State.RUNNING or begun(job) != begun(outcome.job):
            changes.append(None)
        else:
            if job.id in written:
                outcome = written[job.id].settle(outcome)
            after = outcome.apply(job, now)
            again = after.state is State.READY or (after.state is State.BLOCKED and after.closing is None)
            changes.append(Change(job, after, outcome.failure if again else None))
    return changes


Begun = tuple[int, int | None]
"""By what an attempt is known, among all of the jobs that there were under an id: its fence, and when it began."""


def begun(job: Job) -> Begun:
    """Return by what the attempt of ``job`` is known. A job that came later under the same id began later."""
    return job.fence, job.started_at


def holds(outcomes: Sequence[Outcome], made: Sequence[Change | None]) -> list[Hold]:
    """Return by name which queues are held up by outcomes, and for how long: the longest counts.

    Args:
      made: the change of each; an attempt that was over already holds nothing up.
    """
    found: dict[str, Hold] = {}
    for outcome, change in zip(outcomes, made, strict=True):
        if outcome.hold_us and change is not None and node_of_queue(outcome.job.queue) is None:
            queue = outcome.job.queue
            hold = Hold(queue, outcome.hold_us, outcome.job.id.replace("-", "")[-16:])
            found[queue] = max(hold, found.get(queue, hold))
    return sorted(found.values())


def relocated(outcomes: Sequence[Outcome], made: Sequence[Change | None]) -> list[str]:
    """Return by name the queues into which outcomes have put their jobs: they may be new. ``made``: see ``holds``."""
    both = zip(outcomes, made, strict=True)
    return sorted({change.after.queue for outcome, change in both if outcome.queue is not None and change is not None})


def cancel(job: Job, version: int | None, now: int, reason: str | None = None) -> Change | None:
    """Return the change that a wish to cancel makes, or None when there is nothing to do.

    A request to a running job is a change without a move: same state, same version, no event. The first counts.
    Raises: IllegalTransition, VersionMismatch.
    """
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    if End.CANCELLED in (job.state, job.closing) or job.cancel_requested:
        return None
    if job.state is State.RUNNING:
        extras = msgspec.structs.replace(job.extras, cancel_reason=reason)
        return Change(job, msgspec.structs.replace(job, cancel_requested=True, extras=extras))
    if job.state in (State.SUCCEEDED, State.FAILED) or job.closing is End.FAILED:
        raise IllegalTransition(job.id, job.closing or job.state, "cancelled")
    return Change(job, jobs.cancelled(job, on_request(reason), now))


def redrive(job: Job, version: int | None, now: int, edit: Edit = NO_EDIT, operation: str | None = None) -> Change:
    """Raises: IllegalTransition, NotEditable, VersionMismatch, CannotOpen."""
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    editing.stays_on_its_node(job, edit)
    return Change(job, jobs.redriven(job, now, edit, operation))


def edited(made: Iterable[Change]) -> list[Job]:
    """Return the jobs of which more was changed than any move does: ``edits.EDITABLE`` are to be written, too."""
    return [change.after for change in made if change.edited]


def edit(job: Job, version: int | None, now: int, edit: Edit) -> Change | None:
    """Return what changes ``job``, which has not ended, or None when nothing is different.

    Raises: NotEditable, VersionMismatch, CannotOpen.
    """
    if version is not None and version != job.version:
        raise VersionMismatch(job.id, job.version)
    after, names = editing.edited(job, edit, now)
    return Change(job, after, changed=names) if names else None


def reap(lost: Iterable[Job], now: int, written: Mapping[str, Ended] = NOT_WRITTEN) -> list[Change]:
    """Take back jobs whose node has no live row. ``written``: as for ``finish``; those have succeeded."""
    taken_back = []
    for job in lost:
        end = written.get(job.id)
        after = jobs.crashed(job, now) if end is None else jobs.succeeded(job, end.result, now)
        taken_back.append(Change(job, after, _lost(after)))
    return taken_back


def abandon(found: Iterable[Job], now: int) -> list[Change]:
    """End those of ``found`` that wait for a node which is gone: nobody else may run them."""
    return [
        Change(job, jobs.cancelled(job, node_gone(node_of_queue(job.queue)), now))
        for job in found
        if job.state in WAITING
    ]


def _lost(after: Job) -> Failure | None:
    return LEASE_LOST if after.state is State.READY else None


Said = TypeVar("Said", Note, Lines)


def of_running(said: Iterable[Said], running: Mapping[str, Begun]) -> list[Said]:
    """Return those of ``said`` whose attempt still runs. ``running``: that of each running job, by id."""
    return [one for one in said if running.get(one.job.id) == begun(one.job)]


def to_trim(said: Iterable[Lines]) -> list[str]:
    """Return the ids of the jobs of which lines that are too many are to be looked for, in order."""
    return sorted({one.job.id for one in said if one.trim})


def progress(notes: Iterable[Note]) -> dict[str, Progress]:
    """Return what the jobs of ``notes`` show after them, by id: the last of each; a line of a log shows nothing."""
    return {note.job.id: note.progress for note in notes if note.progress is not None}


CHECKPOINT_LOOK_US = 600 * 1_000_000
"""So long after a checkpoint was kept, or looked at, it is looked at whether its job has ended, in microseconds."""


def checkpoints(kept: Iterable[Checkpoint], running: Mapping[str, Begun]) -> dict[str, Checkpoint]:
    """Return the last of ``kept`` of each job whose attempt still runs. ``running``: as for ``kept``."""
    return {one.job.id: one for one in kept if running.get(one.job.id) == begun(one.job)}


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

    ``body`` is None when nothing moved: then there is no row. ``expiries`` and ``spent`` are the rows that come and go
    as jobs that expire begin and cease to wait, ``removals`` and ``spared`` those as jobs with an age of their own end
    and are started over: mostly none. ``restarted`` are the jobs that begin anew, or with another payload, and lose
    their checkpoints.
    """

    attempts: list[tuple[str, Attempt]]
    told: int
    body: str | None
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
    waits: dict[Expiry, bool] = {}
    ends: dict[Removal, bool] = {}
    for change in changes:
        before, after = change.before, change.after
        if before is not None and before.version == after.version:
            continue
        told.append(change.event(now))
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
    return Written(attempts, len(told), events.encode(told) if told else None, *rows, restarted)


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
