"""What a supervisor and one of its processes say to each other, over a pair of sockets of which each holds one end.

The supervisor begins with what the process is to do (``Task``, a frame); then each side sends lines, few and short. The
link is a lifeline as well: it is open for exactly as long as both live, so that its end tells a process that nobody
watches it any more, by ``kill -9`` of the supervisor too.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import NamedTuple

import msgspec

from tickr.config import Config
from tickr.worker.load import Load

VARIABLE = "_TICKR_PROCESS"
"""Tells a process that it has a supervisor: descriptors, see ``Given``."""
DRAIN = b"drain\n"
"""To the process: stop gracefully."""
NOW = b"now\n"
"""To the process: stop at once."""
SERVING = b"serving"
"""From the process, a line: it takes work."""
REFUSED = b"refused "
"""From the process, as its last line: it could not start. The reason follows, as a JSON string."""
MAX_REASON = 16_384
"""How much of a reason is told, in characters."""
MAX_LINE_BYTES = 8 * MAX_REASON
"""A longer line is none that is meant: in JSON a character takes up to six bytes."""
MAX_SHARE = 999_999
"""The most that a process says it does, in thousandths of what it can."""
_LOAD = re.compile(rb"load (\d{1,6}) ([01])").fullmatch
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
      places: how many processes there may be at once.
      tells_load: whether it is to say once in a while how much it does.
      config: the supervisor's settings, as they were when it started, whatever has become of the file since.
    """

    number: int
    places: int
    tells_load: bool
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


class Lines:
    """Takes apart into lines what comes over a link, whatever it is: of one that is too long only the end comes out."""

    def __init__(self) -> None:
        self._begun = b""

    def read(self, received: bytes) -> list[bytes]:
        """Return the lines that are whole with what was ``received``, without their ends."""
        *lines, self._begun = (self._begun + received).split(b"\n")
        if len(self._begun) > MAX_LINE_BYTES:
            self._begun = b""
        return lines


def refusal(reason: str) -> bytes:
    return REFUSED + msgspec.json.encode(reason[:MAX_REASON]) + b"\n"


def reason_of(line: bytes) -> str | None:
    """Return why a process could not start, if that is what it says."""
    if not line.startswith(REFUSED):
        return None
    try:
        return msgspec.json.decode(line.removeprefix(REFUSED), type=str)
    except msgspec.DecodeError:
        return None


def load_line(load: Load) -> bytes:
    return b"load %d %d\n" % (min(max(round(load.share * 1000), 0), MAX_SHARE), load.behind)


def load_of(line: bytes) -> Load | None:
    """Return the load of a process, if that is what it says."""
    found = _LOAD(line)
    return Load(int(found[1]) / 1000, found[2] == b"1") if found else None
