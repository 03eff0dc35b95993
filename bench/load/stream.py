"""Submissions over ``GET /jobs/stream``: a process with a few websockets, each with so many jobs unanswered at once.

Comes in: a ``StreamOrder``. Goes out: ``Answers`` as of the load over HTTP, in which each job counts as a request.
"""

from __future__ import annotations

import select
import socket
import time
from collections import Counter
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from bench.load.address import Address
from bench.load.http import ANSWER_WITHIN_S, Answers
from bench.stage.remote import orders
from tests.websocket_frames import CLOSE, NO_MASK, PING, PONG, TEXT, FrameReader, to_send, upgrade


@dataclass(frozen=True)
class StreamOrder:
    """What to submit and how.

    Attributes:
      size: jobs of one frame; 0: single objects instead of arrays.
      in_flight: jobs unanswered at once on each connection, at most; the server stops reading at 5,000.
      seconds, jobs: when to stop, whichever comes first.
    """

    job: dict[str, Any]
    size: int = 0
    in_flight: int = 1000
    connections: int = 1
    seconds: float = float("inf")
    jobs: int = 1_000_000_000


class _Answer(msgspec.Struct):
    ref: int | None
    id: str = ""
    error: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(_Answer | list[_Answer]).decode


class _Line:
    """One websocket. ``waiting``: when each job was sent that has no answer yet, by its ref."""

    def __init__(self, address: Address) -> None:
        self.sock = socket.create_connection((address.host, address.port), timeout=ANSWER_WITHIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = upgrade(f"{address.host}:{address.port}", "/jobs/stream")
        self.sock.sendall(request.replace(b"\r\n\r\n", b"\r\n" + address.access.encode() + b"\r\n"))
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := self.sock.recv(65536)):
                break
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"no websocket: {head[:200]!r} {rest[:300]!r}")
        self.reader = FrameReader()
        self.reader.partial = rest
        self.waiting: dict[int, int] = {}


class StreamLoad:
    """The connections of one order."""

    def __init__(self, address: Address, order: StreamOrder) -> None:
        self._order = order
        self._lines = [_Line(address) for _ in range(order.connections)]
        self._left, self._ref = order.jobs, 0
        self._encode = msgspec.json.Encoder().encode
        self.answers = Answers(connections=order.connections, statuses=Counter())

    def run(self) -> Answers:
        with select.epoll() as poll:
            by_descriptor = {line.sock.fileno(): line for line in self._lines}
            for descriptor in by_descriptor:
                poll.register(descriptor, select.EPOLLIN)
            began = self.answers.began_ns = time.monotonic_ns()
            self._until = began + min(self._order.seconds, 1e6) * 1e9
            for line in self._lines:
                self._fill(line)
            while any(line.waiting for line in self._lines):
                ready = poll.poll(ANSWER_WITHIN_S)
                if not ready:
                    raise TimeoutError(f"jobs were not answered within {ANSWER_WITHIN_S:g} s")
                for descriptor, _ in ready:
                    self._receive(by_descriptor[descriptor])
                    self._fill(by_descriptor[descriptor])
        for line in self._lines:
            line.sock.sendall(to_send(CLOSE, (1000).to_bytes(2, "big")))
            line.sock.close()
        return self.answers

    def _fill(self, line: _Line) -> None:
        order, count = self._order, self._order.size or 1
        while self._left > 0 and len(line.waiting) + count <= order.in_flight and time.monotonic_ns() < self._until:
            refs = range(self._ref, self._ref + min(count, self._left))
            self._ref, self._left = refs.stop, self._left - len(refs)
            jobs = [{**order.job, "ref": ref} for ref in refs]
            line.waiting.update(dict.fromkeys(refs, time.monotonic_ns()))
            line.sock.sendall(frame(self._encode(jobs if order.size else jobs[0])))

    def _receive(self, line: _Line) -> None:
        data = line.sock.recv(1 << 18)
        if not data:
            raise ConnectionError("the server closed a websocket")
        for opcode, payload in line.reader.feed(data):
            if opcode == TEXT:
                found = _decode(payload)
                self._take(line, found if isinstance(found, list) else [found])
            elif opcode == PING:
                line.sock.sendall(to_send(PONG, payload[:125]))
            elif opcode == CLOSE:
                raise ConnectionError(f"the server closed a websocket with {payload!r}")

    def _take(self, line: _Line, found: list[_Answer]) -> None:
        answers, now = self.answers, time.monotonic_ns()
        answers.ended_ns = now
        for one in found:
            if one.ref is None:
                raise ConnectionError(f"a frame was refused: {one.error!r}")
            answers.took_us.append((now - line.waiting.pop(one.ref)) // 1000)
        stored = sum(one.error is None for one in found)
        answers.stored += stored
        answers.statuses[201] += stored
        answers.statuses[500] += len(found) - stored


def frame(payload: bytes) -> bytes:
    """Return a text frame of a client; its mask hides nothing and costs nothing."""
    length = len(payload)
    if length <= 125:
        return to_send(TEXT, payload)
    size = (
        bytes((0x80 | 126,)) + length.to_bytes(2, "big")
        if length < 1 << 16
        else bytes((0x80 | 127,)) + length.to_bytes(8, "big")
    )
    return bytes((0x80 | TEXT,)) + size + NO_MASK + payload


def stream(pipe: Connection, address: Address) -> None:
    """The process: carry out each ``StreamOrder`` on ``pipe`` and send its ``Answers``."""
    for order in orders(pipe):
        pipe.send(StreamLoad(address, order).run())
