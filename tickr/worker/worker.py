"""The worker role: its parts and how it ends.

    claim.py -> pool.py (run.py runs each attempt) -> outcomes.py -> store;  reconcile.py keeps the pool in step

Stopping comes in the same order: no more claims, running jobs get their time, what is left is cancelled and handed
back, and the last outcomes are stored. Each of these waits ends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog
import trio

from tickr.announce import Announcer
from tickr.batching import Batcher
from tickr.bell import Bell
from tickr.failpoints import reach
from tickr.index.contract import Index
from tickr.job_log import KEPT_LINES
from tickr.jobs import Job
from tickr.meters import Batches
from tickr.queues import Order
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Running, Store
from tickr.worker.attempt import StopReason
from tickr.worker.burst import Burst
from tickr.worker.claim import Claimer
from tickr.worker.direct import Direct
from tickr.worker.family import Family
from tickr.worker.gates import Gates
from tickr.worker.handlers import Jobs
from tickr.worker.kin import Describe
from tickr.worker.load import Gauge, Load
from tickr.worker.outcomes import Outcomes
from tickr.worker.pace import MAX_AHEAD
from tickr.worker.pool import Pool
from tickr.worker.reconcile import Reconciler
from tickr.worker.retirement import UNBOUNDED, Bounds
from tickr.worker.watchdog import watch

PATIENCE_S = 5.0
"""How long a handler may take to end once it was asked to, before its attempt is written off, in seconds."""
UNWIND_S = PATIENCE_S + 3.0
"""How long cancelled jobs may take at a stop, in seconds: until the last has ended or has been written off."""
BLOCKED, INTERRUPTED = 0.2, 0.4
"""Shares of the lease after which a handler that blocks the event loop is told of, and is interrupted.

The last heartbeat may be a third of the lease old when the blocking begins, and at 0.8 of it the lease is given up.
"""
CLAIM_S = 10.0
"""How long a claim that is in flight at a stop may take, in seconds; the store gives up before."""
FLUSH_S = 10.0
"""How long the last outcomes may take to be stored at a stop, in seconds."""

log = structlog.get_logger("tickr.worker")


class Worker:
    """One node's worker. ``run`` must be running before ``claim`` starts.

    Args:
      slots: how many jobs run at once.
      max_result_bytes: longer results fail their job.
      lease_s: how long this node's lease is; a handler that blocks the event loop is interrupted well before its end.
      describe: reads what handlers submit.
      queues: which it works on, and how many jobs of each at once (None: up to ``slots``); None: all.
      holds_lease: whether it has been renewed lately enough to begin something new.
      owns_process: end the process when the loop has not turned for a whole lease: by then its jobs are others'.
      vault: has the encryption keys of this node.
      kept_lines: how many lines that a job logs are kept with it.
      has_debugger: whether plain handlers may wait for one (``debugger.py``).
      stretch: see ``Gates``. bounds, chance: see ``Pool``.
    Attributes:
      direct: for the intake of this node.
    """

    def __init__(
        self,
        jobs: Jobs,
        store: Store,
        index: Index,
        bell: Bell,
        announcer: Announcer,
        *,
        slots: int,
        max_result_bytes: int,
        lease_s: float,
        holds_lease: Callable[[], bool],
        describe: Describe,
        queues: Mapping[str, int | None] | None = None,
        queue_order: Order = (),
        bounds: Bounds = UNBOUNDED,
        has_debugger: bool = False,
        owns_process: bool = False,
        vault: Vault = NO_VAULT,
        kept_lines: int = KEPT_LINES,
        stretch: float = 1.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        gates = Gates(store, index, bell, here=queues, order=queue_order, stretch=stretch)
        self._gates = gates
        family = Family(store, announcer, bell, describe, vault)
        self._outcomes = Outcomes(
            store,
            announcer,
            family,
            in_flight=slots + MAX_AHEAD,
            ended=self._ended,
            vault=vault,
            kept_lines=kept_lines,
        )
        self._pool = Pool(
            jobs,
            self._outcomes,
            slots=slots,
            max_result_bytes=max_result_bytes,
            unresponsive_after_s=PATIENCE_S,
            bounds=bounds,
            chance=chance,
            vault=vault,
        )
        self._pool.elsewhere.has_debugger = has_debugger
        self._claimer = Claimer(store, index, bell, self._pool, gates, types=jobs.types, keys=vault.ids)
        self._gauge = Gauge(index, gates, self._claimer, self._pool, slots)
        self._burst = Burst(store, self._claimer)
        self.direct = Direct(self._claimer, self._pool, types=jobs.types, holds_lease=holds_lease)
        self._reconciler = Reconciler(store, bell, self._pool, self._outcomes)
        self._watch = partial(
            watch,
            self._pool.find,
            blocked_after_s=BLOCKED * lease_s,
            interrupt_after_s=INTERRUPTED * lease_s,
            dead_after_s=lease_s if owns_process else None,
        )
        self._idle = trio.Event()
        self._claims_ended = trio.Event()
        self._claims_ended.set()

    async def run(self, tasks: trio.Nursery) -> None:
        """Run what is claimed until ``drain`` has been called and the last outcome is stored.

        Args:
          tasks: where the worker tasks live; see ``Pool`` for what it must be.
        """
        # Watched to the end: what was left behind may still block the loop while the last outcomes are stored.
        with self._watch():
            await self._run(tasks)

    async def _run(self, tasks: trio.Nursery) -> None:
        async with trio.open_nursery() as storing:
            storing.start_soon(self._outcomes.run)
            async with trio.open_nursery() as reconciling:
                reconciling.start_soon(self._reconciler.run)
                await self._pool.run(tasks)
                self._idle.set()
                reconciling.cancel_scope.cancel()
            self._outcomes.close()
            storing.cancel_scope.deadline = trio.current_time() + FLUSH_S

    async def claim(self, node: str) -> None:
        """Claim jobs for ``node`` until ``stop_claiming``, but not while quiet; see ``Claimer.run``."""
        self._pool.work_as(node)
        while await self._claimer.wait_wanted():
            self._claims_ended = trio.Event()
            try:
                await self._claimer.run(node)
            finally:
                self._claims_ended.set()

    async def wait_nothing_left(self, *, schedules: bool) -> None:
        """See ``Burst``."""
        await self._burst.wait_nothing_left(schedules=schedules)

    @property
    def claims(self) -> Batches:
        """See ``Claimer``."""
        return self._claimer.claims

    @property
    def line(self) -> Batcher[Any, None]:
        """What waits to be stored of what attempts say."""
        return self._outcomes.line

    @property
    def running(self) -> int:
        """How many jobs were started here and have no outcome yet."""
        return len(self._pool.running)

    async def _ended(self, jobs: Sequence[Job]) -> None:
        self._burst.job_ended()
        await self._gates.ended(jobs)

    def set_quiet(self, quiet: bool) -> None:
        """Take nothing new from now on (a claim in flight ends first), or take it again."""
        self._claimer.set_quiet(quiet)

    def set_slots(self, slots: int) -> None:
        """Run up to ``slots`` jobs at once from now on; what runs beyond that goes on."""
        self._gauge.slots = slots
        self._outcomes.allow(slots + MAX_AHEAD)
        self._pool.resize(slots)

    def heard_from_store(self, running: list[Running]) -> None:
        """Take what a heartbeat brought; see ``Reconciler``."""
        self._reconciler.heard_from_store(running)

    def lose_lease(self) -> None:
        """Stop everything that runs: the others may take it from now on, and what is on its way here as well."""
        self._claimer.lose_lease()
        self._pool.stop_all(StopReason.LEASE_LOST)

    def stop_claiming(self) -> None:
        self._claimer.close()

    async def drain(self, *, grace_s: float, now: trio.Event) -> None:
        """Wait up to ``grace_s`` seconds, or until ``now`` is set, for what runs; then cancel it and wait for that.

        A claim that was in flight when claims were stopped comes first: what it brings still runs.
        """
        with trio.move_on_after(CLAIM_S):
            await self._claims_ended.wait()
        self._pool.close()
        with trio.move_on_after(grace_s):
            async with trio.open_nursery() as waiting:

                async def wait(event: trio.Event) -> None:
                    await event.wait()
                    waiting.cancel_scope.cancel()

                waiting.start_soon(wait, self._idle)
                waiting.start_soon(wait, now)
        if not self._idle.is_set():
            await reach("stop.before_hand_back")
            if running := self._pool.running:
                log.warning("node.handing_back", jobs=len(running))
            self._pool.stop_all(StopReason.SHUTDOWN)
            with trio.move_on_after(UNWIND_S):
                await self._idle.wait()

    async def load(self) -> Load | None:
        """See ``Gauge.read``."""
        return await self._gauge.read()

    @property
    def at_work_elsewhere(self) -> int:
        """How many handlers are in threads or processes just now; see ``Elsewhere.at_work``."""
        return self._pool.elsewhere.at_work

    def stack(self, job_id: str) -> str:
        """See ``Pool.stack``."""
        return self._pool.stack(job_id)

    def stacks(self, most: int) -> list[tuple[Job, str]]:
        """Return where up to ``most`` running handlers stand, the longest first; a snapshot. "" is another process."""
        first = sorted(self._pool.running, key=lambda job: (job.started_at or 0, job.id))[:most]
        return [(job, self._pool.stack(job.id)) for job in first]

    @property
    def zombies(self) -> list[str]:
        """Jobs whose handlers cannot be ended and keep trio from ending."""
        return [zombie.job_id for zombie in self._pool.zombies if zombie.where == "task"]
