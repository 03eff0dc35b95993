"""A line: one connection to Redis for a command that blocks, used by one thread at a time.

A thread sits in ``ask`` or ``listen``; trio's thread may look at ``client_id`` and may ``cut`` the line, which wakes
that thread with an error. Everything else belongs to the thread that uses the line.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import redis

from tickr.redis_link.address import ANSWER_S, RedisAddress


class Line:
    """A connection of its own, made when it is first used."""

    def __init__(self, address: RedisAddress) -> None:
        self._connection: Any = address.connection_class()(**address.settings())
        self.is_cut = False
        self.client_id: int | None = None
        """What ``CLIENT UNBLOCK`` calls this connection; None until there is one."""

    def ask(self, *command: str | float, wait_s: float) -> Any:
        """Send a command that the server answers within ``wait_s`` seconds and return the answer. In a thread.

        Raises: redis.RedisError or OSError: the line must be closed; whether the command was carried out is unknown.
        """
        self._connect()
        self._connection.send_command(*command)
        return self._connection.read_response(timeout=wait_s + ANSWER_S)

    def listen(self, channel: str, subscribed: Callable[[], None], message: Callable[[bytes], None]) -> None:
        """Subscribe to ``channel`` and call back for every message, until the line breaks or is cut. In a thread.

        Raises: redis.RedisError or OSError, always in the end. A connection that died without a word is noticed by
        TCP's keepalive.
        """
        self._connect()
        self._connection.send_command("SUBSCRIBE", channel)
        while True:
            kind, _, body = self._connection.read_response(timeout=None)
            if kind == b"subscribe":
                subscribed()
            elif kind == b"message":
                message(body)

    def cut(self) -> None:
        """Wake the thread that uses this line with an error. From any thread, any number of times."""
        self.is_cut = True
        self._shut()

    def close(self) -> None:
        """Give the socket back. Only while no thread uses the line."""
        self._connection.disconnect()

    def _connect(self) -> None:
        connection = self._connection
        if connection.is_connected:
            try:
                stale = connection.can_read(0)
            except (redis.RedisError, OSError):
                stale = True
            if stale:
                connection.disconnect()
        if not connection.is_connected:
            self.client_id = None
            connection.connect()
            connection.send_command("CLIENT", "ID")
            self.client_id = connection.read_response()
        # Whoever cuts sets the mark first and shuts the socket then, so one of us two sees the other.
        if self.is_cut:
            self._shut()

    def _shut(self) -> None:
        # Shut, not closed: closing would free the descriptor's number under the thread that is still reading from it.
        sock: socket.socket | None = self._connection._sock
        if sock is not None:
            with contextlib.suppress(OSError):
                # Past TLS: its own ``shutdown`` forgets the encryption first, and a thread about to send would not.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
