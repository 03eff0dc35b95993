"""Real nodes on real servers under a supervisor with a range: processes come and go, and no job is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.feed_clients import Closed, WebSocket, connect
from tests.processes import ROOT
from tests.supervision import Supervision, running, send
from tests.waiting import eventually, happens
from tickr.config import Config
from tickr.jobs import Job, State
from tickr.processes import scaling
from tickr.processes.fleet import Verdict
from tickr.store.open import open_store
from tickr.values import Range

pytestmark = pytest.mark.slow

APP = """
import os, pathlib
import trio
import tickr

jobs = tickr.Jobs()
HERE, STEP_S = pathlib.Path(__file__).parent, 0.02

@jobs.handler("hold", max_attempts=1)
async def hold(job: tickr.Job, gate: str) -> int:
    with open(HERE / "starts", "a") as file:
        file.write(f"{job.id} {job.attempt} {os.getpid()}\\n")
    while not (HERE / gate).exists():
        await trio.sleep(STEP_S)
    return os.getpid()
"""
SLOTS = 4
LEASE_S = 4.0
WITHIN_S = 60
"""How long a process may take to start on a machine that has much else to do, in seconds; and nearly all else here."""


class Scaled:
    """A supervisor in the test's own process, with nodes of ``SLOTS`` workers each, on ``APP``."""

    def __init__(self, supervision: Supervision, folder: Path, store: str) -> None:
        self.supervision, self._folder, self._store = supervision, folder, store
        self.streams: list[trio.SocketStream] = []

    @property
    def url(self) -> str:
        return self.supervision.announced[0]

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def pids(self) -> dict[int, int]:
        """Number of each process → the pid of who has had it last."""
        return {line["process"]: line["pid"] for line in self.supervision.told("process.started")}

    async def until_told(self, event: str, times: int = 1) -> None:
        await self.supervision.until_told(event, times, within_s=WITHIN_S)

    async def connect(self) -> trio.SocketStream:
        """Return a connection, which is closed in the end."""
        self.streams.append(await connect(self.port))
        return self.streams[-1]

    def starts(self) -> list[tuple[str, int, int]]:
        """Return (job, attempt, pid) of each start."""
        path = self._folder / "starts"
        words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return [(job, int(attempt), int(pid)) for job, attempt, pid in words]

    async def until_started(self, times: int) -> None:
        await eventually(happens(lambda: len(self.starts()) >= times), within_s=WITHIN_S)

    def open(self, gate: str) -> None:
        (self._folder / gate).touch()

    async def submit(self, count: int, gate: str) -> list[str]:
        async with httpx2.AsyncClient(base_url=self.url, timeout=20) as http:
            jobs = [{"type": "hold", "payload": {"gate": gate}}] * count
            answer = (await http.post("/jobs/batch", json={"jobs": jobs})).raise_for_status()
            return [one["id"] for one in answer.json()["results"]]

    async def ended(self, ids: Sequence[str]) -> list[Job]:
        """Return the jobs once all are over."""
        async with open_store(self._store) as opened:

            async def over() -> list[Job] | None:
                jobs = await opened.get_many(ids)
                return jobs if len(jobs) == len(ids) and all(job.finished_at for job in jobs) else None

            return await eventually(over, within_s=WITHIN_S)


@asynccontextmanager
async def scaled(folder: Path, store: str, index: str, most: int = 3, grace: float = 60) -> AsyncIterator[Scaled]:
    (folder / "app.py").write_text(APP)
    config = Config(
        store=store,
        index=index,
        port=0,
        workers=SLOTS,
        processes=Range(1, most),
        lease=LEASE_S,
        grace=grace,
    )
    command = [sys.executable, "-m", "tickr", "serve", "app:jobs"]
    async with running(folder, config, command, within_s=100) as supervision:
        await supervision.until_announced(within_s=WITHIN_S)
        fleet = Scaled(supervision, folder, store)
        yield fleet
        for stream in fleet.streams:
            await stream.aclose()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Fewer are wanted soon; and the nodes find what they import."""
    monkeypatch.setattr(scaling, "SHRINK_AFTER_S", 3.0)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, tmp_path))))
    for name in [name for name in os.environ if name.startswith("TICKR_")]:
        monkeypatch.delenv(name)


async def test_processes_come_with_the_load_and_go_without_it_and_no_attempt_is_lost_or_counted_twice(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with scaled(tmp_path, mysql_url, redis_url) as fleet:
        ids = await fleet.submit(3 * SLOTS + 1, "first")
        await fleet.until_told("processes.added", 2)
        await fleet.until_started(3 * SLOTS)
        assert len(fleet.pids) == 3
        assert Counter(pid for _, _, pid in fleet.starts()) == Counter(list(fleet.pids.values()) * SLOTS)
        fleet.open("first")
        ids += await fleet.submit(1, "second")
        await fleet.until_started(len(ids))
        (_, _, holder) = fleet.starts()[-1]
        await fleet.until_told("processes.removed", 2)
        removed = [fleet.pids[line["process"]] for line in fleet.supervision.told("processes.removed")]
        assert holder not in removed, "the one that has work stays"
        fleet.open("second")
        jobs = await fleet.ended(ids)
        assert {(job.state, job.attempt, job.crashes) for job in jobs} == {(State.SUCCEEDED, 1, 0)}
        assert sorted(job for job, _, _ in fleet.starts()) == sorted(ids)
        assert not fleet.supervision.told("process.ended"), "and nobody takes the place of those that left"
        send(signal.SIGTERM)
    assert fleet.supervision.verdict == Verdict(0)


async def two_with_a_job_each(fleet: Scaled) -> list[str]:
    """Have the second process added, and each of both run one job until "second" is opened. Returns the two jobs.

    There is more to do than one can with half its slots until "first" is opened, so both stay until then.
    """
    await fleet.submit(SLOTS - 1, "first")
    held = await fleet.submit(1, "second")
    await fleet.until_started(SLOTS)
    held += await fleet.submit(1, "second")
    await fleet.until_told("processes.added")
    await fleet.until_started(SLOTS + 1)
    assert fleet.starts()[-1][::2] == (held[1], fleet.pids[2])
    return held


async def ask(stream: trio.SocketStream, target: str) -> tuple[bytes, dict[str, Any]]:
    """Return head and body of the answer to a GET. Raises: EndOfChannel: there is none."""
    await stream.send_all(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    head, end, body = b"", b"", b""
    while not end:
        head += (received := await stream.receive_some())
        if not received:
            raise trio.EndOfChannel
        head, end, body = head.partition(b"\r\n\r\n")
    head = head.lower()
    length = int(head.partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += await stream.receive_some()
    return head, json.loads(body)


async def connected_to(fleet: Scaled, pid: int) -> trio.SocketStream:
    """Return a connection that the process with this pid has accepted."""

    async def found() -> trio.SocketStream | None:
        stream = await fleet.connect()
        return stream if (await ask(stream, "/nodes/self"))[1]["pid"] == pid else None

    return await eventually(found)


async def heard_to_the_end(feed: WebSocket) -> tuple[str, int]:
    """Return the last cursor that came on a feed, and with which code it was closed."""
    cursor = ""
    while True:
        try:
            cursor = (await feed.receive()).cursor or cursor
        except Closed as closed:
            return cursor, closed.code


async def next_event(feed: WebSocket, what: str, job: str) -> str:
    """Return the cursor behind the next event of a job that has to come on the feed."""
    while True:
        message = await feed.receive()
        if any((event.type, event.subject) == (f"tickr.job.{what}", job) for event in message.events):
            return message.cursor


async def test_who_is_connected_to_one_that_leaves_is_told_and_goes_on_elsewhere(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with scaled(tmp_path, mysql_url, redis_url, most=2, grace=1.5) as fleet:
        stays, moves = await two_with_a_job_each(fleet)
        idle, waits, told = [await connected_to(fleet, fleet.pids[2]) for _ in range(3)]
        other = WebSocket(await connected_to(fleet, fleet.pids[1]))
        feed = WebSocket(told)
        for one in (feed, other):
            await one.open("/events")
        async with trio.open_nursery() as nursery:
            answers: list[tuple[bytes, dict[str, Any]]] = []

            async def wait() -> None:
                answers.append(await ask(waits, f"/jobs/{moves}?wait=60"))

            nursery.start_soon(wait)
            fleet.open("first")
            cursor, code = await heard_to_the_end(feed)
            assert (code, await idle.receive_some()) == (1001, b"")
        ((head, job),) = answers
        assert b"\r\nconnection: close" in head, "what was at work is answered, and told to come by another connection"
        assert (job["state"], await waits.receive_some()) == ("running", b"")

        (left,) = fleet.supervision.told("processes.removed")
        assert left["process"] == 2
        again = WebSocket(await fleet.connect())
        await again.open(f"/events?after={cursor}")
        for one in (again, other):
            await next_event(one, "released", moves)
            await next_event(one, "started", moves)
        ready, _ = await ask(await fleet.connect(), "/readyz")
        assert ready.startswith(b"http/1.1 200"), "who is left is ready all the time"
        fleet.open("second")
        jobs = await fleet.ended([stays, moves])
        assert {(job.state, job.attempt, job.crashes) for job in jobs} == {(State.SUCCEEDED, 1, 0)}
        assert [(job, attempt) for job, attempt, _ in fleet.starts()].count((moves, 1)) == 2, "that start was free"
        send(signal.SIGTERM)
    assert fleet.supervision.verdict == Verdict(0)


async def test_a_process_that_is_killed_on_its_way_out_gives_its_jobs_back_by_its_lease(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with scaled(tmp_path, mysql_url, redis_url, most=2) as fleet:
        held = await two_with_a_job_each(fleet)
        fleet.open("first")
        await fleet.until_told("processes.removed")
        os.kill(fleet.pids[2], signal.SIGKILL)
        await fleet.until_started(SLOTS + 2)
        assert fleet.starts()[-1] == (held[1], 1, fleet.pids[1])
        fleet.open("second")
        jobs = await fleet.ended(held)
        assert [(job.state, job.attempt, job.crashes) for job in jobs] == [
            (State.SUCCEEDED, 1, 0),
            (State.SUCCEEDED, 1, 1),
        ]
        assert len(fleet.pids) == 2, "it was to leave, so nobody takes its place"
        send(signal.SIGTERM)
    assert fleet.supervision.verdict == Verdict(0)


async def test_one_that_is_killed_while_another_is_added_is_replaced_and_all_its_jobs_run_again(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with scaled(tmp_path, mysql_url, redis_url, most=2) as fleet:
        ids = await fleet.submit(SLOTS + 1, "first")
        await fleet.until_told("processes.added")
        os.kill(fleet.pids[1], signal.SIGKILL)
        await fleet.until_started(SLOTS + len(ids))
        fleet.open("first")
        jobs = await fleet.ended(ids)
        assert {(job.state, job.attempt) for job in jobs} == {(State.SUCCEEDED, 1)}
        assert sum(job.crashes for job in jobs) == SLOTS
        assert [line["process"] for line in fleet.supervision.told("process.ended")] == [1]
        assert len(fleet.supervision.told("processes.added")) == 1
        send(signal.SIGTERM)
    assert fleet.supervision.verdict == Verdict(0)


async def test_a_stop_while_one_is_added_leaves_nothing_running(tmp_path: Path, mysql_url: str, redis_url: str) -> None:
    async with scaled(tmp_path, mysql_url, redis_url, grace=0) as fleet:
        ids = await fleet.submit(SLOTS + 1, "first")
        await fleet.until_told("processes.added")
        await eventually(happens(lambda: 2 in fleet.pids), within_s=WITHIN_S)
        send(signal.SIGTERM)
    assert fleet.supervision.verdict == Verdict(0)
    async with open_store(mysql_url) as store:
        jobs = await store.get_many(ids)
        assert {(job.state, job.attempt, job.crashes) for job in jobs} == {(State.READY, 0, 0)}
        assert not await store.nodes()
