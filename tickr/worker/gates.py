"""Gates: into which queues a node looks for work just now, and how many jobs of each it takes.

A queue is closed to a node that is not for it; while as many of its jobs run here as may (``--queues mail:5``); and by
what is set on it for all nodes (``tickr/queues.py``). The last is a view, good enough to know where to look; who may
start is decided by the store with each claim. The view is made anew when something is set, when a place gets free
elsewhere, when a rate has room again, and by a slow look. The jobs of a full limit key are kept back in the index.

State: the names, the view and what is being claimed are written here only, in trio's thread.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

import trio

from tickr.bell import Bell, Ring
from tickr.errors import IndexUnavailable, StoreUnavailable
from tickr.index.contract import Hint, Index, Lane
from tickr.jobs import DEFAULT_QUEUE, Job
from tickr.names import node_of_queue, queue_of_node
from tickr.queues import MAX_LIMIT, Gate, Held, Order, gates, in_order
from tickr.store.contract import Store
from tickr.worker.turns import Turn, Turns

QUEUES_NET_S = 10.0
"""How long a queue that another process used first may stay unknown here if its ring was lost, in seconds."""
CLOSED_NET_S = 1.0
"""How long a queue may stay closed here after it was opened elsewhere and the ring was lost, in seconds."""
LEAST_NET_S = 0.002
"""A rate that is about to have room is looked at after so many seconds at least: clocks differ a little."""
LANE_HOLD_US = 2_000_000
"""How long the jobs of a full key are kept back, microseconds, if nobody frees them before."""


class Loop(Protocol):
    """The claim loop that asks; ``Claimer`` in ``claim.py``."""

    def taken(self, queue: str) -> int:
        """Return how many jobs of a queue run here or are on their way."""
        ...

    def look_again(self) -> None:
        """A queue is open that was not: whoever waits in the others shall ask ``turn`` anew."""
        ...


class Gates:
    """The queues of one node.

    Args:
      here: the queues that the node is for, and how many of each it runs at once (None: as many as it has slots for);
        None: all there are.
      order: in which order they are looked into; see ``turns.py``.
      stretch: how many times longer than the nets that are named above a node waits that is told of everything.
    Attributes:
      freed: how often places got free here.
    """

    def __init__(
        self,
        store: Store,
        index: Index,
        bell: Bell,
        *,
        here: Mapping[str, int | None] | None = None,
        order: Order = (),
        stretch: float = 1.0,
    ) -> None:
        self._stretch = stretch
        self._store = store
        self._index = index
        self._bell = bell
        self._here = here
        self._caps = {name: most for name, most in (here or {}).items() if most is not None}
        self._turns = Turns(order)
        self._names = [DEFAULT_QUEUE] if here is None else list(here)
        self._own: list[str] = []
        self._gates: dict[str, Gate] = {}
        self._lapsed: list[str] = []
        self._newest: frozenset[str] = frozenset()
        self.freed = 0
        self._loop: Loop | None = None
        self._nap = trio.CancelScope()

    def serve(self, loop: Loop) -> None:
        """Tell ``loop`` from now on."""
        self._loop = loop

    def work_as(self, node: str) -> None:
        """Look into the queue of ``node``, which this is from now on, before all others: nobody else does."""
        self._own = [queue_of_node(node)]

    # -- for the claim loop ---------------------------------------------------------------------------------------

    def turn(self) -> Turn:
        """Return the queues that are open, in the order for one look."""
        ranked, others = self._turns.next(self._names)
        turn = Turn(self._own + ranked, others)
        if not self._is_any_bound:
            return turn
        return Turn(*([name for name in names if self._room(name) > 0] for names in turn))

    @property
    def open(self) -> list[str]:
        """The queues that ``turn`` would return, in no order."""
        return [*self._own, *self._open()]

    def took(self, hints: Sequence[Hint]) -> None:
        """Count what a look at the queues of ``turn`` has brought, 1 or more."""
        self._turns.took(hints[0].queue, len(hints))

    def most(self, queues: Sequence[str]) -> dict[str, int]:
        """Return how many jobs to take of those of ``queues`` that are bound."""
        if not self._is_any_bound:
            return {}
        return {name: room for name in queues if (room := self._room(name)) < MAX_LIMIT}

    @property
    def per_key(self) -> dict[str, int]:
        """How many jobs of one limit key to take, in queues that have such a limit."""
        return {
            name: most for name, gate in self._gates.items() if (most := gate.limits.max_running_per_key) is not None
        }

    def plain(self, queues: Sequence[str]) -> frozenset[str]:
        """Return those of ``queues`` in which a job may start unasked."""
        return frozenset([name for name in queues if name not in self._gates and name not in self._caps])

    @property
    def rooms(self) -> dict[str, int] | None:
        """How many jobs to claim without an index, by queue; None: any number of any."""
        if self._here is None:
            return None
        return {name: min(self._room(name), MAX_LIMIT) for name in (*self._own, *self._here)}

    def started(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Count jobs that a claim has started, and return them in the order in which to begin with them."""
        if self._gates:
            for job in jobs:
                if gate := self._gates.get(job.queue):
                    gate.admit(job)
            self._look_in_time()
        return [*in_order(jobs, self._newest)] if self._newest else jobs

    def fitting(self, hints: Sequence[Hint]) -> list[Hint]:
        """Return those of ``hints``, which are counted as taken, that are not beyond what may run here at once."""
        beyond = {name: self._loop.taken(name) - most for name, most in self._caps.items()} if self._loop else {}
        fitting = []
        for hint in reversed(hints):
            if beyond.get(hint.queue, 0) > 0:
                beyond[hint.queue] -= 1
            else:
                fitting.append(hint)
        return fitting[::-1]

    def controls(self, job: Job) -> bool:
        """Return whether something is set on the queue of ``job`` that may keep it from starting."""
        return job.queue in self._gates

    def held(self, job: Job) -> Held | None:
        """Return what kept ``job`` from starting when last looked at, or None."""
        gate = self._gates.get(job.queue)
        return gate.held(job.limit_key) if gate else None

    # -- for the outcomes -----------------------------------------------------------------------------------------

    async def ended(self, jobs: Sequence[Job]) -> None:
        """Give the places of ``jobs``, which run no more, to others, here and on other nodes."""
        if not self._is_any_bound:
            return
        self.freed += 1
        open_before, free, lanes = set(self._open()), set[str](), set[Lane]()
        for job in jobs:
            if gate := self._gates.get(job.queue):
                gate.free(job.limit_key)
                if gate.limits.max_running is not None:
                    free.add(job.queue)
                if job.limit_key is not None:
                    lanes |= {Lane(name, job.limit_key) for name in self._counting(job.queue, gate)}
        if self._loop and (self._caps or set(self._open()) - open_before):
            self._loop.look_again()
        with suppress(IndexUnavailable):  # then nobody takes from lanes
            await self._index.free(sorted(lanes))
        await self._bell.ring(*(Ring("free", queue=name) for name in sorted(free)))

    def _counting(self, queue: str, gate: Gate) -> Iterator[str]:
        """Yield the queues whose limit by key has one job less to count when one of ``queue`` ends."""
        names = self._gates if gate.limits.shared_keys else (queue,)
        for name in names:
            limits = self._gates[name].limits
            if limits.max_running_per_key is not None and (name == queue or limits.shared_keys):
                yield name

    # -- the view -------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Keep the names and the view up to date until cancelled."""
        async with self._bell.listen("queue", "free") as rings:
            while True:
                with suppress(StoreUnavailable):
                    await self._find_queues()
                    await self.look()
                    await self._forget_lapsed()
                with trio.CancelScope(deadline=trio.current_time() + QUEUES_NET_S * self._stretch) as self._nap:
                    self._look_in_time()
                    await self._heard(rings)

    async def look(self) -> None:
        """Make the view anew. Raises: StoreUnavailable."""
        standings = await self._store.standings(self._here)
        open_before = set(self._open())  # as it is now: claims go on meanwhile
        now = self._store.now_us()
        self._lapsed = [one.name for one in standings if one.controls.gated and not one.controls.at(now).gated]
        self._newest = frozenset([one.name for one in standings if one.controls.order == "newest"])
        self._gates = gates(standings, now)
        self._look_in_time()
        if self._loop and set(self._open()) - open_before:
            self._loop.look_again()

    async def _forget_lapsed(self) -> None:
        """Make queues plain again whose pause is over, so that their jobs pay nothing for it any more."""
        for name in self._lapsed:
            await self._store.control(name)

    async def _find_queues(self) -> None:
        unknown = set(await self._store.queue_names()).difference(self._names) if self._here is None else ()
        if unknown := {name for name in unknown if node_of_queue(name) is None}:
            self._names.extend(sorted(unknown))
            if self._loop:
                self._loop.look_again()

    async def _heard(self, rings: trio.MemoryReceiveChannel[Ring]) -> None:
        """Return when something was set, or a place got free in a queue that is closed here."""
        while True:
            ring = await rings.receive()
            if ring.kind == "queue" or (ring.queue in self._gates and self._gates[ring.queue].room <= 0):
                return

    def _look_in_time(self) -> None:
        """Have the next look be no later than something that is closed now may open."""
        closed = [held for gate in self._gates.values() if (held := gate.held()) is not None]
        if closed:
            now = self._store.now_us()
            rests = [(held.until - now) / 1e6 for held in closed if held.until is not None]
            net_s = min([CLOSED_NET_S * self._stretch, *(max(rest_s, LEAST_NET_S) for rest_s in rests)])
            self._nap.deadline = min(self._nap.deadline, trio.current_time() + net_s)

    @property
    def _is_any_bound(self) -> bool:
        return bool(self._gates or self._caps)

    def _open(self) -> Iterator[str]:
        return (name for name in self._names if self._room(name) > 0)

    def _room(self, name: str) -> int:
        """Return how many more jobs of a queue may start here; at least ``MAX_LIMIT`` if it is not bound."""
        gate, cap = self._gates.get(name), self._caps.get(name)
        room = gate.room if gate else MAX_LIMIT
        return room if cap is None or self._loop is None else min(room, cap - self._loop.taken(name))


class Claiming:
    """How many jobs of each queue are being claimed just now, for who counts what is taken."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    @contextmanager
    def __call__(self, hints: Sequence[Hint]) -> Iterator[None]:
        """A block in which ``hints`` are being claimed."""
        counts = Counter(hint.queue for hint in hints)
        self._counts.update(counts)
        try:
            yield
        finally:
            self._counts -= counts

    def count(self, queue: str) -> int:
        return self._counts[queue]
