"""A line: one connection to Redis, used by one task at a time.

redis-py connects and logs in, in a thread, since it knows TLS, AUTH and the rest; from then on hiredis packs and parses
and trio moves the bytes, so that a command costs no thread. See docs/decisions/0024-redis-without-threads.md.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any

import hiredis
import redis
import trio
from redis.connection import DefaultParser

from tickr.redis_link.address import ANSWER_S, RedisAddress

Command = tuple[str | bytes | int | float, ...]

READ_BYTES = 65_536
_NOTHING = object()


class Line:
    """An open connection. Made by ``open_line``.

    Errors of all methods: redis.RedisError, OSError, trio.TooSlowError or trio.ClosedResourceError, after which the
    line is good for nothing. Any other error leaves it as ``idle`` says.

    Attributes:
      client_id: what ``CLIENT UNBLOCK`` calls this connection.
      last_used: trio's clock, seconds.
    """

    def __init__(self, sock: socket.socket, client_id: int) -> None:
        sock.setblocking(False)
        self.client_id = client_id
        self.last_used = trio.current_time()
        self._sock = sock
        self._reader = hiredis.Reader(
            protocolError=redis.InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=_NOTHING
        )
        self._owed = 0
        self._closed = False

    @property
    def idle(self) -> bool:
        """Whether it is open and nothing that was asked has yet to be answered."""
        return not self._closed and not self._owed

    def has_news(self) -> bool:
        """Whether an idle line has something to say all the same: most likely that the server has closed it."""
        try:
            self._sock.recv(1)
        except (BlockingIOError, ssl.SSLWantReadError):
            return False
        except OSError:
            return True
        return True

    async def ask(self, *commands: Command) -> list[Any]:
        """Send commands in one write and return their replies.

        Raises: redis.ResponseError: the server refuses one of them; the others have been carried out.
        """
        with trio.fail_after(ANSWER_S):
            await self.send(*commands)
            replies = [await self.receive() for _ in commands]
        for reply in replies:
            if isinstance(reply, redis.RedisError):
                raise reply
        return replies

    async def send(self, *commands: Command) -> None:
        """Send commands; ``receive`` is to be called for each. Cancellation: the line is not ``idle`` any more."""
        self._owed += len(commands)
        unsent = memoryview(b"".join([hiredis.pack_command(command) for command in commands]))  # type: ignore[arg-type]
        while unsent:
            try:
                unsent = unsent[self._sock.send(unsent) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                await trio.lowlevel.wait_writable(self._sock)
            except ssl.SSLWantReadError:
                await trio.lowlevel.wait_readable(self._sock)

    async def receive(self) -> Any:
        """Return the next reply, an error of the server included. Cancellation: no reply is lost."""
        while (reply := self._reader.gets()) is _NOTHING:
            self._reader.feed(await self._read())
        self._owed -= 1
        self.last_used = trio.current_time()
        return reply

    async def _read(self) -> bytes:
        while True:
            try:
                data = self._sock.recv(READ_BYTES)
            except (BlockingIOError, ssl.SSLWantReadError):
                await trio.lowlevel.wait_readable(self._sock)
            except ssl.SSLWantWriteError:
                await trio.lowlevel.wait_writable(self._sock)
            else:
                if not data:
                    raise redis.ConnectionError("the server has closed the connection")
                return data

    def close(self) -> None:
        """End it; a task that waits for it gets ``trio.ClosedResourceError``. Any number of times."""
        if not self._closed:
            self._closed = True
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()


async def open_line(address: RedisAddress, threads: trio.CapacityLimiter) -> Line:
    """Connect and log in.

    Raises: redis.RedisError or OSError, after a few times ``ANSWER_S`` at most.
    Cancellation: nothing stays open but in a thread that may still be connecting, and closes what it gets.
    """
    made: list[socket.socket] = []
    wanted = True

    def connect() -> int:
        connection: Any = address.connection_class()(**address.settings())
        try:
            connection.connect()
            connection.send_command("CLIENT", "ID")
            client_id: int = connection.read_response()
        except BaseException:
            connection.disconnect()
            raise
        made.append(connection._sock)
        connection._sock = None
        if not wanted:
            drop()
        return client_id

    def drop() -> None:
        with suppress(IndexError):  # here and there at once, whoever takes it out closes it
            made.pop().close()

    try:
        client_id = await trio.to_thread.run_sync(connect, limiter=threads, abandon_on_cancel=True)
    except trio.Cancelled:
        wanted = False
        drop()
        raise
    return Line(made.pop(), client_id)
