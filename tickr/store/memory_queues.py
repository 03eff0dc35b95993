"""Queues in memory: how deep they are, what is set on them, and who may start. Nothing here waits.

State: ``_controls`` and ``_windows``, by queue, hold only queues that are not plain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

import trio

from tickr import events
from tickr.errors import QueueNotEmpty, QueueNotFound
from tickr.events import ThingEvent
from tickr.jobs import UNENDED, WAITING, Job, State
from tickr.queues import (
    NO_STARTS,
    Controls,
    Gate,
    Hold,
    JobOrder,
    Limits,
    Setting,
    Standing,
    Window,
    counted_together,
    deleted,
    gates,
    in_order,
    told,
)
from tickr.store.answers import QueueDepth
from tickr.store.contract import Clock


class QueueControls:
    """What is set on queues, and what was started in them lately."""

    def __init__(self) -> None:
        self._controls: dict[str, Controls] = {}
        self._windows: dict[str, Window] = {}

    @property
    def controlled(self) -> Collection[str]:
        """The names of the queues with gates."""
        return {name for name, controls in self._controls.items() if controls.gated}

    @property
    def newest_first(self) -> frozenset[str]:
        return frozenset(name for name, controls in self._controls.items() if controls.order == "newest")

    def change(
        self, queue: str, make: Callable[[Controls], Controls], now: int, mark: str
    ) -> tuple[Controls, tuple[ThingEvent, ...]]:
        """Make other controls of those of a queue. Returns: what holds now, and what there is to tell."""
        before = self._controls.get(queue, Controls()).at(now)
        controls = make(before)
        if controls.plain:
            self._controls.pop(queue, None)
            self._windows.pop(queue, None)
        else:
            self._controls[queue] = controls
        return controls, told(queue, before, controls, now, mark)

    def drop(self, queue: str) -> Controls:
        """Set nothing on a queue any more. Returns: what was."""
        self._windows.pop(queue, None)
        return self._controls.pop(queue, Controls())

    def standings(self, queues: Collection[str] | None, running: Iterable[Job]) -> list[Standing]:
        """See ``Store.standings``. ``running``: all jobs that run."""
        wanted = self._controls.keys() if queues is None else self._controls.keys() & set(queues)
        if not wanted:
            return []
        keys = Counter((job.queue, job.limit_key) for job in running)
        found = [
            Standing(
                name=name,
                controls=self._controls[name],
                running=sum(count for (queue, _), count in keys.items() if queue == name),
                keys={key: count for (queue, key), count in keys.items() if queue == name and key is not None},
                window=self._windows.get(name, NO_STARTS),
            )
            for name in sorted(self._controls)
        ]
        return [standing for standing in counted_together(found) if standing.name in wanted]

    def gates(self, queues: Collection[str], running: Iterable[Job], now: int) -> dict[str, Gate]:
        """Return the gates of ``queues``."""
        return gates(self.standings(queues, running), now)

    def fitting(
        self, due: Iterable[Job], limit: int, queues: Mapping[str, int] | None, running: Iterable[Job], now: int
    ) -> list[Job]:
        """Return the first ``limit`` of the jobs in ``due`` that may start; ``queues`` as in ``Store.claim_due``."""
        gates = self.gates(self._controls, running, now)
        rooms = None if queues is None else dict(queues)
        chosen: list[Job] = []
        for job in in_order(due, self.newest_first):
            if len(chosen) == limit:
                break
            if rooms is not None and rooms.get(job.queue, 0) < 1:
                continue
            if job.queue not in gates or gates[job.queue].admit(job):
                chosen.append(job)
                if rooms is not None:
                    rooms[job.queue] -= 1
        return chosen

    def keep_starts(self, passed: Mapping[str, Gate]) -> None:
        """Keep what was started through gates that count it."""
        for gate in passed.values():
            if gate.limits.rate is not None and gate.admitted:
                self._windows[gate.name] = gate.window


def depth(name: str, held: Iterable[Job], now: int, count_to: int) -> QueueDepth:
    """Return how deep the queue ``name`` is; ``held``: all jobs that wait or run."""
    mine = [job for job in held if job.queue == name]
    states = [job.state_at(now) for job in mine]
    return QueueDepth(
        name=name,
        ready=min(states.count(State.READY), count_to),
        scheduled=min(states.count(State.SCHEDULED), count_to),
        retrying=min(states.count(State.RETRYING), count_to),
        running=min(states.count(State.RUNNING), count_to),
        oldest_due_at=min((job.run_at for job in mine if job.state in WAITING and job.run_at <= now), default=None),
        counted_to=count_to,
    )


class MemoryQueues:
    """What is set on queues, of the contract."""

    _clock: Clock
    _controls: QueueControls
    _queues: set[str]
    _by_state: dict[State, dict[str, Job]]

    def _running(self) -> Iterable[Job]:
        raise NotImplementedError

    def _tell(self, body: str, now: int) -> None:
        raise NotImplementedError

    async def control(
        self,
        queue: str,
        *,
        paused: bool | None = None,
        until: int | None = None,
        limits: Limits | None = None,
        order: JobOrder | None = None,
        mark: str = "",
    ) -> Controls:
        await trio.lowlevel.checkpoint()
        self._queues.add(queue)
        now = self._clock()
        setting = Setting(paused, until, limits, order)
        controls, happened = self._controls.change(queue, lambda before: before.but(setting), now, mark)
        if happened:
            self._tell(events.encode(happened), now)
        return controls

    def _hold(self, hold: Hold, now: int) -> None:
        _, happened = self._controls.change(
            hold.queue, lambda before: before.held(now + hold.length_us), now, hold.mark
        )
        if happened:
            self._tell(events.encode(happened), now)

    async def drop_queue(self, queue: str, *, mark: str = "") -> None:
        await trio.lowlevel.checkpoint()
        if queue not in self._queues:
            raise QueueNotFound(queue)
        if any(job.queue == queue for state in UNENDED for job in self._by_state[state].values()):
            raise QueueNotEmpty(queue)
        self._queues.remove(queue)
        now = self._clock()
        self._tell(events.encode([deleted(queue, self._controls.drop(queue), now, mark)]), now)

    async def standings(self, queues: Collection[str] | None = None) -> list[Standing]:
        await trio.lowlevel.checkpoint()
        return self._controls.standings(queues, self._running())

    async def newest_first(self) -> frozenset[str]:
        await trio.lowlevel.checkpoint()
        return self._controls.newest_first
