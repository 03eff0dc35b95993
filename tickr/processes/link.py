"""What a supervisor and one of its processes say to each other, over a pair of sockets of which each holds one end.

The supervisor begins with what the process is to do (``Task``, a frame); then each side sends lines, few and short. The
link is a lifeline as well: it is open for exactly as long as both live, so that its end tells a process that nobody
watches it any more, by ``kill -9`` of the supervisor too.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

import msgspec

from tickr.config import Config

VARIABLE = "_TICKR_PROCESS"
"""Tells a process that it has a supervisor: descriptors, see ``Given``."""
DRAIN = b"drain\n"
"""To the process: stop gracefully."""
NOW = b"now\n"
"""To the process: stop at once."""
SERVING = b"serving\n"
"""From the process: it takes work."""
REFUSED = b"refused "
"""From the process, as its last word: it could not start. The reason follows, as a JSON string and a line's end."""
MAX_REASON = 16_384
"""How much of a reason is told, in characters."""
_LENGTH = struct.Struct(">I")


class Given(NamedTuple):
    """Descriptors that a process inherits; -1: there is none.

    Attributes:
      link: of the pair of sockets.
      api, lookout: sockets that listen; see ``api/doors.py``. tally: of the connections at the first.
      board: of the metrics.
    """

    link: int
    api: int
    tally: int
    lookout: int
    board: int

    def written(self) -> str:
        return ",".join(map(str, self))

    @classmethod
    def read(cls, text: str) -> Given:
        return cls(*map(int, text.split(",")))


class Task(msgspec.Struct, frozen=True):
    """What a process is to do.

    Attributes:
      number: from 1; the same for the process that takes its place one day.
      processes: how many there are.
      config: the supervisor's settings, as they were when it started, whatever has become of the file since.
    """

    number: int
    processes: int
    config: Config


def pack(task: Task) -> bytes:
    """Return the task as a frame. MessagePack: JSON knows no infinity, which some settings may be."""
    body = msgspec.msgpack.encode(task)
    return _LENGTH.pack(len(body)) + body


def receive_task(link: socket.socket) -> Task | None:
    """Wait for the task and return it; None if the supervisor has gone before. Blocks."""
    length = _receive(link, _LENGTH.size)
    body = _receive(link, _LENGTH.unpack(length)[0]) if length else None
    return msgspec.msgpack.decode(body, type=Task) if body else None


def _receive(link: socket.socket, size: int) -> bytes | None:
    received = b""
    while len(received) < size:
        chunk = link.recv(size - len(received))
        if not chunk:
            return None
        received += chunk
    return received


def refusal(reason: str) -> bytes:
    return REFUSED + msgspec.json.encode(reason[:MAX_REASON]) + b"\n"


def reason_of(words: bytes) -> str:
    """Return why a process could not start, if that is among its ``words``; otherwise ""."""
    _, refused, rest = words.partition(REFUSED)
    return msgspec.json.decode(rest, type=str) if refused and rest.endswith(b"\n") else ""
