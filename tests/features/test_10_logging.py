"""Row 10, logging: one line for each step of a job's life with its id, attempt and node; no payloads, no secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.processes import TickrProcess
from tests.waiting import eventually

CANARY = "canary-5f2b"
APP = """
import tickr
jobs = tickr.Jobs()

@jobs.handler("fragile")
async def fragile(job: tickr.Job, secret: str) -> str:
    if job.attempt == 1:
        raise ValueError("the printer is on fire")
    return secret
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[TickrProcess]:
    (tmp_path / "printing.py").write_text(APP)
    with TickrProcess(
        store=f"sqlite:///{tmp_path}/tickr.db",
        app="printing:jobs",
        python_path=[tmp_path],
        variables={"TICKR_TOKEN": CANARY + "-token"},
    ) as started:
        yield started


@pytest.mark.slow
async def test_logging_one_line_for_each_step_and_no_secret(process: TickrProcess) -> None:
    body = {"type": "fragile", "payload": {"secret": CANARY}, "backoff": {"kind": "constant", "base": 0.05}}
    headers = {"authorization": f"Bearer {CANARY}-token"}
    async with httpx2.AsyncClient(base_url=process.url, headers=headers) as http:
        job: dict[str, Any] = (await http.post("/jobs", json=body)).json()

        async def done() -> bool:
            return bool((await http.get(f"/jobs/{job['id']}")).json()["state"] == "succeeded")

        await eventually(done)
    process.terminate()
    assert process.wait() == 0
    text = process.log_path.read_text()
    assert CANARY not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    steps = [line for line in lines if line.get("job") == job["id"]]
    assert [line["event"] for line in steps] == [
        "job.created",
        "job.started",
        "job.retrying",
        "job.started",
        "job.succeeded",
    ]
    assert [line["attempt"] for line in steps[1:]] == [1, 1, 2, 2]
    assert {line["type"] for line in steps} == {"fragile"}
    assert all(line["node"] for line in steps[1:])
    assert all(line["level"] and line["timestamp"] for line in lines)
