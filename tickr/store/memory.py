"""The store in this process's memory: the verified fake for tests in virtual time, and ``--store memory:``.

It keeps everything that the SQL stores keep, encoded events included, in plain dicts, and passes the same contract
suite. Each method goes through a checkpoint first, where it may be cancelled with nothing changed, and then does all it
has to do without another: that is its transaction. Records are immutable, so that what it gives out is a snapshot.
"""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from tickr import events
from tickr.errors import JobNotFound
from tickr.events import Change
from tickr.jobs import WAITING, Attempt, Entry, Job, NewJob, Note, Outcome, State
from tickr.store import changes
from tickr.store.answers import page_of, place_of
from tickr.store.contract import (
    COUNT_TO,
    LOOK_AT,
    STATE_CODES,
    Check,
    Clock,
    FeedState,
    Filter,
    Node,
    Page,
    Place,
    Pruned,
    QueueDepth,
    Running,
    ScanPosition,
    Start,
    us_of,
    wall_clock,
)
from tickr.store.event_log import nobody_listens
from tickr.store.memory_feed import EventLog


@asynccontextmanager
async def open_memory(*, clock: Clock | None = None) -> AsyncIterator[MemoryStore]:
    """Open an empty store whose content ends with it. ``clock``: None for this machine's."""
    yield MemoryStore(clock=clock)


class MemoryStore:
    """``Store`` in plain dicts; see ``store/contract.py`` for what each method promises."""

    name = "memory"
    writers = 1

    def __init__(self, *, clock: Clock | None = None) -> None:
        self._clock = clock or wall_clock
        self._jobs: dict[str, Job] = {}
        self._by_state: dict[State, dict[str, Job]] = {state: {} for state in STATE_CODES}
        self._attempts: dict[str, list[Attempt]] = {}
        self._log = EventLog()
        self._on_events: Callable[[], None] = nobody_listens
        self._nodes: dict[str, Node] = {}
        self._queues: set[str] = set()
        self._epoch: str | None = None

    def now_us(self) -> int:
        return self._clock()

    async def ping(self) -> None:
        await trio.lowlevel.checkpoint()

    # -- from outside ---------------------------------------------------------------------------------------------

    async def insert(
        self, new: Sequence[NewJob], *, whole: bool = False, start: Start | None = None
    ) -> list[tuple[Job, bool]]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        start = start if start and start.node in self._nodes else None
        answers, made = changes.insert(new, self._found(one.id for one in new), now, whole=whole, start=start)
        self._queues.update(change.after.queue for change in made)
        self._record(made, now)
        return answers

    async def cancel(self, job_id: str, *, version: int | None = None) -> Job:
        await trio.lowlevel.checkpoint()
        now, job = self._clock(), self._existing(job_id)
        change = changes.cancel(job, version, now)
        if change is None:
            return job
        self._record([change], now)
        return change.after

    async def redrive(self, job_id: str, *, version: int | None = None) -> Job:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        change = changes.redrive(self._existing(job_id), version, now)
        self._record([change], now)
        return change.after

    async def get(self, job_id: str) -> Job | None:
        await trio.lowlevel.checkpoint()
        return self._jobs.get(job_id)

    async def attempts(self, job_id: str) -> list[Attempt]:
        await trio.lowlevel.checkpoint()
        current = events.current_attempt(self._existing(job_id))
        ended = self._attempts.get(job_id, [])
        return [*ended] if current is None else [*ended, current]

    async def list_jobs(
        self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = LOOK_AT
    ) -> Page:
        await trio.lowlevel.checkpoint()
        matches, now = _matcher(which), self._clock()
        older = (job for job in self._jobs.values() if before is None or place_of(job) < before)
        if which.empty:
            return page_of(heapq.nlargest(limit + 1, older, key=place_of), limit)
        looked_at = heapq.nlargest(look_at + 1, older, key=place_of)
        page = page_of([job for job in looked_at[:look_at] if matches(job, now)][: limit + 1], limit)
        more = page.after is None and len(looked_at) > look_at
        return Page(page.jobs, place_of(looked_at[look_at - 1])) if more else page

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        return [self._depth(name, now, count_to) for name in sorted(self._queues)]

    def _depth(self, name: str, now: int, count_to: int) -> QueueDepth:
        held = [job for state in (*WAITING, State.RUNNING) for job in self._by_state[state].values()]
        states = [job.state_at(now) for job in held if job.queue == name]
        due = [job.run_at for job in held if job.queue == name and job.state in WAITING and job.run_at <= now]
        return QueueDepth(
            name=name,
            ready=min(states.count(State.READY), count_to),
            scheduled=min(states.count(State.SCHEDULED), count_to),
            retrying=min(states.count(State.RETRYING), count_to),
            running=min(states.count(State.RUNNING), count_to),
            oldest_due_at=min(due, default=None),
            counted_to=count_to,
        )

    # -- for the index --------------------------------------------------------------------------------------------

    async def queue_names(self) -> list[str]:
        await trio.lowlevel.checkpoint()
        return sorted(self._queues)

    async def due(self, limit: int) -> list[Entry]:
        await trio.lowlevel.checkpoint()
        now, per_queue = self._clock(), dict[str, list[Entry]]()
        for job in self._waiting():
            if job.run_at <= now:
                per_queue.setdefault(job.queue, []).append(job.entry())
        return [
            entry
            for queue in sorted(per_queue)
            for entry in heapq.nsmallest(limit, per_queue[queue], key=lambda one: (one.priority, one.run_at, one.id))
        ]

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        await trio.lowlevel.checkpoint()
        ahead = (job for job in self._waiting() if position is None or _place(job) > _sortable(position))
        page = heapq.nsmallest(limit, ahead, key=_place)
        entries = [job.entry() for job in page]
        if len(page) < limit:
            return entries, None
        return entries, _position(page[-1])

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        await trio.lowlevel.checkpoint()
        return [job for job in self._found(ids).values() if job.state in WAITING]

    async def epoch(self, proposal: str) -> str:
        await trio.lowlevel.checkpoint()
        if self._epoch is None:
            self._epoch = proposal
        return self._epoch

    # -- for workers ----------------------------------------------------------------------------------------------

    async def claim(
        self, ids: Sequence[str], *, node: str, types: Collection[str], suspects: int | None = None
    ) -> list[Job]:
        await trio.lowlevel.checkpoint()
        return self._claim(self._found(ids).values(), node, types, suspects, self._clock())

    async def claim_due(
        self, limit: int, *, node: str, types: Collection[str], suspects: int | None = None
    ) -> list[Job]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        able = (job for job in self._waiting() if job.run_at <= now and job.type in types)
        wanted = (job for job in able if not job.suspect) if suspects == 0 else able
        return self._claim(heapq.nsmallest(limit, wanted, key=_urgency), node, types, suspects, now)

    def _claim(
        self, found: Iterable[Job], node: str, types: Collection[str], suspects: int | None, now: int
    ) -> list[Job]:
        known = found if node in self._nodes else ()
        made = changes.claim(known, node=node, types=types, now=now, suspects=suspects)
        self._record(made, now)
        return [change.after for change in made]

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        made = changes.finish(outcomes, self._found(outcome.job.id for outcome in outcomes), now)
        self._record([change for change in made if change is not None], now)
        return [None if change is None else change.after for change in made]

    async def note(self, notes: Sequence[Note]) -> int:
        await trio.lowlevel.checkpoint()
        found = self._found(note.job.id for note in notes).values()
        kept = changes.kept(notes, {job.id: job.fence for job in found if job.state is State.RUNNING})
        for job_id, progress in changes.progress(kept).items():
            self._put(msgspec.structs.replace(self._jobs[job_id], progress=progress))
        if kept:
            self._tell(events.encode(map(events.of_note, kept)), self._clock())
        return len(kept)

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def register(self, node: Node, *, lease_s: float) -> None:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        self._nodes[node.id] = msgspec.structs.replace(
            node,
            started_at=now if node.started_at is None else node.started_at,
            lease_until=now + us_of(lease_s),
            lease_s=lease_s,
        )

    async def heartbeat(self, node_id: str, *, lease_s: float) -> list[Running] | None:
        await trio.lowlevel.checkpoint()
        node = self._nodes.get(node_id)
        if node is None:
            return None
        self._nodes[node_id] = msgspec.structs.replace(node, lease_until=self._clock() + us_of(lease_s))
        held = self._by_state[State.RUNNING].values()
        return [Running(job.id, job.fence, job.cancel_requested) for job in held if job.node == node_id]

    async def deregister(self, node_id: str) -> None:
        await trio.lowlevel.checkpoint()
        self._nodes.pop(node_id, None)

    async def expire(self, node_id: str, *, lease_until: int) -> bool:
        await trio.lowlevel.checkpoint()
        node = self._nodes.get(node_id)
        if node is None or node.lease_until != lease_until:
            return False
        del self._nodes[node_id]
        return True

    async def nodes(self) -> list[Node]:
        await trio.lowlevel.checkpoint()
        return sorted(self._nodes.values(), key=lambda node: (node.started_at or 0, node.id))

    async def reap(self, limit: int) -> list[Job]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        lost = [job for job in self._by_state[State.RUNNING].values() if job.node not in self._nodes]
        made = changes.reap(lost[:limit], now)
        self._record(made, now)
        return [change.after for change in made]

    # -- for the feed and the operator ----------------------------------------------------------------------------

    def on_events(self, call: Callable[[], None]) -> None:
        self._on_events = call

    async def event_rows(self, after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        await trio.lowlevel.checkpoint()
        return self._log.rows(after, limit, max_bytes)

    async def number_events(self) -> int:
        await trio.lowlevel.checkpoint()
        return self._log.state().head

    async def feed_state(self) -> FeedState:
        await trio.lowlevel.checkpoint()
        return self._log.state()

    async def prune_events(self, before: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        return self._log.prune(before, limit)

    async def new_history(self, old: str) -> str:
        await trio.lowlevel.checkpoint()
        return self._log.new_history(old)

    async def prune_jobs(self, state: State, before: int, limit: int, position: ScanPosition | None = None) -> Pruned:
        await trio.lowlevel.checkpoint()
        ahead = (job for job in self._by_state[state].values() if position is None or _place(job) > _sortable(position))
        page = heapq.nsmallest(limit, ahead, key=_place)
        old = [job for job in page if job.finished_at is not None and job.finished_at < before]
        for job in old:
            del self._jobs[job.id], self._by_state[state][job.id]
            self._attempts.pop(job.id, None)
        return Pruned(len(old), None if len(page) < limit else _position(page[-1]))

    async def diagnose(self) -> list[Check]:
        await trio.lowlevel.checkpoint()
        advice = "Good for tests and trials; use sqlite:/// or mysql:// for work that matters."
        return [Check("durability", "warn", "jobs live in this process's memory and end with it", advice)]

    # -- the one write, and the lookups ---------------------------------------------------------------------------

    def _record(self, made: Sequence[Change], now: int) -> None:
        """Write one commit's worth of changes. No checkpoint, and nothing here can fail half-way."""
        also = changes.written(made, now)
        for before, after in ((change.before, change.after) for change in made):
            if before is not None:
                del self._by_state[before.state][before.id]
            self._put(after)
        for job_id, attempt in also.attempts:
            self._attempts.setdefault(job_id, []).append(attempt)
        if also.body is not None:
            self._tell(also.body, now)

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = self._by_state[job.state][job.id] = job

    def _tell(self, body: str, now: int) -> None:
        self._log.append(now, body)
        self._on_events()

    def _found(self, ids: Iterable[str]) -> dict[str, Job]:
        return {id_: self._jobs[id_] for id_ in ids if id_ in self._jobs}

    def _existing(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def _waiting(self) -> Iterable[Job]:
        return (job for state in WAITING for job in self._by_state[state].values())


def _urgency(job: Job) -> tuple[int, int, str]:
    return job.priority, job.run_at, job.id


def _place(job: Job) -> tuple[int, str, int, int, str]:
    return STATE_CODES[job.state], job.queue, job.priority, job.run_at, job.id


def _position(job: Job) -> ScanPosition:
    return ScanPosition(job.state, job.queue, job.priority, job.run_at, job.id)


def _sortable(position: ScanPosition) -> tuple[int, str, int, int, str]:
    return STATE_CODES[position.state], *position[1:]


def _matcher(which: Filter) -> Callable[[Job, int], bool]:
    def matches(job: Job, now: int) -> bool:
        return (
            (not which.states or job.state_at(now) in which.states)
            and (not which.types or job.type in which.types)
            and (not which.queues or job.queue in which.queues)
            and (not which.labels or _has_labels(job, which.labels))
        )

    return matches


def _has_labels(job: Job, wanted: tuple[tuple[str, str | None], ...]) -> bool:
    labels = msgspec.json.decode(job.labels or "{}", type=dict[str, str])
    return all(name in labels and value in (None, labels[name]) for name, value in wanted)
