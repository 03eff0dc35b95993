"""Many websocket subscribers in one process of their own: one epoll loop, no JSON but what is new, stamps at arrival.

Comes in: a port, how many, what they subscribe to. Goes out, when asked: when which events arrived at whom, and every
fault in their order. All subscribers of a run must want the same events: each event gets the next number where it is
first seen, and everybody has to receive them in the order of these numbers without a gap; whoever asks compares the ids
with what was written. Frames are shared, so each is taken apart once, however many get it.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from multiprocessing.connection import Connection
from typing import Any

import msgspec

from tests.tcp_table import ESTABLISHED, servers_end
from tests.websocket_frames import CLOSE, PING, PONG, TEXT, FrameReader, to_send, upgrade

READ_BYTES = 1024 * 1024
MAX_KNOWN_FRAMES = 512
HANDSHAKE_WITHIN_S = 30.0
CAUGHT_UP = b'{"kind":"caught_up"'
AT_ONCE = 50
"""Handshakes in flight while subscribers connect."""


class _Event(msgspec.Struct):
    id: str


class _Message(msgspec.Struct):
    kind: str
    cursor: str = ""
    events: list[_Event] = []
    code: str = ""


_decode = msgspec.json.Decoder(_Message).decode


class Subscriber:
    """One websocket.

    Attributes:
      next: number of the event it must get next; -1 before its first.
      live: it has caught up, and must get everything that is written from then on.
    """

    def __init__(self, number: int, port: int, target: str, *, receive_buffer: int | None = None) -> None:
        self.number = number
        self.next = -1
        self.live = False
        self.closed: int | None = None
        self.reader = FrameReader()
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(HANDSHAKE_WITHIN_S)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(upgrade(f"127.0.0.1:{port}", target))

    def shake(self) -> bytes:
        """Wait until the websocket is open and return what came behind the answer."""
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(READ_BYTES)
            if not more:
                raise ConnectionError(f"subscriber {self.number}: closed in the handshake: {data[:200]!r}")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101"):
            raise ConnectionError(f"subscriber {self.number}: {head[:200]!r} {rest[:300]!r}")
        self.sock.setblocking(False)
        return rest


class Subscribers:
    """All of them, and what they saw."""

    def __init__(self) -> None:
        self.at: dict[int, Subscriber] = {}
        self.ids: list[str] = []
        self.faults: list[str] = []
        self._number_of: dict[str, int] = {}
        self._known: dict[bytes, tuple[int, int] | None] = {}
        self._poll = select.epoll()
        self.clear()

    def clear(self) -> None:
        """Forget arrivals, not places in the order."""
        self.arrived = array("q")  # subscriber, number of the first event, how many, CLOCK_MONOTONIC in ns
        self.delivered = self.frames = self.bytes = 0

    def connect(self, port: int, target: str, count: int) -> None:
        first = len(self.at)
        pending: list[Subscriber] = []
        for number in range(first, first + count):
            pending.append(Subscriber(number, port, target))
            if len(pending) == AT_ONCE or number == first + count - 1:
                for subscriber in pending:
                    self._add(subscriber, subscriber.shake())
                pending = []
        while any(not subscriber.live for subscriber in self.at.values()):
            self._step(HANDSHAKE_WITHIN_S)

    def _add(self, subscriber: Subscriber, data: bytes) -> None:
        self.at[subscriber.sock.fileno()] = subscriber
        self._poll.register(subscriber.sock.fileno(), select.EPOLLIN)
        self._take(subscriber, data, time.monotonic_ns())

    def run(self, pipe: Connection) -> None:
        """Receive until ``pipe`` says "stop" or breaks; answer its other questions meanwhile."""
        self._poll.register(pipe.fileno(), select.EPOLLIN)
        while not self._step() or self._answer(pipe):
            pass

    def _step(self, within_s: float = -1) -> bool:
        """Receive what has come, once something has; whether a question has come as well."""
        asked, ready = False, self._poll.poll(within_s)
        if not ready:
            raise TimeoutError(f"not all subscribers were told within {within_s:g} s that they have caught up")
        for descriptor, _ in ready:
            if subscriber := self.at.get(descriptor):
                self._receive(subscriber)
            else:
                asked = True
        return asked

    def _receive(self, subscriber: Subscriber) -> None:
        try:
            data = subscriber.sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(subscriber, f"lost: {error}")
            return
        if data:
            self._take(subscriber, data, time.monotonic_ns())
        else:
            self._lose(subscriber, f"closed with code {subscriber.closed}")

    def _take(self, subscriber: Subscriber, data: bytes, now: int) -> None:
        for opcode, payload in subscriber.reader.feed(data):
            if opcode == TEXT:
                subscriber.live = subscriber.live or payload.startswith(CAUGHT_UP)
                self.bytes += len(payload)
                self.frames += 1
                seen = self._known[payload] if payload in self._known else self._look_into(payload)
                if seen:
                    first, count = seen
                    if subscriber.next not in (first, -1):
                        self.faults.append(f"subscriber {subscriber.number} got {first} where {subscriber.next} is due")
                    subscriber.next = first + count
                    self.delivered += count
                    self.arrived.extend((subscriber.number, first, count, now))
            elif opcode == PING:
                subscriber.sock.send(to_send(PONG, payload[:125]))
            elif opcode == CLOSE:
                subscriber.closed = int.from_bytes(payload[:2], "big")

    def _look_into(self, payload: bytes) -> tuple[int, int] | None:
        """Return (number of its first event, how many) of a frame not seen before; None for one without events."""
        if len(self._known) >= MAX_KNOWN_FRAMES:
            self._known.clear()
        message = _decode(payload)
        if message.kind == "error":
            self.faults.append(f"error frame: {payload[:200]!r}")
        numbers = []
        for event in message.events:
            number = self._number_of.setdefault(event.id, len(self.ids))
            if number == len(self.ids):
                self.ids.append(event.id)
            numbers.append(number)
        if numbers and numbers != list(range(numbers[0], numbers[0] + len(numbers))):
            self.faults.append(f"events out of order in one frame: {numbers[:5]} …")
        self._known[payload] = (numbers[0], len(numbers)) if numbers else None
        return self._known[payload]

    def _lose(self, subscriber: Subscriber, why: str) -> None:
        self.faults.append(f"subscriber {subscriber.number} {why}")
        self._poll.unregister(subscriber.sock.fileno())
        del self.at[subscriber.sock.fileno()]
        subscriber.sock.close()

    def _answer(self, pipe: Connection) -> bool:
        """Answer one question; False at the end."""
        try:
            question = pipe.recv()
        except (EOFError, OSError):
            return False
        what, *arguments = (question,) if isinstance(question, str) else question
        if what == "stop":
            pipe.send(time.process_time())
            return False
        answer: Any = None
        if what == "connect":
            self.connect(*arguments)
        elif what == "clear":
            self.clear()
        elif what == "count":
            answer = {"delivered": self.delivered, "faults": self.faults[:10], "connected": len(self.at)}
        elif what == "report":
            counts = {"delivered": self.delivered, "frames": self.frames, "bytes": self.bytes}
            faults = {"faults": self.faults[:20], "connected": len(self.at), "cpu_s": time.process_time()}
            answer = {"ids": self.ids, "arrived": self.arrived.tobytes(), **counts, **faults}
        pipe.send(answer)
        return True


def subscribe(pipe: Connection) -> None:
    """The process: whatever ``pipe`` asks."""
    Subscribers().run(pipe)


# -- the one that is stuck ---------------------------------------------------------------------------------------------

LOOK_EVERY_S = 0.1


def be_stuck(pipe: Connection, port: int, target: str) -> None:
    """Subscribe and never read, until ``pipe`` asks how it went.

    Looks at the server's end of the connection in the kernel's table. Answer, instants in ns of CLOCK_MONOTONIC:
    ``full``: when the server's send queue last grew, so that nothing more could be sent from then on; ``queued``: how
    long it was then, in bytes; ``dropped``: when the server had given the connection up; ``gone``: when the kernel had,
    too. None for what has not come.
    """
    subscriber = Subscriber(0, port, target, receive_buffer=4096)
    subscriber.shake()
    pipe.send("connected")
    client_port = subscriber.sock.getsockname()[1]
    seen: dict[str, int | None] = {"full": None, "queued": 0, "dropped": None, "gone": None}
    while not pipe.poll(LOOK_EVERY_S):
        state, queued = servers_end(port, client_port)
        now = time.monotonic_ns()
        if state == ESTABLISHED and queued > (seen["queued"] or 0):
            seen["queued"], seen["full"] = queued, now
        if state != ESTABLISHED:
            seen["dropped"] = seen["dropped"] or now
        if state is None:
            seen["gone"] = seen["gone"] or now
    pipe.send(seen)
    subscriber.sock.close()
