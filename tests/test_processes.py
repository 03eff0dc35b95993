"""A real node as a process of its own: it starts, keeps its data over a kill, stops when told, says why it cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.children import NotReady
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

REPORT = {"type": "report", "payload": {"title": "a", "body": "b"}}


async def run_job(node: TickrProcess, body: dict[str, Any]) -> dict[str, Any]:
    """Submit a job and return it when it is over."""
    async with httpx2.AsyncClient(base_url=node.url) as http:
        job = (await http.post("/jobs", json=body)).raise_for_status().json()

        async def over() -> dict[str, Any] | None:
            seen: dict[str, Any] = (await http.get(f"/jobs/{job['id']}")).raise_for_status().json()
            return seen if seen["finished_at"] else None

        return await eventually(over)


def test_a_node_keeps_its_jobs_over_a_kill() -> None:
    with TickrProcess(workers=2) as node:
        job = httpx2.post(f"{node.url}/jobs", json={**REPORT, "delay": 3600}).raise_for_status().json()
        first = node.pid
        node.kill()
        node.start()
        assert node.pid != first
        assert httpx2.get(f"{node.url}/jobs/{job['id']}").json() == job


def test_a_node_stops_when_told() -> None:
    with TickrProcess(store="memory:") as node:
        node.terminate()
        assert node.wait(10) == 0
        with pytest.raises(OSError, match="refused"):
            node.readiness()


async def test_a_node_runs_the_handlers_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "greetings.py").write_text(
        "import tickr\n\njobs = tickr.Jobs()\n\n@jobs.handler('greet')\n"
        "async def greet(job: tickr.Job, name: str) -> str:\n    return f'Hello {name}'\n"
    )
    with TickrProcess(store="memory:", app="greetings:jobs", python_path=[tmp_path]) as node:
        job = await run_job(node, {"type": "greet", "payload": {"name": "Ann"}})
        assert job["result"] == "Hello Ann"


def test_a_node_that_cannot_start_says_why() -> None:
    node = TickrProcess(store="postgres://somewhere/else")
    with pytest.raises(NotReady, match=r"(?s)tickr ended with code \d.*--store must"):
        node.__enter__()
    assert not node.folder.exists()


async def test_a_node_on_real_servers(mysql_url: str, redis_url: str) -> None:
    with TickrProcess(store=mysql_url, index=redis_url) as node:
        assert (await run_job(node, REPORT))["state"] == "succeeded"
