"""What links make of jobs, computed from the links and jobs that a store has read. Pure; shared by all adapters.

In come new jobs that depend on others, jobs to be started over, and jobs that wait for some that have ended, locked
with their links; out go changes and the links that come and go. Whether a job is blocked is decided here and nowhere
else: when it is stored, when it is started over, and when a job that it waits for has ended (``settle``). How children
come to be is in ``children.py``.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tickr import jobs, reasons
from tickr.errors import DependencyCycle, DependencyMissing
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.links import End, Kind, Link, OnFailure
from tickr.store import sequences
from tickr.store.sequences import Sequences

MAX_SETTLED = 100
"""So many jobs that wait are settled by one transaction at most."""


# -- new jobs ---------------------------------------------------------------------------------------------------------


def has_dependencies(new: Iterable[NewJob]) -> bool:
    return any(one.extras.depends_on is not None for one in new)


def needed(new: Iterable[NewJob]) -> set[str]:
    """Return the ids of all jobs that ``new`` depend on."""
    return {id_ for one in new if (after := one.extras.depends_on) is not None for id_ in after.jobs}


def together(new: Sequence[NewJob]) -> set[int]:
    """Return the places of those that depend on others of ``new``, and of these others.

    If there are such, those in sequences go with them: else their order would not be that of the request.
    """
    ids, others = {one.id for one in new}, needed(new)
    found = {at for at, one in enumerate(new) if one.id in others or not ids.isdisjoint(needed([one]))}
    return found | {at for at, one in enumerate(new) if found and one.extras.sequence is not None}


def in_order(new: Sequence[NewJob], stored: Collection[str]) -> tuple[list[int], frozenset[str]]:
    """Return the places of ``new`` in an order in which each job comes after those of them that it depends on.

    Args:
      stored: the ids of those that are stored already: whatever is said of them now, they wait for nobody here.
    Returns: also the ids of those that wait for themselves, by way of others or not; they come last.
    """
    if not has_dependencies(new):
        return [*range(len(new))], frozenset()
    first = {one.id: at for at, one in reversed([*enumerate(new)])}
    after = {at: _before(at, one, first, stored) for at, one in enumerate(new)}
    waiting: dict[int, list[int]] = {}
    for at, those in after.items():
        for other in those:
            waiting.setdefault(other, []).append(at)
    free, order = [at for at, those in after.items() if not those], list[int]()
    while free:  # a heap, so that the order stays where nothing is said against it
        order.append(at := heapq.heappop(free))
        for other in waiting.get(at, ()):
            after[other].discard(at)
            if not after[other]:
                heapq.heappush(free, other)
    rest = [at for at, those in after.items() if those]
    return order + rest, frozenset(new[at].id for at in _circling(rest, after))


def _before(at: int, one: NewJob, first: Mapping[str, int], stored: Collection[str]) -> set[int]:
    """Return the places of those that the job at ``at`` comes after; an id that comes twice is the first one's."""
    if first[one.id] != at:
        return {first[one.id]}
    if one.extras.depends_on is None or one.id in stored:
        return set()
    return {first[id_] for id_ in one.extras.depends_on.jobs if id_ in first}


def _circling(rest: Sequence[int], after: Mapping[int, set[int]]) -> set[int]:
    """Return those of ``rest`` that somebody waits for, until only circles are left (and what lies between two)."""
    left = set(rest)
    while True:
        awaited = {other for at in left for other in after[at]} & left
        if awaited == left:
            return left
        left = awaited


def fault(
    new: NewJob, stored: Collection[str], circling: Collection[str]
) -> DependencyMissing | DependencyCycle | None:
    """Return why ``new`` cannot be stored for what it depends on, or None. ``stored``: the ids of all there are."""
    after = new.extras.depends_on
    if after is None:
        return None
    if new.id in circling:
        return DependencyCycle(new.id, sorted(circling))
    missing = [id_ for id_ in after.jobs if id_ not in stored]
    return DependencyMissing(new.id, missing) if missing else None


class Begun(NamedTuple):
    """What comes of a job that waits for others, from its beginning."""

    changes: list[Change]
    links: list[Link]


def begin(job: Job, stored: Mapping[str, Job], now: int) -> Begun:
    """Return what a new job, as ``jobs.created`` has it, begins as that waits for jobs which are all among ``stored``.

    READY if all of them have ended well; at its end if one has not and that is to be its end; else BLOCKED.
    """
    awaited, sequence = awaits(job), job.extras.sequence
    ended = {id_: stored[id_].state for id_ in awaited if stored[id_].state in FINAL}
    if (end := _end(job, awaited, ended, now)) is not None:
        return Begun([Change(None, job), Change(job, end)], [])
    links = [Link(id_, job.id, Kind.DEPENDENCY) for id_ in awaited if id_ not in ended]
    if sequence is not None and sequence.after is not None:
        links = in_turn(links, [Link(sequence.after, job.id, Kind.SEQUENCE)])
    return Begun([Change(None, job if links else msgspec.structs.replace(job, state=State.READY))], links)


def _end(job: Job, looked_at: Iterable[str], ended: Mapping[str, State], now: int) -> Job | None:
    """Return ``job`` as it ends for one of ``looked_at`` that has ended without success; None if it does not."""
    after = job.extras.depends_on
    if after is None or (policy := after.on_failure) is OnFailure.RUN:
        return None
    for id_ in looked_at:
        if (state := ended.get(id_, State.SUCCEEDED)) is not State.SUCCEEDED:
            move = jobs.failed if policy is OnFailure.FAIL else jobs.cancelled
            return move(job, reasons.dependency_failed(id_, state), now)
    return None


def in_turn(dependencies: Iterable[Link], sequence: Iterable[Link]) -> list[Link]:
    """Return the links of both kinds; one job is waited for once, and then for its turn as well."""
    return [*({link[:2]: link for link in (*dependencies, *sequence)}).values()]


# -- jobs started over ------------------------------------------------------------------------------------------------


def awaits(job: Job) -> tuple[str, ...]:
    """Return the ids of the jobs that ``redrive`` has to know of."""
    return () if job.extras.depends_on is None else job.extras.depends_on.jobs


def redrive(made: Sequence[Change], stored: Mapping[str, State], turns: Sequences) -> Begun:
    """Return what starting jobs over in one commit comes to, and their links.

    It waits for those that it depends on and that have not ended, as they run again or still. Those that have ended
    count as they are: whoever starts the job over knows of them, and wants it done all the same. And it waits for its
    turn, where it is in a sequence.

    Args:
      made: as it would be without links.
      stored: the states of those jobs of ``awaits`` that there are.
      turns: of their sequences; it has then what else is to be written.
    """
    states = dict(stored) | {change.after.id: change.after.state for change in made}
    changes, opened = list[Change](), list[Link]()
    for change in made:
        if change.after.extras.sequence is not None:
            change = turns.start_over(change)
        job = change.after
        waits_for = [id_ for id_ in awaits(job) if states.get(id_, State.SUCCEEDED) not in FINAL]
        if waits_for:
            change = Change(change.before, msgspec.structs.replace(job, state=State.BLOCKED))
        changes.append(change)
        opened.extend(Link(id_, job.id, Kind.DEPENDENCY) for id_ in waits_for)
    return Begun(changes, in_turn(opened, turns.opened))


# -- jobs that have ended ---------------------------------------------------------------------------------------------


class Settlement(NamedTuple):
    """What one commit does for jobs that wait.

    Attributes:
      changes: of them.
      gone: links that are over.
      kept: links of children that have ended, as they are to be written.
      orphans: of children that have not, and are to be cancelled.
    """

    changes: list[Change]
    gone: list[Link]
    kept: list[Link]
    orphans: list[Link]


def settle(waiters: Iterable[Job], links: Iterable[Link], ended: Mapping[str, State], now: int) -> Settlement:
    """Return what becomes of ``waiters`` now that some of those they wait for have ended.

    Args:
      waiters: locked; some of them may have ended themselves, and wait for nobody any more. So are those of ``ended``
        after whom one of them comes in a sequence (``sequences.predecessors``): they may be among these.
      links: all of theirs.
      ended: the states of those that have ended, as far as they were asked about.
    """
    made, links, waiters = Settlement([], [], [], []), list(links), list(waiters)
    turns = sequences.take_over(links, {job.id for job in waiters}, ended)
    made.gone.extend(turns.gone)
    made.kept.extend(turns.kept)
    passed = {link.waiter: link.on for link in turns.gone}
    of_waiter: dict[str, list[Link]] = {}
    for link in links:
        if link.kind is not Kind.SEQUENCE:
            of_waiter.setdefault(link.waiter, []).append(link)
    for job in sorted(waiters, key=lambda job: job.id):
        own = of_waiter.get(job.id, [])
        if job.extras.nursery is not None and job.state not in FINAL:
            after = _parent_settled(job, own, ended, now, made)
        else:
            after, gone = _settled(job, own, ended, now, passed.get(job.id), waits=job.id in turns.waiting)
            made.gone.extend(gone)
        if after is not None:
            made.changes.append(Change(job, after))
    return made


def _parent_settled(
    job: Job, links: Sequence[Link], ended: Mapping[str, State], now: int, made: Settlement
) -> Job | None:
    """Return what a job with children becomes, None if it stays; and put what is done with ``links`` into ``made``."""
    assert job.extras.nursery is not None, "only jobs with children are asked about"
    links = [link._replace(kind=child_kind(ended.get(link.on))) if link.kind is Kind.CHILD else link for link in links]
    left = [link for link in links if link.kind is Kind.CHILD]
    bad = [] if job.extras.nursery.lenient else [link.on for link in links if link.kind is Kind.FAILED_CHILD]
    done = job.closing is not None and not left
    if done:
        made.gone.extend(links)
    else:
        made.kept.extend(link for link in links if link.kind > Kind.CHILD and link.on in ended)
    if job.state is not State.BLOCKED:
        return None
    if job.closing is None:
        return jobs.unblocked(job, now) if bad or not left else None
    if bad or job.closing is not End.SUCCEEDED:
        made.orphans.extend(left)
    if not done:
        return None
    failure = reasons.child_failed(bad[0], len(bad) - 1) if bad and job.closing is End.SUCCEEDED else None
    return jobs.closed(job, now, failure)


def child_kind(state: State | None) -> Kind:
    """Return the kind of the link from a child in ``state`` to its parent. None: it has not ended."""
    if state is State.SUCCEEDED:
        return Kind.SUCCEEDED_CHILD
    return Kind.FAILED_CHILD if state in FINAL else Kind.CHILD


def _settled(
    job: Job, links: Sequence[Link], ended: Mapping[str, State], now: int, passed: str | None, *, waits: bool
) -> tuple[Job | None, Sequence[Link]]:
    """Return what ``job`` becomes, None if it stays, and those of its links that are over.

    Args:
      passed: whom it was next to in its sequence, and is no more. waits: it is next to somebody.
    """
    if job.state is not State.BLOCKED:
        return None, links
    over = [link for link in links if link.on in ended]
    looked_at = [link.on for link in over] + ([passed] if passed in awaits(job) else [])
    if (end := _end(job, looked_at, ended, now)) is not None:
        return end, links
    return (jobs.unblocked(job, now) if len(over) == len(links) and not waits else None), over
