"""Real nodes on real servers under a supervisor with a range: processes come and go, and no job is lost on the way."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

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

    @property
    def url(self) -> str:
        return self.supervision.announced[0]

    @property
    def pids(self) -> dict[int, int]:
        """Number of each process → the pid of who has had it last."""
        return {line["process"]: line["pid"] for line in self.supervision.told("process.started")}

    async def until_told(self, event: str, times: int = 1) -> None:
        await self.supervision.until_told(event, times, within_s=WITHIN_S)

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
        yield Scaled(supervision, folder, store)


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
