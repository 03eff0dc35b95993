"""What makes events, in processes of their own: jobs submitted at a steady rate over HTTP, or batches written beside.

``submit`` is an open loop: each request has its instant, and is sent then whatever became of those before it; nothing
slows down because the node does. ``write`` puts batches of delayed jobs straight into the store, as another node would,
and rings the bell after each COMMIT; so the events cost the node that is measured only their delivery.
"""

from __future__ import annotations

import itertools
import select
import socket
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection

import trio

from tickr.bell import Ring, open_bell
from tickr.jobs import NewJob
from tickr.store.open import open_store

HOUR_US = 3_600_000_000
MAX_CONNECTIONS = 64
ANSWER_WITHIN_S = 30.0


@dataclass
class Submitted:
    """What became of the requests of one ``submit``; times in seconds from the start."""

    statuses: Counter[str] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    sent_late: int = 0
    connections: int = 0
    cpu_s: float = 0.0


class _Line:
    """One keep-alive connection with at most one request at work."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=ANSWER_WITHIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self._answer = b""

    def answered(self) -> str | None:
        """Read on; return the status once the answer is whole."""
        more = self.sock.recv(65536)
        if not more:
            raise ConnectionError("the node closed a connection")
        self._answer += more
        head, found, body = self._answer.partition(b"\r\n\r\n")
        if not found:
            return None
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        if len(body) < length:
            return None
        self._answer = b""
        return head.split(b" ", 2)[1].decode()


def submit(pipe: Connection, port: int, rate: float, seconds: float) -> None:
    """The process: submit ``rate`` no-op jobs a second for ``seconds``, and send what became of them."""
    report = Submitted()
    idle: list[_Line] = []
    at_work: dict[int, _Line] = {}
    started = time.monotonic()
    dues: Iterator[float] = iter([number / rate for number in range(int(rate * seconds))])
    due = next(dues, None)
    while due is not None or at_work:
        now = time.monotonic() - started
        while due is not None and due <= now:
            if not idle and len(at_work) < MAX_CONNECTIONS:
                idle.append(_Line(port))
                report.connections += 1
            if not idle:
                break
            line = idle.pop()
            line.due = due
            line.sock.sendall(_request())
            report.sent_late += now - due > 0.005
            at_work[line.sock.fileno()] = line
            due = next(dues, None)
        wait_s = ANSWER_WITHIN_S if due is None or due <= now else due - now
        readable, _, _ = select.select([*at_work], [], [], wait_s)
        if not readable and due is None:
            raise TimeoutError(f"{len(at_work)} requests were not answered within {ANSWER_WITHIN_S} s")
        for descriptor in readable:
            line = at_work[descriptor]
            if status := line.answered():
                report.statuses[status] += 1
                report.took_s.append(time.monotonic() - started - line.due)
                idle.append(at_work.pop(descriptor))
    report.cpu_s = time.process_time()
    pipe.send(report)


def _request() -> bytes:
    body = b'{"type":"noop","id":"%b"}' % str(uuid.uuid4()).encode()
    return (
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (
            len(body),
            body,
        )
    )


# -- straight into the store -------------------------------------------------------------------------------------------


@dataclass
class Written:
    """What one order to write has written: for each commit its instant (CLOCK_MONOTONIC, ns) and its events' ids."""

    commits: list[tuple[int, list[str]]] = field(default_factory=list)
    late: int = 0


def write(pipe: Connection, store_url: str, index_url: str) -> None:
    """The process: for each order ``(commits a second, events a commit, bytes of labels, seconds)`` on ``pipe`` write.

    Each is answered with a ``Written``; "stop" with the processor time used.
    """
    trio.run(partial(_write, pipe, store_url, index_url))


async def _write(pipe: Connection, store_url: str, index_url: str) -> None:
    async with open_store(store_url) as store, open_bell(index_url) as bell:
        committed = 0

        def note() -> None:
            nonlocal committed
            committed = time.monotonic_ns()
            bell.ring_nowait(Ring("feed"))

        store.on_events(note)
        pipe.send("ready")
        while True:
            await trio.lowlevel.wait_readable(pipe.fileno())
            try:
                order = pipe.recv()
            except (EOFError, OSError):
                return
            if order == "stop":
                pipe.send(time.process_time())
                return
            rate, batch, label_bytes, seconds = order
            written = Written()
            labels = '{"note":"%s"}' % ("x" * label_bytes) if label_bytes else None
            started = trio.current_time()
            for number in itertools.count():
                if number / rate >= seconds:
                    break
                await trio.sleep_until(started + number / rate)
                written.late += trio.current_time() - started - number / rate > 0.02
                ids = [str(uuid.uuid4()) for _ in range(batch)]
                await store.insert([NewJob(id=job, type="noop", delay_us=HOUR_US, labels=labels) for job in ids])
                written.commits.append((committed, [f"{job}.1" for job in ids]))
            pipe.send(written)
