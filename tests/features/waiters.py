"""Very many clients that wait for jobs, each on a connection of its own, as ``curl`` would."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import trio

from tests.waiting import eventually, happens

AT_A_TIME = 250
"""So many ask at once; a node works on 1,000 requests at the same time."""


class Answered(NamedTuple):
    """A job as it was answered, and when, by the clock of this machine in seconds."""

    job: dict[str, Any]
    at: float

    @property
    def after_s(self) -> float:
        """How long after the job's end it came, in seconds. The store's clock is this machine's."""
        return self.at - datetime.fromisoformat(self.job["finished_at"]).timestamp()


class Waiters:
    """Attributes:
    answered: what was answered, by id.
    wrong: answers that are none.
    """

    def __init__(self, port: int, nursery: trio.Nursery) -> None:
        self.answered: dict[str, Answered] = {}
        self.wrong: list[bytes] = []
        self._port = port
        self._nursery = nursery

    async def ask(self, ids: Sequence[str], wait_s: float) -> None:
        """Have a client wait for each of ``ids``; return when all have asked."""
        for start in range(0, len(ids), AT_A_TIME):
            async with trio.open_nursery() as asking:
                for job_id in ids[start : start + AT_A_TIME]:
                    asking.start_soon(self._ask, job_id, wait_s)

    async def _ask(self, job_id: str, wait_s: float) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", self._port)
        text = f"GET /jobs/{job_id}?wait={wait_s:g} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        await stream.send_all(text.encode())
        self._nursery.start_soon(self._hear, job_id, stream)

    async def _hear(self, job_id: str, stream: trio.SocketStream) -> None:
        got = b""
        async with stream:
            with suppress(trio.BrokenResourceError):  # its node was killed
                async for part in stream:
                    got += part
        head, _, body = got.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 200"):
            self.answered[job_id] = Answered(json.loads(body), time.time())
        else:
            self.wrong.append(got)

    async def all_answered(self, count: int, within_s: float) -> None:
        await eventually(happens(lambda: len(self.answered) + len(self.wrong) >= count), within_s=within_s)


@asynccontextmanager
async def waiters(port: int) -> AsyncIterator[Waiters]:
    async with trio.open_nursery() as nursery:
        yield Waiters(port, nursery)
        nursery.cancel_scope.cancel()


async def submit(url: str, count: int, **job: Any) -> list[str]:
    """Store ``count`` jobs and return their ids."""
    ids = [str(uuid.uuid4()) for _ in range(count)]
    async with httpx2.AsyncClient(base_url=url, timeout=20) as http:
        for start in range(0, count, 500):
            some = [{"id": job_id, **job} for job_id in ids[start : start + 500]]
            answer = await http.post("/jobs/batch", json={"jobs": some})
            assert {one["status"] for one in answer.json()["results"]} == {201}, answer.text
    return ids


def resident_kib(pid: int) -> int:
    """Return how much memory a process has, in KiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1])
