"""Links in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import trio

from tickr.events import Change
from tickr.filters import Filter
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.links import MAX_CHILDREN, WAITS, Kind, Link
from tickr.store import children, keys, links, sequences
from tickr.store.contract import Clock
from tickr.store.link_answers import LinkPage, LinkPlace, Settled, to_settle
from tickr.store.sequences import Sequences

if TYPE_CHECKING:
    from tickr.store.memory_keys import KeyTable


class LinkTable:
    """All links, by both of their ends."""

    def __init__(self) -> None:
        self._on: dict[str, dict[str, Kind]] = {}
        self._waiter: dict[str, dict[str, Kind]] = {}

    def put(self, some: Iterable[Link]) -> None:
        for on, waiter, kind in some:
            self._on.setdefault(on, {})[waiter] = kind
            self._waiter.setdefault(waiter, {})[on] = kind

    def remove(self, some: Iterable[Link]) -> None:
        for on, waiter, _ in some:
            for table, key, other in ((self._on, on, waiter), (self._waiter, waiter, on)):
                table[key].pop(other, None)
                if not table[key]:
                    del table[key]

    def holds(self, job_id: str) -> bool:
        """Whether one of the ends of a link is ``job_id``."""
        return job_id in self._on or job_id in self._waiter

    def waiters(self, job_id: str) -> set[str]:
        """Return who waits for ``job_id``."""
        return set(self._on.get(job_id, ()))

    def of(self, waiters: Iterable[str]) -> list[Link]:
        return [Link(on, waiter, kind) for waiter in waiters for on, kind in self._waiter.get(waiter, {}).items()]

    def on(self, ids: Iterable[str]) -> list[Link]:
        """Return the links of those who wait for one of ``ids``."""
        return [Link(on, waiter, kind) for on in ids for waiter, kind in self._on.get(on, {}).items()]

    def concerned(self, ended: Iterable[str]) -> set[str]:
        """Return who waits for one of ``ended``, or is one of them and waits."""
        found: set[str] = set()
        for job_id in ended:
            found.update(self._on.get(job_id, ()))
            found.update({job_id} & self._waiter.keys())
        return found

    def places(self) -> list[LinkPlace]:
        """Return where the waits are that are not over."""
        waits = ((on, waiter, kind) for on, waiters in self._on.items() for waiter, kind in waiters.items())
        return [(on, waiter) for on, waiter, kind in waits if kind <= Kind.CHILD]


class MemoryLinks:
    """``Links`` of the contract."""

    _clock: Clock
    _jobs: dict[str, Job]
    _queues: set[str]
    _keys: KeyTable

    def __init__(self) -> None:
        super().__init__()
        self._links = LinkTable()
        self._children: dict[str, list[str]] = {}

    def _record(self, made: Sequence[Change], now: int) -> None:
        raise NotImplementedError

    def _states(self, ids: Iterable[str]) -> Mapping[str, State]:
        return {id_: self._jobs[id_].state for id_ in ids if id_ in self._jobs}

    def _redriven(self, made: list[Change]) -> list[Change]:
        """Return what starting jobs over comes to, and write their links, and the rows of their sequences."""
        turns = self._turns([change.after for change in made])
        states = self._states(id_ for change in made for id_ in links.awaits(change.after))
        after, opened = links.redrive(made, states, turns)
        self._links.put(opened)
        self._links.remove(turns.gone)
        self._keys.write(turns.written.values())
        return after

    def _turns(self, jobs: Iterable[Job]) -> Sequences:
        """Return the sequences of ``jobs`` that are to be started over."""
        ordered = sequences.named(jobs)
        ids = {job.id for job in ordered}
        kept = self._keys.rows(name for job in ordered for name in keys.wanted_again(job))
        held = self._links.of(ids | sequences.last_of(kept)) + self._links.on(ids)
        return Sequences(kept, self._jobs, held, self._clock())

    async def settle_links(self, ended: Collection[str], after: str | None = None) -> Settled:
        await trio.lowlevel.checkpoint()
        found = (one for one in self._links.concerned(ended) if after is None or one > after)
        waiters = heapq.nsmallest(links.MAX_SETTLED, found)
        states = {id_: state for id_, state in self._states(ended).items() if state in FINAL}
        held = {*waiters} | sequences.predecessors(self._links.of(waiters), states)
        jobs = [self._jobs[id_] for id_ in held if id_ in self._jobs]
        made = links.settle(jobs, self._links.of(held), states, now := self._clock())
        self._record(made.changes, now)
        self._links.remove(made.gone)
        self._links.put(made.kept)
        more = len(waiters) == links.MAX_SETTLED
        return Settled([change.after for change in made.changes], waiters[-1] if more else None, now, made.orphans)

    async def open_links(self, limit: int, after: LinkPlace | None = None) -> LinkPage:
        await trio.lowlevel.checkpoint()
        page = heapq.nsmallest(limit, (place for place in self._links.places() if after is None or place > after))
        states = self._states({id_ for place in page for id_ in place})
        return LinkPage(len(page), to_settle(page, states), page[-1] if len(page) == limit else None)

    async def waits_of(self, waiter: str) -> list[Link]:
        await trio.lowlevel.checkpoint()
        return sorted(link for link in self._links.of([waiter]) if link.kind in WAITS)

    async def spawn(self, attempt: Job, new: Sequence[NewJob]) -> list[Job]:
        await trio.lowlevel.checkpoint()
        born, now = self._children.get(attempt.id, []), self._clock()
        stored = {id_: self._jobs[id_] for id_ in children.needed(attempt.id, new) if id_ in self._jobs}
        made = children.spawn(attempt, new, stored, self._links.of([attempt.id]), len(born), now)
        self._queues.update(change.after.queue for change in made.changes)
        self._record(made.changes, now)
        self._links.put(made.links)
        self._children[attempt.id] = born + [place.child for place in made.places]
        return made.answers

    async def children(self, parents: Collection[str], limit: int = MAX_CHILDREN) -> list[Job]:
        await trio.lowlevel.checkpoint()
        ids = (id_ for parent in sorted(set(parents)) for id_ in self._children.get(parent, ()))
        return [self._jobs[id_] for id_ in islice(ids, limit) if id_ in self._jobs]

    def _among(self, which: Filter) -> Iterable[Job]:
        """Return the jobs of which some may pass ``which``."""
        if which.parent is None:
            return self._jobs.values()
        return [self._jobs[id_] for id_ in self._children.get(which.parent, ())]

    def _forget_children(self, job: Job) -> None:
        """``job`` is deleted, and nobody's child or parent any more."""
        self._children.pop(job.id, None)
        siblings = self._children.get(job.extras.parent or "", [])
        if job.id in siblings:
            siblings.remove(job.id)
