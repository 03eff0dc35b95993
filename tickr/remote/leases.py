"""Leases: the sessions of remote workers, each a row among the nodes, never reused.

A lease is taken with the types and queues that its worker is for, kept by its calls, and ends when none comes for a
whole lease, by the same reapers as any node's. All that counts is in the store, so any node answers any call; a node
that dies between two of them is missed by nobody. ``beats.py`` has what a worker and the store tell each other with
each call, ``dispatch.py`` what it waits for, ``settle.py`` what it reports in the end.

State: ``_known``, what the leases that called here are for; they never change.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import NamedTuple

import structlog
import trio
import uuid_utils

from tickr.announce import Announcer
from tickr.bell import Bell
from tickr.errors import LeaseLost, LeaseMismatch, Overloaded, StoreUnavailable
from tickr.failpoints import reach
from tickr.feed.feed import Feed
from tickr.index.contract import Index
from tickr.job_log import KEPT_LINES
from tickr.jobs import SUSPECT_CRASHES, Failure, Job
from tickr.remote.beats import Beat, Beats, Held, Stop, fitting
from tickr.remote.dispatch import Dispatcher, Wish
from tickr.remote.settle import Report, Settled, Settler
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import MAX_BATCH, REMOTE, Node, Store

ROLE = REMOTE
"""The role in the row of a lease; no node of ours has it."""
HEARTBEATS_PER_LEASE = 3
MAX_LEASES = 1_000
"""Leases at once, as every node reads their rows once a second."""
ABANDON_S = 2.0
"""How long it may take to forget a lease whose worker has gone before it knew of it, in seconds."""

HANDED_BACK = Failure("shutdown", "Its worker gave its lease back before it was done.")

log = structlog.get_logger("tickr.remote")


class Taken(NamedTuple):
    """What a poll brought. ``created``: the lease is new."""

    lease: str
    created: bool
    jobs: list[Job]
    stop: list[Stop]


class Poll(NamedTuple):
    """A poll of a worker.

    Attributes:
      lease: None: take a new one.
      types, queues: which jobs; None: as the lease is for; no queues: of any.
      most: how many jobs; 0: none, only what is to be stopped.
      held: what it has.
      until: when to answer at the latest, by trio's clock.
      name: what people shall call the worker. slots: how many jobs it runs at once; both of a new lease.
    """

    lease: str | None
    types: frozenset[str] | None
    queues: frozenset[str] | None
    most: int
    until: float
    held: Sequence[Held] = ()
    name: str = ""
    slots: int = 1


class Leases:
    """All that remote workers ask of one node. ``run`` must be running.

    Args:
      lease_s: how long a lease holds without a call, in seconds.
      stopping: set when the node is on its way down.
    """

    def __init__(
        self,
        store: Store,
        bell: Bell,
        dispatcher: Dispatcher,
        settler: Settler,
        beats: Beats,
        *,
        lease_s: float,
        stopping: trio.Event,
    ) -> None:
        self._store = store
        self._bell = bell
        self._dispatcher = dispatcher
        self._beats = beats
        self._settler = settler
        self.lease_s = lease_s
        self.heartbeat_s = lease_s / HEARTBEATS_PER_LEASE
        self._stopping = stopping
        self._version = version("tickr")
        self._known: dict[str, Node] = {}

    async def run(self) -> None:
        """Give jobs to those who wait, until cancelled."""
        await self._dispatcher.run()

    # -- polls --------------------------------------------------------------------------------------------------------

    async def poll(self, poll: Poll) -> Taken:
        """Return jobs for a worker, waiting for the first of them; see ``Poll``.

        Raises: LeaseLost, LeaseMismatch, Overloaded: there are too many leases. StoreUnavailable.
        Cancellation: what was claimed is handed back, and a lease that is new is forgotten.
        """
        if poll.lease is not None:
            return await self._go_on(poll, poll.lease)
        node = await self._register(poll)
        try:
            jobs = await self._wait(node, poll, Beat([], [], []))
        except BaseException:
            with trio.move_on_after(ABANDON_S, shield=True), suppress(StoreUnavailable):
                await self.end(node.id)  # nobody will ever come with its id
            raise
        return Taken(node.id, True, jobs, [])

    async def _go_on(self, poll: Poll, lease: str) -> Taken:
        node = await self._node(lease)
        if node is None:
            raise LeaseLost(lease)
        if not _fits(poll, node):
            raise LeaseMismatch(lease)
        beat = await self._beat(lease, poll.held, at_once=True)
        if beat.jobs:
            return Taken(lease, False, beat.jobs, beat.stop)
        jobs = await self._wait(node, poll, beat)
        return Taken(lease, False, jobs, beat.stop if jobs else await self._stops(lease, poll, beat))

    async def _stops(self, lease: str, poll: Poll, beat: Beat) -> list[Stop]:
        """Return what is to be stopped after a wait, in which a ring may have told of more."""
        return (await self._beat(lease, poll.held)).stop if poll.held else beat.stop

    async def _wait(self, node: Node, poll: Poll, beat: Beat) -> list[Job]:
        """Return jobs, or none when the time is over or one that is held shall be stopped. Raises: LeaseLost."""
        jobs: list[Job] = []
        suspects = 0 if any(one.crashes >= SUSPECT_CRASHES for one in beat.running) else 1
        wish = Wish(node.id, frozenset(node.types), frozenset(node.queues) or None, poll.most, suspects)
        lost = False
        async with trio.open_nursery() as nursery:

            async def renew() -> None:
                nonlocal lost
                lost = not await self._renewed(node.id)
                nursery.cancel_scope.cancel()

            async def hear() -> None:
                await self._cancellation({one.id for one in poll.held})
                nursery.cancel_scope.cancel()

            # Who holds jobs keeps the lease by itself: a poll that stays open proves nothing of the worker behind it.
            nursery.start_soon(hear if poll.held else renew)
            if poll.most:
                jobs = await self._dispatcher.wait(wish, poll.until)
            else:
                with trio.move_on_at(poll.until):
                    await self._stopping.wait()
            nursery.cancel_scope.cancel()
        if lost:
            raise LeaseLost(node.id)
        return fitting(await self._settler.opened(jobs))

    async def _renewed(self, lease: str) -> bool:
        """Keep a lease under which nothing runs, as long as its row is there; return False when it is gone."""
        while True:
            await trio.sleep(self.heartbeat_s)
            with suppress(StoreUnavailable):
                if await self._store.heartbeat(lease, lease_s=self.lease_s) is None:
                    return False

    async def _cancellation(self, ids: Collection[str]) -> None:
        """Return when somebody asks for one of ``ids`` to be stopped."""
        async with self._bell.listen("cancel") as rings:
            async for ring in rings:
                if ring.job in ids:
                    return

    # -- the rows -----------------------------------------------------------------------------------------------------

    async def _register(self, poll: Poll) -> Node:
        if sum(node.roles == (ROLE,) for node in await self._store.nodes()) >= MAX_LEASES:
            raise Overloaded(f"There are {MAX_LEASES} leases of remote workers already.", retry_after_s=self.lease_s)
        node = Node(
            id=str(uuid_utils.uuid7()),
            host=poll.name,
            pid=0,
            version=self._version,
            roles=(ROLE,),
            types=tuple(sorted(poll.types or ())),
            slots=poll.slots,
            queues=tuple(sorted(poll.queues or ())),
        )
        await self._store.register(node, lease_s=self.lease_s)
        await reach("lease.after_register")
        log.info("lease.taken", node=node.id, name=node.host, types=len(node.types), queues=len(node.queues))
        self._know(node)
        return node

    async def _node(self, lease: str) -> Node | None:
        """Return what a lease is for; None if there is no such row. What is not the row of a lease is none."""
        if lease not in self._known:
            for node in await self._store.nodes():
                if node.id == lease and node.roles == (ROLE,):
                    self._know(node)
        return self._known.get(lease)

    def _know(self, node: Node) -> None:
        if len(self._known) >= 2 * MAX_LEASES:
            del self._known[next(iter(self._known))]
        self._known[node.id] = node

    # -- what runs ----------------------------------------------------------------------------------------------------

    async def heartbeat(self, lease: str, held: Sequence[Held]) -> Beat:
        """Keep a lease, take what its worker says of its jobs, and return what it has to know.

        Raises: LeaseLost, StoreUnavailable.
        """
        if await self._node(lease) is None:
            raise LeaseLost(lease)
        beat = await self._beat(lease, held)
        await self._beats.note(held, beat.running)
        return beat

    async def _beat(self, lease: str, held: Sequence[Held], *, at_once: bool = False) -> Beat:
        try:
            return await self._beats.beat(lease, held, at_once=at_once)
        except LeaseLost:
            self._known.pop(lease, None)
            raise

    async def settle(self, lease: str, reports: Sequence[Report]) -> list[Settled]:
        """See ``Settler.settle``. What was done stays done, whether or not the lease is there any more.

        Raises: LeaseLost: it is no lease, but a node of ours.
        """
        if lease not in self._known and any(
            one.id == lease and ROLE not in one.roles for one in await self._store.nodes()
        ):
            raise LeaseLost(lease)
        return await self._settler.settle(lease, reports)

    # -- the end ------------------------------------------------------------------------------------------------------

    async def end(self, lease: str) -> list[Job]:
        """Give a lease back: what runs under it is handed back at no cost. Returns: these jobs, as they are now.

        A lease that is gone is no error. Raises: StoreUnavailable: doing it again is safe.
        """
        await self._dispatcher.leave(lease)
        if await self._node(lease) is None:
            return []
        running = await self._store.heartbeat(lease, lease_s=self.lease_s)
        handed_back: list[Job] = []
        if running:
            jobs = await self._beats.jobs(running)
            for begin in range(0, len(jobs), MAX_BATCH):
                handed_back += await self._settler.hand_back(jobs[begin : begin + MAX_BATCH], HANDED_BACK)
        await self._store.deregister(lease)
        self._known.pop(lease, None)
        log.info("lease.given_back", node=lease, jobs=len(handed_back))
        return handed_back


def leases_on(
    store: Store,
    index: Index,
    bell: Bell,
    feed: Feed,
    announcer: Announcer,
    *,
    lease_s: float,
    max_result_bytes: int,
    stopping: trio.Event,
    chance: Callable[[], float] = random.random,
    vault: Vault = NO_VAULT,
    kept_lines: int = KEPT_LINES,
) -> Leases:
    """Return the leases of a node with these parts. ``stopping``: set when it is on its way down.

    ``kept_lines``: how many lines that a job logs are kept with it.
    """
    settler = Settler(store, index, bell, announcer, max_result_bytes=max_result_bytes, chance=chance, vault=vault)
    dispatcher = Dispatcher(store, index, bell, feed, settler, stopping=stopping)
    beats = Beats(store, settler, lease_s=lease_s, kept_lines=kept_lines)
    return Leases(store, bell, dispatcher, settler, beats, lease_s=lease_s, stopping=stopping)


def _fits(poll: Poll, node: Node) -> bool:
    return poll.types in (None, frozenset(node.types)) and poll.queues in (None, frozenset(node.queues))
