"""Submissions over HTTP: a process with keep-alive connections, one loop over epoll, nothing parsed that need not be.

Comes in: an ``Order``. Goes out: ``Answers``. *Closed* (no ``rate``): each of so many connections sends its next
request when it has its answer. *Open* (``rate``): each request has its instant, at random with that mean, and is sent
then whatever became of those before it; its time counts from that instant, so a server that stalls cannot hide it.
"""

from __future__ import annotations

import random
import select
import socket
import time
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from bench.load.address import Address
from bench.stage.remote import orders

MAX_CONNECTIONS = 256
"""Of an open loop, which opens one more whenever all are at work."""
ANSWER_WITHIN_S = 60.0
STORED = b'"status":201'
"""In the answer to a batch, once for each job that was stored."""


@dataclass(frozen=True)
class Order:
    """What to submit and how.

    Attributes:
      job: fields of each job.
      size: jobs of a batch (POST /jobs/batch); 0 for single ones (POST /jobs).
      stamped: each job says in its payload when it was sent, as ``sent_ns``.
      connections: of a closed loop.
      rate: requests a second of an open loop; None: closed.
      seconds, requests: when to stop, whichever comes first.
      delays_s: each job gets a delay drawn from between these.
    """

    job: dict[str, Any]
    size: int = 0
    stamped: bool = False
    connections: int = 1
    rate: float | None = None
    seconds: float = float("inf")
    requests: int = 1_000_000_000
    delays_s: tuple[float, float] | None = None
    seed: int = 1


@dataclass
class Answers:
    """What became of the requests of one order.

    Attributes:
      stored: jobs confirmed to be stored.
      took_us: of each request, in order of the answers.
      began_ns, ended_ns: first request, last answer; CLOCK_MONOTONIC.
      sent_late: requests of an open loop sent more than 5 ms after their instant.
    """

    stored: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    took_us: array[int] = field(default_factory=lambda: array("q"))
    began_ns: int = 0
    ended_ns: int = 0
    connections: int = 0
    sent_late: int = 0

    @property
    def seconds(self) -> float:
        return max(self.ended_ns - self.began_ns, 1) / 1e9


class _Line:
    """One keep-alive connection with at most one request at work."""

    def __init__(self, address: Address) -> None:
        self.sock = socket.create_connection((address.host, address.port), timeout=ANSWER_WITHIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.since_ns = 0
        self._answer = b""

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection; only that comes while no answer is due."""
        look = select.poll()
        look.register(self.sock, select.POLLIN)
        return bool(look.poll(0))

    def answered(self) -> tuple[int, bytes] | None:
        """Read on; return status and body once the answer is whole."""
        more = self.sock.recv(1 << 18)
        if not more:
            raise ConnectionError(f"the server closed a connection; before that it said {self._answer[:300]!r}")
        self._answer = self._answer + more if self._answer else more
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
        if len(body) < int(length or 0):
            return None
        self._answer = b""
        return int(head[9:12]), body


class Load:
    """The connections of one order."""

    def __init__(self, address: Address, order: Order) -> None:
        self._address, self._order = address, order
        self._poll = select.epoll()
        self._lines: dict[int, _Line] = {}
        self._request = requests(address, order)
        self.answers = Answers()

    def run(self) -> Answers:
        try:
            (self._closed if self._order.rate is None else self._open)()
        finally:
            for line in self._lines.values():
                line.sock.close()
            self._poll.close()
        self.answers.connections = len(self._lines)
        return self.answers

    def _connect(self) -> _Line:
        line = _Line(self._address)
        self._lines[line.sock.fileno()] = line
        self._poll.register(line.sock.fileno(), select.EPOLLIN)
        return line

    def _drop(self, line: _Line) -> None:
        descriptor = line.sock.fileno()
        self._poll.unregister(descriptor)
        del self._lines[descriptor]
        line.sock.close()

    def _closed(self) -> None:
        order = self._order
        lines = [self._connect() for _ in range(min(order.connections, order.requests))]
        began = self.answers.began_ns = time.monotonic_ns()
        until = began + min(order.seconds, 1e6) * 1e9
        for line in lines:
            line.since_ns = time.monotonic_ns()
            line.sock.sendall(self._request())
        left, at_work = order.requests - len(lines), len(lines)
        while at_work:
            for line in self._ready(ANSWER_WITHIN_S):
                if not self._answered(line):
                    continue
                now = time.monotonic_ns()
                if left > 0 and now < until:
                    left -= 1
                    line.since_ns = now
                    line.sock.sendall(self._request())
                else:
                    at_work -= 1

    def _open(self) -> None:
        order, draw = self._order, random.Random(self._order.seed)
        idle: list[_Line] = []
        at_work = 0
        began = self.answers.began_ns = time.monotonic_ns()
        until, due, left = began + min(order.seconds, 1e6) * 1e9, began, order.requests
        assert order.rate is not None
        while at_work or (left > 0 and due < until):
            now = time.monotonic_ns()
            while left > 0 and due <= min(now, until) and (idle or len(self._lines) < MAX_CONNECTIONS):
                line = self._open_one(idle)
                line.since_ns = due
                line.sock.sendall(self._request())
                self.answers.sent_late += now - due > 5_000_000
                at_work, left, due = at_work + 1, left - 1, due + round(draw.expovariate(order.rate) * 1e9)
            over = left <= 0 or due >= until
            for line in self._ready(
                ANSWER_WITHIN_S if over else max(due - time.monotonic_ns(), 0) / 1e9, calm=not over
            ):
                if line in idle:  # the server has closed a connection that nobody needed for a while
                    idle.remove(line)
                    self._drop(line)
                elif self._answered(line):
                    idle.append(line)
                    at_work -= 1

    def _open_one(self, idle: list[_Line]) -> _Line:
        """Take one of ``idle`` that the server has not closed meanwhile, or connect."""
        while idle:
            line = idle.pop()
            if not line.closed:
                return line
            self._drop(line)
        return self._connect()

    def _ready(self, within_s: float, *, calm: bool = False) -> list[_Line]:
        found = [self._lines[descriptor] for descriptor, _ in self._poll.poll(within_s)]
        if not found and not calm:
            raise TimeoutError(f"requests were not answered within {ANSWER_WITHIN_S:g} s")
        return found

    def _answered(self, line: _Line) -> bool:
        answer = line.answered()
        if answer is None:
            return False
        status, body = answer
        answers = self.answers
        answers.ended_ns = time.monotonic_ns()
        answers.statuses[status] += 1
        answers.took_us.append((answers.ended_ns - line.since_ns) // 1000)
        answers.stored += body.count(STORED) if self._order.size else status in (200, 201)
        return True


def requests(address: Address, order: Order) -> Callable[[], bytes]:
    """Return what makes the next request; the same bytes again where nothing in them changes."""
    encode, draw = msgspec.json.encode, random.Random(order.seed + 1)
    path = "/jobs/batch" if order.size else "/jobs"

    def job() -> dict[str, Any]:
        made = order.job
        if order.stamped:
            made = {**made, "payload": {**made.get("payload", {}), "sent_ns": time.monotonic_ns()}}
        return {**made, "delay": draw.uniform(*order.delays_s)} if order.delays_s else made

    def request() -> bytes:
        body = encode({"jobs": [job() for _ in range(order.size)]} if order.size else job())
        head = f"POST {path} HTTP/1.1\r\nHost: {address.host}:{address.port}\r\n{address.access}"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    if order.stamped or order.delays_s:
        return request
    always = request()
    return lambda: always


def submit(pipe: Connection, address: Address) -> None:
    """The process: carry out each ``Order`` on ``pipe``, or each ``(Order, Address)``, and send its ``Answers``."""
    for order in orders(pipe):
        order, at = order if isinstance(order, tuple) else (order, address)
        pipe.send(Load(at, order).run())
