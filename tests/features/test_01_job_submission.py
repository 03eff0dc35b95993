"""Row 1, job submission: ``POST /jobs`` stores, then answers 201 with the id."""

from __future__ import annotations

import uuid
from typing import Any

import tickr
from tests.features.conftest import StartNode


def handlers() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("add")
    async def add(job: tickr.Job, a: int, b: int) -> dict[str, int]:
        return {"sum": a + b}

    return jobs


async def test_job_submission_answers_201_with_the_id_of_a_stored_job(start_node: StartNode) -> None:
    async with start_node(handlers(), roles=("api",)) as client:
        answer = await client.http.post("/jobs", json={"type": "add", "payload": {"a": 1, "b": 2}})
        job = answer.json()
        assert answer.status_code == 201
        assert answer.headers["location"] == f"/jobs/{job['id']}"
        assert str(uuid.UUID(job["id"])) == job["id"]
        assert job["state"] == "ready"
        stored = await client.get(job["id"])
        assert {**stored, "notice": None} == job


async def test_job_submission_is_read_by_another_process_after_the_201(start_lasting: StartNode) -> None:
    async with start_lasting(roles=("api",)) as one, start_lasting(roles=("api",)) as other:
        job = await one.post(type="add", payload={"a": 1, "b": 2})
        assert (await other.get(job["id"]))["payload"] == {"a": 1, "b": 2}


async def test_job_submission_keeps_the_payload_to_the_letter(start_node: StartNode) -> None:
    payload = '{"z":1,  "a": 12345678901234567890123, "é":"\\u00e9\\n", "f": 1.50, "😀": [ ]}'
    async with start_node(roles=("api",)) as client:
        answer = await client.http.post(
            "/jobs", content='{"type":"add","payload":' + payload + "}", headers={"content-type": "application/json"}
        )
        text = (await client.http.get(answer.headers["location"])).text
        assert payload in text


async def test_job_submission_with_the_same_id_is_the_same_job(start_node: StartNode) -> None:
    job_id = str(uuid.uuid4())
    body: dict[str, Any] = {"type": "add", "payload": {"a": 1, "b": 2}, "id": job_id, "delay": 60}
    async with start_node(roles=("api",)) as client:
        first = await client.http.post("/jobs", json=body)
        again = await client.http.post("/jobs", json=body)
        other = await client.http.post("/jobs", json={**body, "payload": {"a": 2}})
        assert [first.status_code, again.status_code, other.status_code] == [201, 200, 409]
        assert again.json() == first.json()
        assert again.headers["idempotent-replayed"] == "true"
        assert len((await client.http.get("/jobs")).json()["items"]) == 1
