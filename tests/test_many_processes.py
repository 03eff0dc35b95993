"""``tickr serve --processes 2`` as a whole: killed, stopped and orphaned under load, on real servers."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from tests.processes import TickrProcess
from tests.waiting import eventually, happens
from tickr.store.open import open_store

pytestmark = pytest.mark.slow

APP = """
import os, pathlib
import trio
import tickr

jobs = tickr.Jobs()
STEP_S = 0.02

@jobs.handler("quick")
async def quick(job: tickr.Job) -> int:
    return os.getpid()

@jobs.handler("hold")
async def hold(job: tickr.Job) -> int:
    with open("held", "a") as file:
        file.write(f"{job.id} {os.getpid()}\\n")
    while not pathlib.Path("gate").exists():
        await trio.sleep(STEP_S)
    return os.getpid()
"""
LEASE_S, RECOVERED_WITHIN_S = 90.0, 30.0
"""Whoever is so quick has not waited for the lease, however busy the machine is."""
CLIENTS = 4


class Fleet(TickrProcess):
    """A supervisor with its processes, on ``APP``."""

    def __init__(self, folder: Path, store: str, index: str) -> None:
        (folder / "app.py").write_text(APP)
        super().__init__(
            store=store,
            index=index,
            app="app:jobs",
            arguments=["--processes", "2", "--lease", f"{LEASE_S:g}"],
            python_path=[folder],
        )

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return what is logged of ``event``. Every line that is no JSON is a line for people."""
        found = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        return [line for line in found if line["event"] == event]

    async def until_logged(self, event: str, times: int = 1) -> None:
        await eventually(happens(lambda: len(self.lines(event)) >= times), within_s=30)

    @property
    def pids(self) -> dict[int, int]:
        """Number of each process → the pid of who has it now."""
        return {line["process"]: line["pid"] for line in self.lines("process.started")}

    def held(self) -> list[tuple[str, int]]:
        """Return (job, pid) of each start of a job that holds."""
        path = self.folder / "held"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def open_gate(self) -> None:
        (self.folder / "gate").touch()


class Load:
    """Clients that submit one job after the other; each job until it is known to be stored."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.stored: list[str] = []
        self.probes = 0
        self.enough = trio.Event()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._probe)
            for _ in range(CLIENTS):
                nursery.start_soon(self._submit)

    async def _submit(self) -> None:
        async with httpx2.AsyncClient(base_url=self._url, timeout=20) as http:
            while not self.enough.is_set():
                await self._submit_one(http, str(uuid.uuid4()))

    async def _submit_one(self, http: httpx2.AsyncClient, job_id: str) -> None:
        while True:
            try:
                answer = await http.post("/jobs", json={"type": "quick", "id": job_id})
            except httpx2.ConnectError:
                if self.enough.is_set():
                    return  # the port is closed, as it has to be
                raise
            except httpx2.TransportError:
                continue  # it was killed with our request
            if answer.status_code in (200, 201):
                self.stored.append(job_id)
                return
            assert answer.status_code == 503, answer.text

    async def _probe(self) -> None:
        """Connect again and again. The port always takes a connection, and gives an answer or is reset by a death."""
        while not self.enough.is_set():
            with trio.fail_after(10):
                try:
                    stream = await trio.open_tcp_stream("127.0.0.1", int(self._url.rpartition(":")[2]))
                except OSError:
                    assert self.enough.is_set()
                    return
                async with stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: t\r\n\r\n")
                        self.probes += (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def submit(node: Fleet, type: str) -> str:
    async with httpx2.AsyncClient(base_url=node.url, timeout=20) as http:
        return str((await http.post("/jobs", json={"type": type})).raise_for_status().json()["id"])


async def states(store: str, ids: list[str]) -> set[tuple[str, int]]:
    """Return the (state, crashes) that there are among the jobs."""
    async with open_store(store) as opened:
        jobs = [await opened.get(job_id) for job_id in ids]
        return {(str(job.state), job.crashes) if job else ("lost", 0) for job in jobs}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def gone(*pids: int) -> Callable[[], bool]:
    return lambda: not any(map(alive, pids))


def told_until_gone(*pids: int) -> Callable[[], bool]:
    """Return what tells all of them again to stop, and whether they have."""

    def tell() -> bool:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        return gone(*pids)()

    return tell


async def test_under_load_a_killed_process_is_replaced_at_once_and_a_stop_lets_all_finish(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    with Fleet(tmp_path, mysql_url, redis_url) as fleet:
        await fleet.until_logged("supervisor.serving")
        assert fleet.log.count("Tickr serves on") == 1
        assert f"Tickr serves on {fleet.url} with 2 processes\n" in fleet.log
        assert {line["process"] for line in fleet.lines("node.serving")} == {1, 2}
        assert len({line["node"] for line in fleet.lines("node.serving")}) == 2
        load = Load(fleet.url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(load.run)
            held = await submit(fleet, "hold")
            await eventually(happens(lambda: bool(fleet.held())))
            ((_, victim),) = fleet.held()
            before = load.probes
            os.kill(victim, signal.SIGKILL)
            await eventually(happens(lambda: len(fleet.held()) == 2), within_s=RECOVERED_WITHIN_S)
            await fleet.until_logged("node.serving", 3)
            assert load.probes > before
            await stop_under_load(fleet, load)
        assert victim not in fleet.pids.values()
        (end,) = fleet.lines("process.ended")[:1]
        assert (end["signal"], end["level"], end["restart_in_s"]) == ("SIGKILL", "error", 0)
        assert [line["process"] for line in fleet.lines("node.found_dead")] == [end["process"]]
        assert not fleet.lines("node.expired")  # nobody had to wait for the end of the lease
        assert await states(mysql_url, [held]) == {("succeeded", 1)}
        assert len(load.stored) > 20
        found = await states(mysql_url, load.stored)
        assert {state for state, _ in found} <= {"succeeded", "ready"}, "what was not started before the stop may wait"


async def stop_under_load(fleet: Fleet, load: Load) -> None:
    """Stop as systemd does it: the signal goes to every process there is, and what runs may finish all the same."""
    pids = list(fleet.pids.values())
    (holder,) = [number for number, pid in fleet.pids.items() if pid == fleet.held()[-1][1]]
    for pid in (fleet.pid, *pids):
        os.kill(pid, signal.SIGTERM)
    load.enough.set()
    # Asked twice: by the signal of its own, and by the supervisor, who has had one as well.
    await eventually(happens(lambda: [one["process"] for one in fleet.lines("node.stopping")].count(holder) == 2))
    fleet.open_gate()
    await eventually(happens(told_until_gone(*pids)), within_s=30)
    assert await trio.to_thread.run_sync(fleet.wait, 30) == 0, "and no signal makes a failure of a good end"
    assert len(fleet.lines("node.stopped")) == 2
    with pytest.raises(OSError, match="refused"):
        fleet.readiness()


async def test_processes_whose_supervisor_is_killed_finish_what_runs_and_end(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    with Fleet(tmp_path, mysql_url, redis_url) as fleet:
        await fleet.until_logged("supervisor.serving")
        held = await submit(fleet, "hold")
        await eventually(happens(lambda: bool(fleet.held())))
        pids = list(fleet.pids.values())
        os.kill(fleet.pid, signal.SIGKILL)
        await fleet.until_logged("process.orphaned", 2)
        assert alive(fleet.held()[0][1])
        fleet.open_gate()
        await eventually(happens(gone(*pids)), within_s=20)
        assert await states(mysql_url, [held]) == {("succeeded", 0)}


def refused(folder: Path, *words: str, code: int) -> str:
    """Return what ``tickr serve`` says to people when it cannot start."""
    fleet = TickrProcess(arguments=["--processes", "2", *words])
    try:
        fleet.start(wait=False)
        assert fleet.wait() == code, fleet.log
        assert "Traceback" not in fleet.log
        assert "node.serving" not in fleet.log
        (said,) = [line for line in fleet.log.splitlines() if not line.startswith("{")]
        return said
    finally:
        fleet.close()


def test_a_start_that_cannot_be_is_said_once_and_not_tried_again(tmp_path: Path, mysql_url: str) -> None:
    assert re.match("Error: There is no module 'nowhere'", refused(tmp_path, "--store", mysql_url, "nowhere", code=2))
    away = "mysql://u:canary@127.0.0.1:1/t"
    said = refused(tmp_path, "--store", away, code=3)
    assert said.startswith("Error: ")
    assert "canary" not in said


def test_sqlite_is_refused_with_what_to_do(tmp_path: Path) -> None:
    said = refused(tmp_path, code=2)
    assert said.startswith("Error: --processes is 2, but SQLite lets one process write at a time")
    assert "MySQL or MariaDB" in said
