"""A real node, as ``tickr serve`` runs it, whose handlers share something: its start, its stop, and a bad start."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from tests.processes import TickrProcess

APP = """
import contextlib, pathlib, sys
import trio, tickr

jobs = tickr.Jobs()
diary = pathlib.Path("diary")

@jobs.lifespan
@contextlib.asynccontextmanager
async def pool():
    if pathlib.Path("broken").exists():
        raise ConnectionError("the database is away")
    diary.write_text("entered ")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        yield {"answer": 42}
        nursery.cancel_scope.cancel()
    diary.write_text(diary.read_text() + "left")

@jobs.handler("ask")
async def ask(job: tickr.Job) -> int:
    return job.shared["answer"]

@jobs.handler("ask_in_thread")
def ask_in_thread(job: tickr.Job) -> int:
    return job.shared["answer"]
"""


def submit(node: TickrProcess, type: str) -> dict[str, object]:
    body = json.dumps({"type": type}).encode()
    request = urllib.request.Request(f"{node.url}/jobs", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        job = json.load(answer)
    with urllib.request.urlopen(f"{node.url}/jobs/{job['id']}?wait=20", timeout=30) as answer:
        return dict(json.load(answer))


def test_it_lasts_from_the_start_to_the_stop(tmp_path: Path) -> None:
    (tmp_path / "shared_app.py").write_text(APP)
    with TickrProcess(app="shared_app:jobs", python_path=[tmp_path]) as node:
        assert [submit(node, type)["result"] for type in ("ask", "ask_in_thread")] == [42, 42]
        diary = node.folder / "diary"
        assert diary.read_text() == "entered "
        node.terminate()
        assert node.wait() == 0
        assert diary.read_text() == "entered left"


def test_a_start_that_fails_says_why_and_takes_no_job(tmp_path: Path) -> None:
    (tmp_path / "shared_app.py").write_text(APP.replace('pathlib.Path("broken").exists()', "True"))
    node = TickrProcess(app="shared_app:jobs", python_path=[tmp_path])
    with (
        pytest.raises(Exception, match=r"The lifespan shared_app\.pool failed as it was entered: ConnectionError"),
        node,
    ):
        pass
