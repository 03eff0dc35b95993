"""Readiness: tells whoever started this program, as systemd wants it, when it serves and when it begins to stop.

Comes in: the socket that NOTIFY_SOCKET names (sd_notify(3)). Goes out: a datagram for each word. Without the variable
nothing is said. A word that cannot be said is logged and changes nothing else: work goes on.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import structlog
import trio

VARIABLE = "NOTIFY_SOCKET"
READY, STOPPING = "READY=1", "STOPPING=1"

Notify = Callable[[str], None]
"""Says one or more lines. Never waits, never raises."""

log = structlog.get_logger("tickr")


def nobody_waits(_: str) -> None:
    """A ``Notify`` for who has nobody to tell."""


def take_notify() -> Notify:
    """Return how to tell the service manager, once: the variable is taken away from the processes that are started."""
    where = os.environ.pop(VARIABLE, "")
    if not where:
        return nobody_waits
    address = "\0" + where[1:] if where.startswith("@") else where

    def notify(words: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.connect(address)
                sock.send(words.encode())
        except OSError as error:
            log.warning("systemd.not_told", words=words, error=str(error))

    return notify


async def notify_of_stop(draining: trio.Event, notify: Notify) -> None:
    """Say that the program stops when it does, and return."""
    await draining.wait()
    notify(STOPPING)
