"""A job that writes elsewhere, and the server where it writes: that refuses whoever is not the newest start of the job.

``TickrProcess(app="tests.faults.delivering:jobs")`` runs it; a ``Downstream`` in the test is asked.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import trio

import tickr
from tests.worker.web import Server, reply, serving

jobs = tickr.Jobs()


@jobs.handler("delivers")
def delivers(job: tickr.Job, url: str) -> dict[str, object]:
    """Ask whether to begin, then write. In a thread, which goes on whatever becomes of its node's lease."""
    _ask(f"{url}/begin", job)
    return {"status": _ask(f"{url}/write", job), "traceparent": job.traceparent, "fence": job.fence}


def _ask(url: str, job: tickr.Job) -> int:
    """Return the status that the server answers with."""
    asked = urllib.request.Request(url, headers=job.headers())
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code


class Asked(NamedTuple):
    """One request, as it was answered."""

    path: str
    job: str
    attempt: int
    fence: int
    traceparent: str | None
    tracestate: str | None
    status: int


class Downstream:
    """A server that keeps the highest fence of each job with what it has written, and refuses lower ones with 409.

    Attributes:
      url: where it is.
      answered: every request that was answered, in that order.
      held: (path, fence) of the requests that wait to be looked at until ``release``.
    """

    def __init__(self) -> None:
        self.url = ""
        self.answered: list[Asked] = []
        self.held: list[tuple[str, int]] = []
        self._hold: set[tuple[str, int]] = set()
        self._released = trio.Event()
        self._fences: dict[str, int] = {}

    def hold(self, path: str, fence: int) -> None:
        """Have such requests wait on their way."""
        self._hold.add((path, fence))

    def release(self) -> None:
        self._released.set()

    async def answer(self, server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        path = head[0].split(" ")[1]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        job, fence = headers["tickr-job-id"], int(headers["tickr-fence"])
        if (path, fence) in self._hold:
            self.held.append((path, fence))
            await self._released.wait()
        status = self._judge(path, job, fence)
        asked = Asked(
            path=path,
            job=job,
            attempt=int(headers["tickr-attempt"]),
            fence=fence,
            traceparent=headers.get("traceparent"),
            tracestate=headers.get("tracestate"),
            status=status,
        )
        self.answered.append(asked)
        await stream.send_all(reply("200 OK" if status == 200 else "409 Conflict", json.dumps(asked).encode()))

    def _judge(self, path: str, job: str, fence: int) -> int:
        if path == "/begin":
            return 200
        if fence < self._fences.get(job, 0):
            return 409
        self._fences[job] = fence
        return 200


@asynccontextmanager
async def downstream() -> AsyncIterator[Downstream]:
    made = Downstream()
    async with serving(made.answer) as server:
        made.url = f"http://127.0.0.1:{server.port}"
        yield made
