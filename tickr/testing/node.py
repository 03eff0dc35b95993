"""Node: one node of a test as if it were a process: started, asked, stopped, killed.

It is a real one (``service.Service``) without HTTP, with an index and a bell of its own that end with it, on the store
that all nodes of the test share one after the other. *Killed*: from that instant nothing of it reaches the store or
whoever asked it; its tasks are cancelled to be rid of them. Python can not do away with a handler as the kernel does:
its ``finally`` blocks run on the way, and a thread runs to its end, before the next node starts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TypeVar, cast

import outcome
import trio

from tickr.api.doors import Doors
from tickr.bell import LocalBell
from tickr.config import Config
from tickr.handle import Handle
from tickr.index.heap import HeapIndex
from tickr.service import Service
from tickr.store.contract import Store
from tickr.surroundings import Surroundings
from tickr.testing.truth import Fence, WatchedStore
from tickr.worker.handlers import Jobs

Answer = TypeVar("Answer")

RUNNING_IN: ContextVar[Node | None] = ContextVar("RUNNING_IN", default=None)
"""Whose code a task runs."""


class Node:
    """Attributes:
    handle: while it serves.
    ended: set when it has.
    dead: it was killed. elsewhere: with its machine, so that nobody can tell that it is dead.
    """

    def __init__(self, config: Config, jobs: Jobs, surroundings: Surroundings, store: WatchedStore) -> None:
        self.handle: Handle | None = None
        self.ended = trio.Event()
        self._serves_or_ended = trio.Event()
        self.dead = self.elsewhere = False
        self._service = Service(config, jobs, surroundings=surroundings)
        self._fence = Fence(store)
        self._scope = trio.CancelScope()
        self._asking: set[trio.Event] = set()

    async def run(self) -> None:
        """Live until stopped or killed. Raises: what ends a node that should not."""
        RUNNING_IN.set(self)
        try:
            with self._scope:
                await self._live()
        except Exception:
            if not self.dead:  # what comes of a killed one is nobody's concern
                raise
        finally:
            self.handle = None
            self.ended.set()
            self._serves_or_ended.set()
            self._hang_up()

    async def _live(self) -> None:
        store = cast("Store", self._fence)
        async with trio.open_nursery() as self._requests:
            async with trio.open_nursery() as tasks:
                await self._service.live_on(self._service.wired(store, HeapIndex(), LocalBell()), tasks, Doors(), self)
            self._requests.cancel_scope.cancel()

    def started(self, handle: Handle) -> None:
        """Called by the node once it serves."""
        self.handle = handle
        self._serves_or_ended.set()

    async def serves_or_has_ended(self) -> None:
        await self._serves_or_ended.wait()

    @property
    def serves(self) -> bool:
        return self.handle is not None and not self.dead

    @property
    def at_work_elsewhere(self) -> int:
        """See ``Worker.at_work_elsewhere`` and ``Foretell.at_work``."""
        if self.ended.is_set():
            return 0
        worker, foretell = self._service.worker, self._service.foretell
        return (worker.at_work_elsewhere if worker else 0) + (foretell.at_work if foretell else 0)

    def stack(self, job_id: str) -> str:
        """See ``Pool.stack``."""
        return self._service.worker.stack(job_id) if self._service.worker else ""

    @property
    def zombies(self) -> list[str]:
        """See ``Worker.zombies``."""
        return self._service.worker.zombies if self._service.worker else []

    async def ask(self, call: Callable[[Handle], Awaitable[Answer]]) -> outcome.Outcome[Answer] | None:
        """Have the node do what ``call`` does with its handle, as for a client. None: it died, and who knows.

        Cancellation: it may be done all the same.
        """
        answers: list[outcome.Outcome[Answer]] = []
        handle, done = self.handle, trio.Event()
        assert handle is not None, "asked a node that does not serve"
        self._asking.add(done)

        async def serve() -> None:
            RUNNING_IN.set(self)
            try:
                answer: outcome.Outcome[Answer] = outcome.Value(await call(handle))
            except Exception as error:
                answer = outcome.Error(error)
            if not self.dead:
                answers.append(answer)
            done.set()

        self._requests.start_soon(serve)
        await done.wait()
        self._asking.discard(done)
        return answers[0] if answers else None

    def _hang_up(self) -> None:
        """Whoever waits for an answer notices that there will be none."""
        for done in self._asking:
            done.set()

    # -- what is done to it -------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask it to stop gracefully."""
        if self.handle is not None:
            self.handle.stop()

    def kill(self, *, elsewhere: bool) -> None:
        self.dead, self.elsewhere = True, elsewhere
        self._fence.closed = True
        self._hang_up()
        self._scope.cancel()
