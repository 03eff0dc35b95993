"""The link: all connections of one process to one Redis, and the state up or down.

A command has a line to itself until it is answered: a short one, one that blocks, a subscription. Nothing is retried.
One task owns the state: while up it tries the server now and then, while down about once a second. The first command
that fails takes the link down at once, and that ends all that waits; while down, every call fails without trying.

State: ``state`` and the lines (``_busy``, and ``_idle``, the last used at the end) are written here only.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import redis
import trio

from tickr.errors import IndexUnavailable
from tickr.redis_link.address import ANSWER_S, RedisAddress
from tickr.redis_link.line import Command, Line, open_line
from tickr.redis_link.reasons import reason_for
from tickr.redis_link.sentinels import Sentinels
from tickr.redis_link.state import State

LOOK_EVERY_S = 1.5
RETRY_EVERY_S = 1.0
"""With ``ANSWER_S`` a frozen server is noticed within 2.5 s, and one that is back within 2."""

MAX_SHORT = 8
"""Short commands under way at once; each takes a connection."""

MAX_WAITING = 32
"""Commands that block and subscriptions, under way at once."""

IDLE_S = 15.0
"""A line that was not used for so long, in seconds, is closed: something between us and the server may have cut it."""

END_WITHIN_S = 3.0
"""How long a cancelled command that blocks may take to end and to be undone."""

UNBLOCK_AGAIN_S = 0.02
"""``CLIENT UNBLOCK`` may arrive before the command that it shall end; then it is sent again."""

FAILURES = (redis.RedisError, OSError, trio.TooSlowError, trio.ClosedResourceError)


class RedisLink:
    """The connections to one Redis. Made by ``open_link``.

    Args:
      role: what this link is for: the first word of its log events.
      means: what it means for users when it is away.
    """

    def __init__(self, address: RedisAddress, *, role: str, means: str) -> None:
        self.address = address
        self._sentinels = Sentinels(address) if address.sentinels else None
        self._server = address  # where it is; where there are sentinels, as they said when the link came up
        self.state = State(role=role, server=str(address), means=means)
        self._threads = trio.CapacityLimiter(MAX_SHORT)
        self._short = trio.Semaphore(MAX_SHORT)
        self._waiting = trio.Semaphore(MAX_WAITING)
        self._idle: list[Line] = []
        self._busy: set[Line] = set()
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
        while self._idle and trio.current_time() - self._idle[0].last_used > IDLE_S:
            self._idle.pop(0).close()
        with suppress(IndexUnavailable):  # send has taken the link down
            await self.send(*self._trial)
            if self._sentinels:
                await self._look_for_master()

    async def _look_for_master(self) -> None:
        """Take the link down if the sentinels have named another: the old one may not know of it, and serve on."""
        generation, named = self.state.generation, self._server
        with trio.move_on_after(LOOK_EVERY_S), suppress(*FAILURES):  # without sentinels Redis is not away
            named = await self._find()
        if named != self._server:
            moved = redis.ConnectionError(f"the sentinels have named another master, {named.host}:{named.port}")
            raise self._failed(moved, generation)

    async def _find(self) -> RedisAddress:
        """Return where the server is. Raises: redis.RedisError: no sentinel knows."""
        if self._sentinels is None:
            return self.address
        return await trio.to_thread.run_sync(self._sentinels.find, limiter=self._threads, abandon_on_cancel=True)

    async def _check_role(self, line: Line) -> None:
        """Return if ``line`` leads to a master: one that was demoted may be named still, and take writes that are lost.

        Raises: redis.ConnectionError.
        """
        [[role, *_]] = await line.ask(("ROLE",))
        if role != b"master":
            where = f"{self._server.host}:{self._server.port}"
            raise redis.ConnectionError(f"{where}, which the sentinels name, is a {role.decode()} and not the master")

    async def _try(self) -> None:
        try:
            self._server = await self._find()
            line = await open_line(self._server, self._threads)
            try:
                await line.ask(*self._trial)
                if self._sentinels:
                    await self._check_role(line)
            except BaseException:
                line.close()
                raise
        except FAILURES as error:
            self.state.tell_away(reason_for(error))
        else:
            self.state.rise(str(self._server) if self._sentinels else None)
            self._idle.append(line)

    def _fall(self) -> None:
        self.state.fall()
        for line in (*self._busy, *self._idle):
            line.close()
        self._idle.clear()

    def _failed(self, error: Exception, generation: int) -> IndexUnavailable:
        """Take the link down for ``error``, unless it has been down since the failing command was sent."""
        if generation != self.state.generation:
            return self._away()
        reason = reason_for(error)
        self._fall()
        self.state.tell_away(reason)
        return IndexUnavailable(f"Redis at {self.address}: {reason}")

    def _check_up(self) -> None:
        if not self.state.up:
            raise self._away()

    def _away(self) -> IndexUnavailable:
        return IndexUnavailable(f"Redis at {self.address} is away.")

    # -- lines ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _line(self, places: trio.Semaphore) -> AsyncIterator[Line]:
        """A line for one command, once there is a place. What goes wrong with it takes the link down.

        Raises: IndexUnavailable.
        """
        self._check_up()
        async with places:
            self._check_up()
            generation, line = self.state.generation, None
            try:
                line = self._take_idle() or await open_line(self._server, self._threads)
                self._busy.add(line)
                yield line
            except FAILURES as error:
                raise self._failed(error, generation) from error
            finally:
                if line is not None:
                    self._leave(line, generation)

    def _take_idle(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            if not line.has_news():
                return line
            line.close()
        return None

    def _leave(self, line: Line, generation: int) -> None:
        self._busy.discard(line)
        if line.idle and generation == self.state.generation:
            self._idle.append(line)
        else:
            line.close()

    # -- commands ---------------------------------------------------------------------------------------------------

    async def send(self, *commands: Command) -> list[Any]:
        """Send commands in one write and return their replies. Not a transaction.

        Raises: IndexUnavailable: any of them may have been carried out.
        Cancellation: none was sent, or all were and the replies are returned.
        """
        async with self._line(self._short) as line:
            with trio.CancelScope(shield=True):
                replies = await line.ask(*commands)
        return replies

    async def wait(self, *command: str | float, wait_s: float, undo: Callable[[Any], Awaitable[None]]) -> Any:
        """Send a command that blocks for up to ``wait_s`` seconds and return its reply, None if there was nothing.

        Raises: IndexUnavailable: the reply, if there was one, is lost.
        Cancellation: the command is ended; if it had a reply all the same, that was given to ``undo``.
        """
        async with self._line(self._waiting) as line:
            with trio.CancelScope(shield=True), trio.fail_after(ANSWER_S):
                await line.send(command)
            try:
                with trio.fail_after(wait_s + ANSWER_S):
                    reply = await line.receive()
            except trio.Cancelled:
                with trio.move_on_after(END_WITHIN_S, shield=True), suppress(IndexUnavailable, *FAILURES):
                    if (reply := await self._unblock(line)) is not None:
                        await undo(reply)
                raise
            if isinstance(reply, redis.RedisError):
                raise reply
            return reply

    async def _unblock(self, line: Line) -> Any:
        while True:
            await self.send(("CLIENT", "UNBLOCK", line.client_id))
            with trio.move_on_after(UNBLOCK_AGAIN_S):
                reply = await line.receive()
                return None if isinstance(reply, redis.RedisError) else reply

    @asynccontextmanager
    async def subscribe(self, channel: str) -> AsyncIterator[Callable[[], Awaitable[bytes]]]:
        """Subscribe to ``channel`` for the block, which gets a function that returns the next message.

        A connection that died without a word is noticed by TCP's keepalive, or with the link.
        Raises: IndexUnavailable, in the block.
        """
        async with self._line(self._waiting) as line:
            await line.ask(("SUBSCRIBE", channel))

            async def message() -> bytes:
                await trio.lowlevel.checkpoint()  # so that whoever hears has a turn while many come at once
                _, _, body = await line.receive()
                return bytes(body)

            try:
                yield message
            finally:
                line.close()

    def close(self) -> None:
        """End everything that waits and let nothing begin; whoever still waits here gets ``IndexUnavailable``."""
        if self.state.up:
            self._fall()


@asynccontextmanager
async def open_link(address: RedisAddress, *, role: str, means: str) -> AsyncIterator[RedisLink]:
    """Open the link to a Redis. A server that cannot be reached is no error: then the link is down until it is there.

    Cancellation: returns at once; no thread is left but one that may still be connecting.
    """
    link = RedisLink(address, role=role, means=means)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(link.keep)
            try:
                yield link
            finally:
                link.close()
                nursery.cancel_scope.cancel()
    finally:
        link.close()  # it may have come up in that very moment
