"""``tickr serve --burst``: runs what is due and ends with 0; real programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from tests.cli.running import ROOT, environment
from tests.processes import TickrProcess
from tickr.jobs import NewJob, State
from tickr.store.contract import Filter
from tickr.store.sqlite import open_sqlite

pytestmark = pytest.mark.slow

APP = """
import tickr, trio
jobs = tickr.Jobs()

@jobs.handler("split")
async def split(job: tickr.Job, times: int) -> None:
    await trio.lowlevel.checkpoint()
    print("split", times, flush=True)

@jobs.handler("broken", max_attempts=2)
async def broken(job: tickr.Job) -> None:
    raise ValueError("no")
"""


def burst(folder: Path, *words: str, within_s: float = 40) -> subprocess.CompletedProcess[str]:
    (folder / "app.py").write_text(APP)
    command = [sys.executable, "-m", "tickr", "serve", "app:jobs", "--burst", *words]
    variables = {**environment({}), "PYTHONPATH": f"{ROOT}:{folder}"}
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=within_s, check=False
    )


def put(path: Path, *new: NewJob) -> None:
    async def insert() -> None:
        async with open_sqlite(path) as store:
            await store.insert(new)

    trio.run(insert)


def states(path: Path) -> dict[str, list[State]]:
    async def look() -> dict[str, list[State]]:
        async with open_sqlite(path) as store:
            found: dict[str, list[State]] = {}
            for job in (await store.list_jobs(Filter(), limit=1000)).jobs:
                found.setdefault(job.type, []).append(job.state)
            return found

    return trio.run(look)


def new(number: int, type_: str, payload: str = "{}", **fields: object) -> NewJob:
    return NewJob(id=f"0190a5c3-0000-7000-8000-{number:012}", type=type_, payload=payload, **fields)  # type: ignore[arg-type]


def test_it_runs_what_is_due_and_ends_with_0(tmp_path: Path) -> None:
    path = tmp_path / "tickr.db"
    jobs = [new(n, "split", f'{{"times": {n}}}') for n in range(60)]
    later = [new(100, "split", '{"times": 9}', delay_us=3_600_000_000), new(101, "nobody"), new(102, "broken")]
    put(path, *jobs, *later)
    done = burst(tmp_path, "--workers", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("split") == 60
    assert "node.nothing_left" in done.stderr
    found = states(path)
    assert sorted(found["split"]) == [State.READY] + [State.SUCCEEDED] * 60
    assert found["nobody"] == [State.READY]
    assert found["broken"] == [State.RETRYING], "its next attempt is for the next burst"
    assert burst(tmp_path).returncode == 0


def test_it_works_beside_a_node_at_the_same_port(tmp_path: Path) -> None:
    with TickrProcess(store=f"sqlite:///{tmp_path}/tickr.db", roles="api,scheduler") as node:
        put(tmp_path / "tickr.db", new(1, "split", '{"times": 1}'))
        done = burst(tmp_path, "--port", str(node.port))
    assert (done.returncode, done.stdout.count("split")) == (0, 1), done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--roles", "api"], "--burst runs jobs, which takes the role worker"),
        (["--processes", "2", "--store", "mysql://u@localhost/x"], "--burst is for one process"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    done = burst(tmp_path, *words)
    assert done.returncode == 2
    assert said in done.stderr
