"""Row 17, time-outs and deadlines: an attempt has its time and no more, a job that comes too late is not started."""

from __future__ import annotations

import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.features import stopping_jobs
from tests.features.conftest import Client, StartNode
from tests.features.stopping_jobs import CLOCKS_S, VARIABLE, marks
from tests.features.waiters import submit, waiters
from tests.processes import TickrProcess
from tests.waiting import eventually, happens
from tickr.scheduler.expire import NET_S

pytestmark = pytest.mark.slow

APP = "tests.features.stopping_jobs:jobs"
BUSY_S = 2.0
"""How much later than on a quiet machine something may happen, in seconds."""
AGAIN = {"backoff": {"kind": "constant", "base": 0.1, "jitter": 0}}
LATER = {"backoff": {"kind": "constant", "base": 3600, "jitter": 0}}


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "marks"))
    return tmp_path / "marks"


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def seconds(instant: str) -> float:
    return datetime.fromisoformat(instant).timestamp()


async def events(client: Client, job_id: str) -> list[dict[str, Any]]:
    answer = await client.http.get("/events", params={"after": "earliest", "job": job_id})
    return list(answer.json()["events"])


# -- the time of an attempt -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["loop", "thread", "process"])
async def test_deadlines_each_attempt_has_its_time_wherever_it_runs(
    start_node: StartNode, ledger: Path, type_: str
) -> None:
    """Then it is stopped, and has spent an attempt; the next one has the whole time again."""
    async with start_node(stopping_jobs.jobs) as client:
        job = await client.post(type=type_, timeout=0.6, max_attempts=2, **AGAIN)
        done = await client.until_final(job["id"], within_s=30)
        assert (done["state"], done["attempt"]) == ("failed", 2)
        assert (done["error"]["kind"], done["error"]["message"]) == ("timeout", "Not done within 0.6 s.")
        first, second = await client.attempts(job["id"])
        assert [(one["outcome"], one["error"]["kind"]) for one in (first, second)] == [
            ("retrying", "timeout"),
            ("failed", "timeout"),
        ]
        for attempt in (first, second):
            assert seconds(attempt["finished_at"]) - seconds(attempt["started_at"]) >= 0.6
        assert [event["type"].rpartition(".")[2] for event in await events(client, job["id"])] == [
            *("created", "started", "retrying", "started", "failed")
        ]
    left, began = marks(ledger, job["id"], "left"), marks(ledger, job["id"], "began")
    if type_ == "process":
        assert not any(is_alive(pid) for _, _, pid in began), "they are killed"
        return
    for attempt, (_, left_at, _) in zip((first, second), left, strict=True):
        assert left_at / 1e6 < seconds(attempt["finished_at"]) + CLOCKS_S, "it ends before that is told"


async def test_deadlines_a_running_attempt_is_not_touched_by_the_jobs_expiry(
    start_node: StartNode, ledger: Path
) -> None:
    async with start_node(stopping_jobs.jobs) as client:
        job = await client.post(type="takes", payload={"seconds": 1.5}, expires_in=0.7)
        done = await client.until_final(job["id"])
        assert (done["state"], done["result"]) == ("succeeded", "done")
        assert done["finished_at"] > done["expires_at"]


# -- the time of a job ------------------------------------------------------------------------------------------------


async def test_deadlines_what_waits_ends_on_time_whatever_it_waits_for(start_node: StartNode) -> None:
    async with start_node(stopping_jobs.jobs, workers=1) as client:
        jobs = [
            await client.post(type="unknown", expires_in=1.2),
            await client.post(type="unknown", queue="of-nobody", delay=0.5, expires_in=1.2),
            await client.post(type="fails", expires_in=1.2, **LATER),
        ]
        for job in jobs:
            done = await client.until_final(job["id"])
            assert (done["state"], done["error"]["kind"]) == ("cancelled", "expired")
            assert done["error"]["message"].startswith(f"Expired at {job['expires_at']}, before it was started")
            late = seconds(done["finished_at"]) - seconds(job["expires_at"])
            assert 0 <= late < NET_S + BUSY_S
            (event,) = [one for one in await events(client, job["id"]) if one["type"] == "tickr.job.cancelled"]
            assert (event["time"], event["data"]["error"]) == (done["finished_at"], done["error"])
        (failed,) = await client.attempts(jobs[-1]["id"])
        assert failed["error"]["message"] == "ConnectionError: the carrier does not answer"


async def test_deadlines_a_job_in_a_full_line_is_never_started_late(start_node: StartNode, ledger: Path) -> None:
    """One slot, and jobs before it that take longer than it lives: whoever looks first, the claim or the clock."""
    async with start_node(stopping_jobs.jobs, workers=1) as client:
        first = await client.post(type="takes", payload={"seconds": 2.0}, priority=0)
        await client.until(first["id"], "running")
        late = [await client.post(type="takes", payload={"seconds": 0}, expires_in=n / 10) for n in range(1, 9)]
        fine = await client.post(type="takes", payload={"seconds": 0}, expires_in=30)
        assert (await client.until_final(fine["id"]))["state"] == "succeeded"
        for job in late:
            done = await client.until_final(job["id"])
            assert done["error"]["kind"] == "expired"
            assert marks(ledger, job["id"], "began") == []


async def test_deadlines_somebody_who_starts_it_over_has_it_started(start_node: StartNode, ledger: Path) -> None:
    async with start_node(stopping_jobs.jobs) as client:
        job = await client.post(type="takes", payload={"seconds": 0}, delay=0.5, expires_in=0.500001)
        done = await client.until_final(job["id"])
        if done["state"] == "cancelled":  # it lives a microsecond, which hardly ever is enough
            again = (await client.http.post(f"/jobs/{job['id']}/retry")).json()
            assert again["expires_at"] is None
            done = await client.until(job["id"], "succeeded")
        assert done["result"] == "done"


# -- nodes that die ---------------------------------------------------------------------------------------------------


async def test_deadlines_hold_though_the_node_that_keeps_them_is_killed(
    mysql_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Of two with the duty one is killed; what ran on it is not started again once it has expired."""
    variables = {VARIABLE: str(tmp_path / "marks")}
    node = partial(TickrProcess, store=mysql_url, index=redis_url, app=APP, variables=variables)
    node = partial(node, arguments=["--lease", "3"])
    with node(roles="api,scheduler") as here, node(roles="api,scheduler,worker") as dies:
        began_at = time.time()
        (waits,) = await submit(here.url, 1, type="unknown", expires_in=2.0)
        (runs,) = await submit(dies.url, 1, type="takes", payload={"seconds": 60}, expires_in=2.0)
        await eventually(happens(lambda: bool(marks(tmp_path / "marks", runs, "began"))))
        dies.kill()
        # Not sooner: a node that starts here forgets a dead neighbour at once, and might run the job in time.
        await eventually(happens(lambda: time.time() > began_at + 2.5))
        with node(roles="api,worker"):
            async with waiters(here.port) as clients:
                await clients.ask([waits, runs], 60)
                await clients.all_answered(2, within_s=30)
                found = {job_id: one.job for job_id, one in clients.answered.items()}
        assert {job["error"]["kind"] for job in found.values()} == {"expired"}
        assert seconds(found[waits]["finished_at"]) - began_at < 2.0 + NET_S + BUSY_S
        assert found[runs]["crashes"] == 1
        assert "Its last attempt: lease_lost" in found[runs]["error"]["message"]
        assert len(marks(tmp_path / "marks", runs, "began")) == 1


async def test_deadlines_are_kept_by_a_node_that_starts_later(tmp_path: Path) -> None:
    """Alone on its file, it is killed; what has expired while nobody was there is not started."""
    variables = {VARIABLE: str(tmp_path / "marks")}
    store = f"sqlite:///{tmp_path}/tickr.db"
    node = partial(TickrProcess, store=store, app=APP, variables=variables)
    with node() as first:
        (job_id,) = await submit(first.url, 1, type="takes", payload={"seconds": 0}, delay=1.0, expires_in=1.5)
        submitted_at = trio.current_time()
        first.kill()
    await eventually(happens(lambda: trio.current_time() > submitted_at + 1.6))
    with node() as second:
        async with waiters(second.port) as clients:
            await clients.ask([job_id], 30)
            await clients.all_answered(1, within_s=20)
            assert clients.answered[job_id].job["error"]["kind"] == "expired"
    assert marks(tmp_path / "marks", job_id, "began") == []
