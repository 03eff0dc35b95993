"""A server of a few lines for answers that Tickr gives rarely: told when to say 429, to cut the line, or to keep still.

What it is not told it does as Tickr does: it stores a job under its id once, says 200 to the same again and 409 to
another content. Every request is noted. Its own threads serve it, and end with its block.
"""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple, Self

Response = tuple[int, Mapping[str, Any], Mapping[str, str]]
"""Status, document, more headers."""


class Seen(NamedTuple):
    """A request. ``jobs``: those in its body. ``connection``: which one it came by, from 1."""

    method: str
    path: str
    headers: Mapping[str, str]
    jobs: list[dict[str, Any]]
    connection: int


class Cut(Exception):
    """Ends the connection without an answer."""


Behaviour = Callable[["Standin", Seen], Response]


def store_and_cut(server: Standin, seen: Seen) -> Response:
    """The answer is lost on its way; the jobs are stored."""
    server.store(seen)
    raise Cut


def cut(server: Standin, seen: Seen) -> Response:
    raise Cut


def say(status: int, code: str = "said", headers: Mapping[str, str] | None = None, **members: Any) -> Behaviour:
    def behave(server: Standin, seen: Seen) -> Response:
        return status, problem(status, code, **members), headers or {}

    return behave


def problem(status: int, code: str, **members: Any) -> dict[str, Any]:
    return {"status": status, "code": code, "detail": f"It is {status}.", **members}


class Standin:
    """Attributes:
    script: what to do with the next requests, one each; afterwards it behaves.
    seen: all requests, in order of arrival.
    stored: every job under its id; ``arrivals`` has the ids of all that came, those that came again too.
    gate: while it is clear, answers wait.
    most: the most requests that were worked on at once.
    """

    def __init__(self, *script: Behaviour) -> None:
        self.script = deque(script)
        self.seen: list[Seen] = []
        self.stored: dict[str, dict[str, Any]] = {}
        self.arrivals: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.arrived = threading.Condition()
        self.most = 0
        self._working = 0
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):  # the client has gone already
                    one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)

    def wait_for(self, requests: int, within_s: float = 10.0) -> None:
        """Return once so many requests have arrived."""
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.seen) >= requests, within_s), f"only {len(self.seen)} came"

    def paths(self) -> list[str]:
        return [one.path for one in self.seen]

    # -- what it does when nobody tells it otherwise ------------------------------------------------------------------

    def store(self, seen: Seen) -> Response:
        with self._lock:
            results = [self._store_one(index, job) for index, job in enumerate(seen.jobs)]
        if seen.path == "/jobs/batch":
            return 200, {"results": results}, {}
        [result] = results
        return result["status"], result.get("error") or {"id": result["id"]}, {}

    def _store_one(self, index: int, job: dict[str, Any]) -> dict[str, Any]:
        self.arrivals.append(job["id"])
        if job["type"] == "wrong":
            return {"index": index, "status": 422, "error": problem(422, "invalid_request")}
        before = self.stored.setdefault(job["id"], job)
        if before is not job and before != job:
            return {"index": index, "status": 409, "error": problem(409, "duplicate_job", job_id=job["id"])}
        return {"index": index, "status": 201 if before is job else 200, "id": job["id"]}

    # -- the wire -----------------------------------------------------------------------------------------------------

    def _start(self, run: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=run, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        number = 0
        while True:
            try:
                one, _ = self._listener.accept()
            except OSError:
                return
            number += 1
            with self._lock:
                self._sockets.add(one)
            self._start(self._serve, one, number)

    def _serve(self, one: socket.socket, number: int) -> None:
        with one, one.makefile("rb") as lines:
            try:
                while seen := self._read(lines, number):
                    one.sendall(self._answer(seen))
            except (Cut, OSError):
                pass
            with self._lock:
                self._sockets.discard(one)

    def _read(self, lines: Any, number: int) -> Seen | None:
        if not (first := lines.readline()):
            return None
        method, path, _ = first.decode().split(" ")
        headers: dict[str, str] = {}
        while (line := lines.readline().decode().strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = lines.read(int(headers.get("content-length", 0)))
        jobs: list[dict[str, Any]] = []
        if method == "POST" and body:
            assert headers["content-type"] == "application/json"
            body = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
            document = json.loads(body)
            jobs = document["jobs"] if path == "/jobs/batch" else [document]
        assert path != "/jobs/batch" or 1 <= len(jobs) <= 1000
        return Seen(method, path, headers, jobs, number)

    def _answer(self, seen: Seen) -> bytes:
        with self.arrived:
            self.seen.append(seen)
            self._working += 1
            self.most = max(self.most, self._working)
            behave = self.script.popleft() if self.script else Standin.store
            self.arrived.notify_all()
        try:
            self.gate.wait(30)
            status, document, headers = behave(self, seen)
        finally:
            with self.arrived:
                self._working -= 1
        body = json.dumps(document).encode()
        told = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{n}: {v}" for n, v in told.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
