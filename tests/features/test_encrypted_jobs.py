"""Encrypted jobs over HTTP, on every store: told as such, opened on request, and waiting for a node with the key."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import uuid_utils

import tickr
from tests.docs.wire import fault
from tests.features.conftest import Client, StartNode, node
from tests.sealed import SECRET, written
from tests.store.inboxed import put_rows
from tests.waiting import eventually
from tickr.envelopes import is_sealed

jobs = tickr.Jobs()
ENDED = ("succeeded", "failed")


@jobs.handler("pay", max_attempts=1)
async def pay(job: tickr.Job, card: str, refuse: bool = False) -> dict[str, str]:
    await job.progress(0.5, f"charging {card}", {"card": card})
    await job.log(f"charged {card}")
    if refuse:
        raise ValueError(f"refused: {card}")
    return {"paid with": card}


async def ask(client: Client, path: str, status: int = 200, **query: str) -> httpx2.Response:
    answer = await client.http.get(path, params=query)
    assert answer.status_code == status, answer.text
    return answer


async def paid(client: Client, **more: Any) -> dict[str, Any]:
    job = await client.post(type="pay", payload={"card": SECRET, **more})
    return await client.until(job["id"], *ENDED)


async def test_a_job_is_told_to_be_encrypted_and_opened_for_who_asks(store_url: str) -> None:
    async with node(jobs, store=store_url, index="heap:", encryption_keys=written("main")) as client:
        submitted = await client.http.post("/jobs", json={"type": "pay", "payload": {"card": SECRET}})
        done, refused = await client.until(submitted.json()["id"], *ENDED), await paid(client, refuse=True)
        told = [
            submitted,
            await ask(client, f"/jobs/{done['id']}"),
            await ask(client, f"/jobs/{refused['id']}/attempts"),
            await ask(client, "/jobs"),
            await ask(client, "/events", after="earliest"),
            await ask(client, f"/jobs/{refused['id']}", decrypt="false"),
        ]
        for answer in told:
            assert SECRET not in answer.text
            assert "tickr1:" not in answer.text, "nobody is given an envelope"
        for job in [submitted.json(), done, refused, *told[3].json()["items"]]:
            assert (job["encrypted"], job["encryption_key"], job["payload"]) == (True, "main", None)
        assert refused["error"] == {"kind": "exception", "message": "(encrypted)", "traceback": None}

        opened = await ask(client, f"/jobs/{done['id']}", decrypt="true")
        assert opened.headers["cache-control"] == "no-store"
        job = opened.json()
        assert (job["payload"], job["result"]) == ({"card": SECRET}, {"paid with": SECRET})
        assert job["progress_message"] == f"charging {SECRET}"
        assert job["progress_data"] == {"card": SECRET}
        error = (await ask(client, f"/jobs/{refused['id']}", decrypt="true")).json()["error"]
        assert error["message"] == f"ValueError: refused: {SECRET}"
        assert "raise ValueError" in error["traceback"]
        attempts = (await ask(client, f"/jobs/{refused['id']}/attempts", decrypt="true")).json()["items"]
        assert attempts[0]["error"] == error
        await events_are_told_in_both_ways(client)


async def events_are_told_in_both_ways(client: Client) -> None:
    closed = (await ask(client, "/events", after="earliest")).json()["events"]
    opened = (await ask(client, "/events", after="earliest", decrypt="true")).json()["events"]
    assert [event["id"] for event in closed] == [event["id"] for event in opened]
    marked = [event["type"].rpartition(".")[2] for event in closed if event["data"].get("encrypted")]
    assert sorted(marked) == ["failed", "log", "log", "progress", "progress", "succeeded"]
    assert {event["data"].get("encryption_key") for event in closed} == {None, "main"}
    assert [found for event in closed + opened if (found := fault("Event", event))] == []
    data = [event["data"] for event in opened]
    assert {"paid with": SECRET} in [one.get("result") for one in data]
    assert f"charged {SECRET}" in [one.get("message") for one in data]
    assert (f"charging {SECRET}", {"card": SECRET}) in [(one.get("message"), one.get("data")) for one in data]
    assert f"ValueError: refused: {SECRET}" in [one["error"]["message"] for one in data if "error" in one]


async def test_a_job_waits_for_a_node_that_has_its_key_and_says_so(start_lasting: StartNode) -> None:
    key, other = written("main")[0], written("main")[0]
    async with start_lasting(jobs, roles=["api"], encryption_keys=[key]) as client:
        job = await client.post(type="pay", payload={"card": SECRET})
    for settings in ({}, {"encryption_keys": [other]}):
        async with start_lasting(jobs, **settings) as client:
            plain = await client.post(type="pay", payload={"card": "none"})
            await client.until(plain["id"], "succeeded")
            await is_told_to_wait(client, job["id"])
            refusal = (await ask(client, f"/jobs/{job['id']}", 409, decrypt="true")).json()
            assert (refusal["code"], refusal["key"]) == ("cannot_decrypt", "main")
            assert 'the key "main" (' in refusal["detail"]
            assert "TICKR_ENCRYPTION_KEYS" in refusal["detail"], "it says what to do"
            waiting = await client.get(job["id"])
            assert (waiting["state"], waiting["attempt"]) == ("ready", 0), "nothing is lost, no attempt is spent"
    async with start_lasting(jobs, encryption_keys=[other.replace("main", "new"), key]) as client:
        await client.until(job["id"], "succeeded")
        opened = (await ask(client, f"/jobs/{job['id']}", decrypt="true")).json()
        assert opened["result"] == {"paid with": SECRET}


async def is_told_to_wait(client: Client, job_id: str) -> None:
    async def look() -> bool:
        explained = (await ask(client, f"/jobs/{job_id}/explain")).json()
        return "no_node_for_key" in [reason["code"] for reason in explained["reasons"]]

    await eventually(look)


async def test_what_others_insert_by_sql_is_encrypted_when_it_is_taken(lasting_store_url: str) -> None:
    async with node(jobs, store=lasting_store_url, index="heap:", encryption_keys=written("main")) as client:
        job_id = str(uuid_utils.uuid7())
        row = msgspec.json.encode({"type": "pay", "id": job_id, "payload": {"card": SECRET}}).decode()
        await put_rows(client.handle.store, row, row)
        assert (await client.http.post("/inbox")).is_success
        done = await client.until(job_id, *ENDED)
        assert (done["state"], done["encrypted"], done["payload"]) == ("succeeded", True, None)
        stored = await client.handle.get(job_id)
        assert stored is not None
        assert is_sealed(stored.payload)
        opened = (await ask(client, f"/jobs/{job_id}", decrypt="true")).json()
        assert (opened["payload"], opened["result"]) == ({"card": SECRET}, {"paid with": SECRET})


async def test_what_asks_wrongly_is_told_so(store_url: str) -> None:
    async with node(jobs, store=store_url, index="heap:") as client:
        job = await paid(client)
        assert (job["encrypted"], job["encryption_key"], job["payload"]) == (False, None, {"card": SECRET})
        assert (await ask(client, f"/jobs/{job['id']}", decrypt="true")).json() == job, "a plain job is open"
        for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/attempts", "/events"):
            faults = (await ask(client, path, 400, decrypt="yes")).json()["errors"]
            assert [fault["pointer"] for fault in faults] == ["/decrypt"]
        await ask(client, "/jobs", 400, decrypt="true")


async def test_a_schedule_shows_what_its_jobs_get_to_who_asks(store_url: str) -> None:
    async with node(jobs, store=store_url, index="heap:", encryption_keys=written("main")) as client:
        body = {"every": 3600, "job": {"type": "pay", "payload": {"card": SECRET}}}
        answer = await client.http.put("/schedules/nightly", json=body)
        assert answer.status_code == 201, answer.text
        assert SECRET not in answer.text
        assert (answer.json()["encrypted"], answer.json()["encryption_key"]) == (True, "main")
        assert SECRET not in (await ask(client, "/schedules")).text
        opened = (await ask(client, "/schedules/nightly", decrypt="true")).json()
        assert opened["job"]["payload"] == {"card": SECRET}
        assert (await client.http.put("/schedules/nightly", json=body)).json()["version"] == 1, "the same is no change"
        ran = (await client.http.post("/schedules/nightly/run")).json()
        done = await client.until(ran["id"], *ENDED)
        assert (done["state"], done["encrypted"]) == ("succeeded", True)
        opened = (await ask(client, f"/jobs/{ran['id']}", decrypt="true")).json()
        assert opened["result"] == {"paid with": SECRET}
