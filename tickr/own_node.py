"""This process's node as its orders and its API reach it: what it is, and how it comes to be otherwise.

Comes in: orders from the store (``orders.py``), signals. Goes out: calls of the worker, the wish to stop. What it says
of itself is kept with the lease, which registers it anew under another id one day.
"""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable

import structlog
import trio

from tickr.jobs import Job
from tickr.lease import Lease
from tickr.orders import Orders
from tickr.store.contract import Node
from tickr.store.orders import Order
from tickr.worker.worker import Worker

MOST_STACKS = 200
"""Of so many running jobs it is told where they stand."""
ELSEWHERE = "(not begun, or in another process)"
SOON_OVER_S = 1.0
"""A stop that takes no longer, in seconds, is not told of."""
SIGNALS_KEPT = 16
"""So many signals that do not end the node are kept for it until it has started."""

log = structlog.get_logger("tickr.service")


class OwnNode:
    """A running node. ``worker`` is None for one without the role; ``stop`` asks it to end gracefully."""

    def __init__(self, lease: Lease, worker: Worker | None, stop: Callable[[], None]) -> None:
        self._lease = lease
        self._worker = worker
        self._stop = stop

    @property
    def about(self) -> Node:
        """See ``orders.Subject``, as for the others."""
        return self._lease.about

    @property
    def works(self) -> bool:
        return self._worker is not None

    def set_quiet(self, quiet: bool) -> None:
        self._lease.be(quiet=quiet)
        if self._worker:
            self._worker.set_quiet(quiet)

    def set_slots(self, slots: int) -> None:
        self._lease.be(slots=slots)
        if self._worker:
            self._worker.set_slots(slots)

    def stop(self) -> None:
        self._stop()

    def stacks(self) -> list[tuple[Job, str]]:
        """Return what runs here and where it stands; see ``Worker.stacks``."""
        return self._worker.stacks(MOST_STACKS) if self._worker else []

    def write_stacks(self) -> None:
        """Write into the log where the running handlers stand. They go on meanwhile."""
        found = self.stacks()
        log.info("node.stacks", node=self.about.id, jobs=len(found))
        for job, stack in found:
            log.info("job.stack", job=job.id, type=job.type, attempt=job.attempt, stack=stack or ELSEWHERE)


async def heed(signals: AsyncIterator[int], own: OwnNode, orders: Orders) -> None:
    """Do what signals want that do not end the process, until cancelled.

    SIGTTIN writes into the log where the running handlers stand.

    SIGTSTP has the node take nothing new, and stay; SIGCONT after it has it take work again. A process that was stopped
    and goes on gets SIGCONT as well, so that one alone means nothing.
    """
    was_told, telling = False, trio.CancelScope()

    async def tell(quiet: bool, scope: trio.CancelScope) -> None:
        with scope:
            await orders.tell_self(own, Order(quiet=quiet))

    async with trio.open_nursery() as nursery:
        async for number in signals:
            if number == signal.SIGTTIN:
                own.write_stacks()
            quiet = number == signal.SIGTSTP
            if not own.works or number not in (signal.SIGTSTP, signal.SIGCONT) or not (quiet or was_told):
                continue
            log.info("node.signalled", signal=signal.Signals(number).name)
            telling.cancel()  # what the signal before it wanted, should the store not have taken it yet
            was_told, telling = quiet, trio.CancelScope()
            nursery.start_soon(tell, quiet, telling)


async def tell_when_stopping(draining: trio.Event, own: OwnNode, orders: Orders) -> None:
    """Let the others know of a stop that takes a while. One that is soon over is seen by the row that is gone."""
    await draining.wait()
    await trio.sleep(SOON_OVER_S)
    await orders.tell_self(own, Order(stop=True))
