"""The link: all connections of one process to one Redis, and the state up or down.

Short commands share a small pool; a command that blocks and a subscription have a line each. redis-py is called in
threads and never retries. One task owns the state: while up it tries the server now and then, while down about once a
second. The first command that fails takes the link down at once, and that ends all that blocks; while down, every call
fails without trying.

State: ``state`` and the lines (``_lines`` in use by a thread, ``_idle`` by none) are written in trio's thread only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import redis
import trio

from tickr.errors import IndexUnavailable
from tickr.redis_link.address import RedisAddress
from tickr.redis_link.line import Line
from tickr.redis_link.reasons import reason_for
from tickr.redis_link.state import State

LOOK_EVERY_S = 1.5
RETRY_EVERY_S = 1.0
"""With ``ANSWER_S`` a frozen server is noticed within 2.5 s, and one that is back within 2."""

MAX_SHORT = 8
"""Short commands under way at once; each takes a thread and a connection."""

MAX_LINES = 32
"""Commands that block, under way at once."""

END_WITHIN_S = 3.0
"""How long a cancelled command that blocks may take to end and to be undone."""

UNBLOCK_AGAIN_S = 0.02
"""``CLIENT UNBLOCK`` may arrive before the command that it shall end; then it is sent again."""

Command = tuple[str | bytes | int | float, ...]


class Errand:
    """One use of a line by a thread. ``done`` is set when the thread has left it, with ``reply`` or ``error``."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.done = trio.Event()
        self.reply: Any = None
        self.error: IndexUnavailable | None = None


class RedisLink:
    """The connections to one Redis. Made by ``open_link``.

    Args:
      pool: at most ``MAX_SHORT`` connections for short commands.
      nursery: where the threads' keepers live; outlives every caller.
      role: what this link is for: the first word of its log events.
      means: what it means for users when it is away.
    """

    def __init__(
        self, address: RedisAddress, pool: redis.ConnectionPool, nursery: trio.Nursery, *, role: str, means: str
    ) -> None:
        self.address = address
        self._nursery = nursery
        self.state = State(role=role, server=str(address), means=means)
        self._pool = pool
        self._client: Any = redis.Redis(connection_pool=pool)
        self._threads = trio.CapacityLimiter(MAX_SHORT)
        self._line_threads = trio.CapacityLimiter(MAX_LINES)
        self._line_slots = trio.Semaphore(MAX_LINES)
        self._idle: list[Line] = []
        self._lines: set[Line] = set()
        # A write and the pop: a read-only replica, a full server and one too old answer PING as well.
        self._trial: list[Command] = [
            ("SET", address.key("trial"), "1", "PX", 1000),
            ("ZMPOP", 1, address.key("none"), "MIN"),
        ]

    # -- the watch --------------------------------------------------------------------------------------------------

    async def keep(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Own the state until cancelled; started once the server was tried for the first time."""
        await self._try()
        task_status.started()
        while True:
            if not self.state.up:
                await trio.sleep(RETRY_EVERY_S)
                await self._try()
                continue
            with trio.move_on_after(LOOK_EVERY_S) as quiet:
                await self.state.wait_down()
            if quiet.cancelled_caught and self.state.up:
                await self._look()

    async def _look(self) -> None:
        with suppress(IndexUnavailable):  # send has taken the link down
            await self.send(*self._trial)

    async def _try(self) -> None:
        run = partial(self._run, self._trial)
        try:
            await trio.to_thread.run_sync(run, limiter=self._threads, abandon_on_cancel=True)
        except (redis.RedisError, OSError) as error:
            self.state.tell_away(reason_for(error))
        else:
            self.state.rise()

    def _fall(self) -> None:
        self.state.fall()
        for line in self._lines:
            line.cut()
        for line in self._idle:
            line.close()
        self._idle.clear()
        self._pool.disconnect(inuse_connections=False)

    def _failed(self, error: Exception, generation: int) -> IndexUnavailable:
        """Take the link down for ``error``, unless it has been down since the failing command was sent."""
        reason = reason_for(error)
        if self.state.up and generation == self.state.generation:
            self._fall()
            self.state.tell_away(reason)
        return IndexUnavailable(f"Redis at {self.address}: {reason}")

    def _check_up(self) -> int:
        if not self.state.up:
            raise self._away()
        return self.state.generation

    def _away(self) -> IndexUnavailable:
        return IndexUnavailable(f"Redis at {self.address} is away.")

    # -- short commands ---------------------------------------------------------------------------------------------

    async def send(self, *commands: Command) -> list[Any]:
        """Send commands in one write and return their replies. Not a transaction.

        Raises: IndexUnavailable: any of them may have been carried out.
        Cancellation: none was sent, or all were and the replies are returned.
        """
        generation = self._check_up()

        def run() -> list[Any]:
            if generation != self.state.generation:  # it went down while we waited for a thread
                raise self._away()
            return self._run(commands)

        try:
            return await trio.to_thread.run_sync(run, limiter=self._threads)
        except (redis.RedisError, OSError) as error:
            raise self._failed(error, generation) from error

    def _run(self, commands: Sequence[Command]) -> list[Any]:
        with self._client.pipeline(transaction=False) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            replies: list[Any] = pipeline.execute()
            return replies

    # -- commands that block ----------------------------------------------------------------------------------------

    async def wait(self, *command: str | float, wait_s: float, undo: Callable[[Any], Awaitable[None]]) -> Any:
        """Send a command that blocks for up to ``wait_s`` seconds and return its reply, None if there was nothing.

        Raises: IndexUnavailable: the reply, if there was one, is lost.
        Cancellation: the command is ended; if it had a reply all the same, that was given to ``undo``.
        """
        async with self._line_slots:
            errand = self._start_errand(lambda line: line.ask(*command, wait_s=wait_s))
            try:
                await errand.done.wait()
            except trio.Cancelled:
                with trio.move_on_after(END_WITHIN_S, shield=True):
                    await self._unblock(errand)
                    if errand.reply is not None:
                        await undo(errand.reply)
                if not errand.done.is_set():
                    errand.line.cut()
                raise
        if errand.error is not None:
            raise errand.error
        return errand.reply

    async def subscribe(
        self,
        channel: str,
        *,
        subscribed: Callable[[], None],
        message: Callable[[bytes], None],
        wanted: Callable[[bytes], bool],
    ) -> None:
        """Call ``message`` for what is published on ``channel``; ``subscribed`` comes first. Both in trio's thread.

        Args:
          wanted: asked first, in another thread, so that what nobody wants does not even wake trio's.
        Raises: IndexUnavailable, in the end.
        Cancellation: nothing is called any more.
        """

        def use(line: Line) -> None:
            call = trio.from_thread.run_sync
            line.listen(channel, lambda: call(subscribed), lambda body: call(message, body) if wanted(body) else None)

        async with self._line_slots:
            errand = self._start_errand(use)
            try:
                await errand.done.wait()
            finally:
                errand.line.cut()
                with trio.move_on_after(END_WITHIN_S, shield=True):
                    await errand.done.wait()
        raise errand.error or self._away()

    def _start_errand(self, use: Callable[[Line], Any]) -> Errand:
        """Begin to use a line in a thread. The task that keeps that thread is the link's, so its asker may leave."""
        generation = self._check_up()
        errand = Errand(self._idle.pop() if self._idle else Line(self.address))
        self._lines.add(errand.line)
        self._nursery.start_soon(self._keep_errand, errand, use, generation)
        return errand

    async def _keep_errand(self, errand: Errand, use: Callable[[Line], Any], generation: int) -> None:
        line, sound = errand.line, False
        try:
            errand.reply = await trio.to_thread.run_sync(use, line, limiter=self._line_threads)
            sound = generation == self.state.generation and not line.is_cut
        except (redis.RedisError, OSError) as error:
            # A line that was cut says nothing about the server.
            errand.error = self._away() if line.is_cut else self._failed(error, generation)
        finally:
            self._lines.discard(line)
            if sound:
                self._idle.append(line)
            else:
                line.close()
            errand.done.set()

    async def _unblock(self, errand: Errand) -> None:
        while not errand.done.is_set():
            try:
                if errand.line.client_id is not None:
                    await self.send(("CLIENT", "UNBLOCK", errand.line.client_id))
            except IndexUnavailable:
                errand.line.cut()
            with trio.move_on_after(UNBLOCK_AGAIN_S):
                await errand.done.wait()

    def close(self) -> None:
        """End everything that blocks and let nothing begin; whoever still waits here gets ``IndexUnavailable``."""
        if self.state.up:
            self._fall()


@asynccontextmanager
async def open_link(address: RedisAddress, *, role: str, means: str) -> AsyncIterator[RedisLink]:
    """Open the link to a Redis. A server that cannot be reached is no error: then the link is down until it is there.

    Cancellation: returns within ``END_WITHIN_S``; no thread is left but one that may still be connecting.
    """
    pool = redis.ConnectionPool(address.connection_class(), max_connections=MAX_SHORT, **address.settings())
    with pool:  # closed last, when no thread uses it any more
        async with trio.open_nursery() as nursery:
            link = RedisLink(address, pool, nursery, role=role, means=means)
            await nursery.start(link.keep)
            try:
                yield link
            finally:
                link.close()
                nursery.cancel_scope.cancel()
