"""The store in this process's memory: the verified fake for tests in virtual time, and ``--store memory:``.

It keeps everything that the SQL stores keep, encoded events included, in plain dicts, and passes the same contract
suite. Each method goes through a checkpoint first, where it may be cancelled with nothing changed, and then does all it
has to do without another: that is its transaction. Records are immutable, so that what it gives out is a snapshot.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from tickr import events
from tickr.errors import JobNotFound
from tickr.events import Change
from tickr.filters import matcher
from tickr.jobs import WAITING, Attempt, Entry, Job, NewJob, State
from tickr.keys import Unique
from tickr.names import may_run
from tickr.queues import freshness, urgency
from tickr.reports import Note, Outcome
from tickr.store import changes
from tickr.store.answers import page_of, place_of
from tickr.store.claimant import Claimant
from tickr.store.contract import (
    COUNT_TO,
    STATE_CODES,
    Check,
    Clock,
    Expired,
    Filter,
    Node,
    Page,
    Place,
    QueueDepth,
    Running,
    ScanPosition,
    Start,
    us_of,
    wall_clock,
)
from tickr.store.event_log import nobody_counts, nobody_listens
from tickr.store.memory_access import MemoryAccess
from tickr.store.memory_backlog import MemoryBacklog
from tickr.store.memory_encrypted import MemoryEncrypted
from tickr.store.memory_feed import EventLog, MemoryFeed
from tickr.store.memory_inbox import MemoryInbox
from tickr.store.memory_keys import KeyTable
from tickr.store.memory_links import MemoryLinks
from tickr.store.memory_nodes import MemoryNodes
from tickr.store.memory_operations import MemoryOperations
from tickr.store.memory_queues import MemoryQueues, QueueControls, depth
from tickr.store.memory_retention import MemoryRetention, scan_place, scan_position, sortable
from tickr.store.memory_schedules import MemorySchedules
from tickr.store.memory_statistics import MemoryStatistics
from tickr.store.search import Searched
from tickr.store.written import Expiry, written
from tickr.tallies import Tally


@asynccontextmanager
async def open_memory(*, clock: Clock | None = None) -> AsyncIterator[MemoryStore]:
    """Open an empty store whose content ends with it. ``clock``: None for this machine's."""
    yield MemoryStore(clock=clock)


class MemoryStore(
    MemoryQueues,
    MemoryFeed,
    MemoryNodes,
    MemoryInbox,
    MemorySchedules,
    MemoryRetention,
    MemoryLinks,
    MemoryOperations,
    MemoryEncrypted,
    MemoryStatistics,
    MemoryBacklog,
    MemoryAccess,
    Searched,
):
    """``Store`` in plain dicts; see ``store/contract`` for what each method promises."""

    name = "memory"
    writers = 1

    def __init__(self, *, clock: Clock | None = None) -> None:
        super().__init__()
        self._clock = clock or wall_clock
        self._jobs: dict[str, Job] = {}
        self._by_state: dict[State, dict[str, Job]] = {state: {} for state in STATE_CODES}
        self._attempts: dict[str, deque[Attempt]] = {}
        self._keys = KeyTable(self._jobs, self._links)
        self._log = EventLog()
        self._on_events: Callable[[], None] = nobody_listens
        self._on_tally: Callable[[Tally], None] = nobody_counts
        self._nodes: dict[str, Node] = {}
        self._queues: set[str] = set()
        self._controls = QueueControls()
        self._epoch: str | None = None
        self._expiries: set[Expiry] = set()

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
        start = start and changes.past_gates(start, new, self._controls.controlled)
        if not all(one.plain for one in new):
            answers, made, _, opened, gone = self._keys.admit(new, now, whole=whole, start=start)
            self._links.put(opened)
            self._links.remove(gone)
        else:
            answers, made = changes.insert(new, self._found(one.id for one in new), now, whole=whole, start=start)
        self._queues.update(change.after.queue for change in made)
        self._record(made, now)
        return answers

    async def cancel(self, job_id: str, *, version: int | None = None, reason: str | None = None) -> Job:
        await trio.lowlevel.checkpoint()
        now, job = self._clock(), self._existing(job_id)
        change = changes.cancel(job, version, now, reason)
        if change is None:
            return job
        self._record([change], now)
        return change.after

    async def holder(self, unique: Unique) -> Job | None:
        await trio.lowlevel.checkpoint()
        return self._keys.holder(unique, self._clock())

    async def get(self, job_id: str) -> Job | None:
        await trio.lowlevel.checkpoint()
        return self._jobs.get(job_id)

    async def get_many(self, ids: Collection[str]) -> list[Job]:
        await trio.lowlevel.checkpoint()
        return [*self._found(ids).values()]

    async def attempts(self, job_id: str) -> list[Attempt]:
        await trio.lowlevel.checkpoint()
        return self._attempts_of(self._existing(job_id))

    async def _list_jobs(self, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
        await trio.lowlevel.checkpoint()
        matches, now = matcher(which), self._clock()
        older = (job for job in self._among(which) if before is None or place_of(job) < before)
        if which.empty:
            return page_of(heapq.nlargest(limit + 1, older, key=place_of), limit)
        looked_at = heapq.nlargest(look_at + 1, older, key=place_of)
        page = page_of([job for job in looked_at[:look_at] if matches(job, now)][: limit + 1], limit)
        more = page.after is None and len(looked_at) > look_at
        return Page(page.jobs, place_of(looked_at[look_at - 1])) if more else page

    async def queues(self, *, count_to: int = COUNT_TO) -> list[QueueDepth]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        held = [job for state in (*WAITING, State.RUNNING) for job in self._by_state[state].values()]
        return [depth(name, held, now, count_to) for name in sorted(self._queues)]

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
        newest = self._controls.newest_first
        return [
            entry
            for queue in sorted(per_queue)
            for entry in heapq.nsmallest(limit, per_queue[queue], key=freshness if queue in newest else urgency)
        ]

    async def waiting_after(self, position: ScanPosition | None, limit: int) -> tuple[list[Entry], ScanPosition | None]:
        await trio.lowlevel.checkpoint()
        ahead = (job for job in self._waiting() if position is None or scan_place(job) > sortable(position))
        page = heapq.nsmallest(limit, ahead, key=scan_place)
        entries = [job.entry() for job in page]
        if len(page) < limit:
            return entries, None
        return entries, scan_position(page[-1])

    async def still_waiting(self, ids: Collection[str]) -> list[Job]:
        await trio.lowlevel.checkpoint()
        return [job for job in self._found(ids).values() if job.state in WAITING]

    async def ahead(self, job: Job, *, count_to: int) -> int:
        await trio.lowlevel.checkpoint()
        now, place = self._clock(), freshness if job.queue in self._controls.newest_first else urgency
        due = (one for one in self._waiting() if one.queue == job.queue and one.run_at <= now)
        return sum(1 for _ in itertools.islice((one for one in due if place(one) < place(job)), count_to))

    async def epoch(self, proposal: str) -> str:
        await trio.lowlevel.checkpoint()
        if self._epoch is None:
            self._epoch = proposal
        return self._epoch

    async def end_expired(self, limit: int) -> Expired:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        due = [job_id for at, job_id in heapq.nsmallest(limit, self._expiries) if at <= now]
        made = changes.end_expired(self._found(due).values(), now)
        self._record(made, now)
        return Expired([change.after for change in made], min((at for at, _ in self._expiries), default=None))

    # -- for workers ----------------------------------------------------------------------------------------------

    async def claim(
        self,
        ids: Sequence[str],
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        await trio.lowlevel.checkpoint()
        return self._claim(self._found(ids).values(), Claimant(node, types, suspects, keys), self._clock())

    async def claim_due(
        self,
        limit: int,
        *,
        node: str,
        types: Collection[str],
        suspects: int | None = None,
        queues: Mapping[str, int] | None = None,
        keys: Collection[str] = (),
    ) -> list[Job]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        due = (job for job in self._waiting() if job.run_at <= now)
        able = (job for job in due if job.type in types and changes.readable(job, keys) and may_run(node, job.queue))
        wanted = (job for job in able if not job.suspect) if suspects == 0 else able
        fitting = self._controls.fitting(wanted, limit, queues, self._running(), now)
        return self._claim(fitting, Claimant(node, types, suspects, keys), now)

    def _claim(self, found: Iterable[Job], claimant: Claimant, now: int) -> list[Job]:
        known = list(found) if claimant.node in self._nodes else []
        held = {job.queue for job in known}.intersection(self._controls.controlled)
        gates = self._controls.gates(held, self._running(), now) if held else {}
        made = changes.claim(known, now=now, gates=gates, **claimant._asdict())
        self._controls.keep_starts(gates)
        self._record(made, now)
        return [change.after for change in changes.started(made)[0]]

    async def finish(self, outcomes: Sequence[Outcome]) -> list[Job | None]:
        await trio.lowlevel.checkpoint()
        now = self._clock()
        made = changes.finish(outcomes, self._found(outcome.job.id for outcome in outcomes), now)
        self._record([change for change in made if change is not None], now)
        self._queues.update(changes.relocated(outcomes, made))
        for hold in changes.holds(outcomes, made):
            self._hold(hold, now)
        return [None if change is None else change.after for change in made]

    async def note(self, notes: Sequence[Note]) -> int:
        await trio.lowlevel.checkpoint()
        found = self._found(note.job.id for note in notes).values()
        kept = changes.of_running(notes, {job.id: changes.begun(job) for job in found if job.state is State.RUNNING})
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
        return [Running.of(job) for job in self._by_state[State.RUNNING].values() if job.node == node_id]

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
        made += changes.abandon(self._abandoned()[:limit], now)
        self._record(made, now)
        return [change.after for change in made]

    # -- for the operator -----------------------------------------------------------------------------------------

    async def prune_keys(self, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        return self._keys.prune(limit, self._clock())

    async def diagnose(self) -> list[Check]:
        await trio.lowlevel.checkpoint()
        advice = "Good for tests and trials; use sqlite:/// or mysql:// for work that matters."
        return [Check("durability", "warn", "jobs live in this process's memory and end with it", advice)]

    # -- the one write, and the lookups ---------------------------------------------------------------------------

    def _record(self, made: Sequence[Change], now: int) -> None:
        """Write one commit's worth of changes. No checkpoint, and nothing here can fail half-way."""
        also = written(made, now)
        for before, after in ((change.before, change.after) for change in made):
            if before is not None:
                del self._by_state[before.state][before.id]
            self._put(after)
        for job_id, attempt in also.attempts:
            self._attempts.setdefault(job_id, deque()).append(attempt)
        for job_id, fence in also.outdated:
            while self._attempts[job_id][0].fence <= fence:
                self._attempts[job_id].popleft()
        self._expiries.update(also.expiries)
        self._expiries.difference_update(also.spent)
        self._note_removals(also)
        self._forget_checkpoints(also.restarted)
        if also.body is not None:
            self._tell(also.body, now, also.tally)

    def _put(self, job: Job) -> None:
        self._jobs[job.id] = self._by_state[job.state][job.id] = job

    def _erase(self, job: Job) -> None:
        del self._jobs[job.id], self._by_state[job.state][job.id]
        self._attempts.pop(job.id, None)
        self._forget_checkpoints([job.id])
        self._forget_children(job)
        self._forget_log(job.id)

    def _tell(self, body: str, now: int, tally: Tally | None = None) -> None:
        self._log.append(now, body, tally)
        self._on_events()
        if tally:
            self._on_tally(tally)

    def _found(self, ids: Iterable[str]) -> dict[str, Job]:
        return {id_: self._jobs[id_] for id_ in ids if id_ in self._jobs}

    def _existing(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise JobNotFound(job_id)
        return job

    def _running(self) -> Iterable[Job]:
        return self._by_state[State.RUNNING].values()

    def _attempts_of(self, job: Job) -> list[Attempt]:
        current = events.current_attempt(job)
        ended = self._attempts.get(job.id, ())
        return [*ended] if current is None else [*ended, current]

    def _waiting(self) -> Iterable[Job]:
        return (job for state in WAITING for job in self._by_state[state].values())
