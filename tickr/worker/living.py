"""Living: the lifespans of a node's handlers, entered before its first claim and left when its last attempt has ended.

Comes in: the ``Lifespan`` of each ``Jobs`` whose handlers a node runs. Goes out: what it yields, as ``job.shared`` of
those handlers. Each lives in a task of its own, so that what it opens (a nursery that one of its tasks fails in) never
cancels the node: that stops as it is asked to, and then says why.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import structlog
import trio

from tickr.errors import LifespanFailed
from tickr.worker.failures import cause
from tickr.worker.lifespan import Lifespan, name_of

LEAVES_WITHIN_S = 10.0
"""How long one may take to be left at a stop, in seconds; then it is cancelled."""

log = structlog.get_logger("tickr.worker")


class Sharing(Protocol):
    """Whose handlers share; ``Jobs``."""

    @property
    def lifespans(self) -> Sequence[Lifespan]: ...
    def share(self, lifespan: Lifespan, value: Any) -> None: ...


class Stoppable(Protocol):
    """How a node is asked to stop; ``Stop`` in ``handle.py``."""

    draining: trio.Event

    def drain(self) -> None: ...


@asynccontextmanager
async def living(jobs: Sharing, stop: Stoppable) -> AsyncIterator[bool]:
    """Have the lifespans of ``jobs`` entered for the time of the block, one after the other, and left in reverse.

    Yields: whether they are; False: a stop was asked for before.
    Raises: LifespanFailed: one of them did, as it was entered, as it was left, or between, which stops the node.
    """
    lives = [_Life(one, stop) for one in jobs.lifespans]
    if not lives:
        yield True
        return
    async with trio.open_nursery() as nursery:
        entered = await _enter(nursery, jobs, lives, stop)
        try:
            yield entered
        finally:
            for life in reversed(lives):
                await life.end()
    for life in lives:
        if life.failure is not None:
            raise life.failure


async def _enter(nursery: trio.Nursery, jobs: Sharing, lives: Sequence[_Life], stop: Stoppable) -> bool:
    async with trio.open_nursery() as watching:
        watching.start_soon(_cancel_when, stop.draining, watching.cancel_scope)
        for life in lives:
            jobs.share(life.lifespan, await nursery.start(life.run))
        watching.cancel_scope.cancel()
    return all(life.is_entered for life in lives)


async def _cancel_when(asked: trio.Event, scope: trio.CancelScope) -> None:
    await asked.wait()
    scope.cancel()


class _Life:
    """One lifespan of one node. ``failure``: what it came to, if it failed once it was entered."""

    def __init__(self, lifespan: Lifespan, stop: Stoppable) -> None:
        self.lifespan = lifespan
        self.failure: LifespanFailed | None = None
        self._stop = stop
        self._scope = trio.CancelScope()
        self._leave = trio.Event()
        self._left: trio.Event | None = None  # None: it was not entered

    @property
    def is_entered(self) -> bool:
        return self._left is not None

    async def run(self, task_status: trio.TaskStatus[Any]) -> None:
        try:
            with self._scope:
                await self._live(task_status)
        except Exception as error:  # code of others
            when = (
                "as it was entered" if self._left is None else "as it was left" if self._leave.is_set() else "meanwhile"
            )
            failure = LifespanFailed(f"The lifespan {name_of(self.lifespan.function)} failed {when}: {_told(error)}")
            failure.__cause__ = error
            if self._left is None:
                raise failure from error
            self._fail(failure)
        else:
            if self._left is not None and not self._leave.is_set():
                self._fail(LifespanFailed(f"The lifespan {name_of(self.lifespan.function)} ended before its node."))
        finally:
            if self._left is not None:
                self._left.set()

    async def _live(self, task_status: trio.TaskStatus[Any]) -> None:
        assert self.lifespan.function is not None, "only those that are registered are entered"
        async with self.lifespan.function() as value:
            self._left = trio.Event()
            task_status.started(value)
            await self._leave.wait()

    def _fail(self, failure: LifespanFailed) -> None:
        self.failure = failure
        log.error("node.lifespan_failed", error=str(failure), exc_info=failure.__cause__)
        self._stop.drain()

    async def end(self) -> None:
        """Leave it. Returns when that is done, or has been cancelled after ``LEAVES_WITHIN_S``."""
        if self._left is None:
            return
        self._leave.set()
        with trio.move_on_after(LEAVES_WITHIN_S):
            await self._left.wait()
            return
        log.error("node.lifespan_left_late", lifespan=name_of(self.lifespan.function), seconds=LEAVES_WITHIN_S)
        self._scope.cancel()


def _told(error: BaseException) -> str:
    error = cause(error)
    return f"{type(error).__name__}: {error}"
