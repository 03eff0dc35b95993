"""Row 15, retention: jobs that ended go when they are old enough, the others stay, and the node goes on working."""

from __future__ import annotations

import uuid

import pytest

import tickr
from tests.features.conftest import StartNode
from tests.waiting import eventually

pytestmark = pytest.mark.slow


def some_jobs() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("fine")
    async def fine() -> None: ...

    @jobs.handler("broken", max_attempts=1)
    async def broken() -> None:
        raise ValueError("no")

    return jobs


async def test_retention_deletes_what_has_succeeded_and_keeps_what_has_failed(start_node: StartNode) -> None:
    async with start_node(some_jobs(), keep_succeeded="1s", keep_failed="forever") as client:
        failed = await client.post(type="broken")
        waiting = await client.post(type="fine", delay=3600)
        chosen = str(uuid.uuid4())
        await client.post(type="fine", id=chosen)

        async def gone() -> bool:
            answer = await client.http.get(f"/jobs/{chosen}")
            return answer.status_code == 404 and answer.json()["code"] == "job_not_found"

        await eventually(gone, within_s=20)
        for call in ("attempts", "retry", "cancel"):
            path = f"/jobs/{chosen}/{call}"
            answer = await (client.http.get(path) if call == "attempts" else client.http.post(path))
            assert answer.status_code == 404, call
        assert (await client.until_final(failed["id"]))["state"] == "failed"
        assert (await client.get(waiting["id"]))["state"] == "scheduled"
        again = await client.post(type="fine", id=chosen)
        assert again["version"] == 1
        await eventually(gone, within_s=20)
