"""Signed jobs, on every store: what came by the API is run, what stands in the database without a signature is not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import uuid_utils

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.sealed import written
from tests.store.inboxed import put_rows
from tests.waiting import eventually
from tickr.jobs import NewJob

jobs = tickr.Jobs()
KEYS = written("mine")
SIGNED: dict[str, Any] = {"index": "heap:", "signing_keys": KEYS, "signed_only": True}
BOTH = pytest.mark.parametrize("more", [{}, {"encryption_keys": written("main")}], ids=["plain", "encrypted"])
ran: list[str] = []


@jobs.handler("echo", max_attempts=5)
async def echo(job: tickr.Job, text: str) -> str:
    ran.append(job.id)
    if text == "fail":
        raise tickr.GiveUp("as you say")
    return text


@jobs.handler("parent")
async def parent(job: tickr.Job) -> Any:
    await job.submit("echo", {"text": "of a child"}, name="child")
    (child,) = await job.children()
    return child.result


async def result(client: Client, job_id: str) -> Any:
    await client.until_final(job_id)
    answer = await client.http.get(f"/jobs/{job_id}", params={"decrypt": "true"})
    assert answer.json()["state"] == "succeeded", answer.text
    return answer.json()["result"]


def smuggled(**fields: Any) -> NewJob:
    fields.setdefault("payload", '{"text":"mine"}')
    return NewJob(id=str(uuid_utils.uuid7()), type="echo", **fields)


@BOTH
async def test_what_comes_by_the_api_is_run_whatever_way_it_takes(store_url: str, more: dict[str, Any]) -> None:
    async with node(jobs, store=store_url, **SIGNED, **more) as client:
        one = await client.post(type="echo", payload={"text": "a"})
        assert one["payload"] == (None if more else {"text": "a"})
        assert await result(client, one["id"]) == "a"
        batch = await client.http.post("/jobs/batch", json={"jobs": [{"type": "echo", "payload": {"text": "b"}}]})
        assert await result(client, batch.json()["results"][0]["id"]) == "b"
        assert await result(client, (await client.post(type="parent"))["id"]) == "of a child"
        own = await client.handle.submit("echo", {"text": "own"})
        assert await result(client, own.id) == "own"

        body = {"every": 3600, "job": {"type": "echo", "payload": {"text": "tick"}}}
        assert (await client.http.put("/schedules/hourly", json=body)).status_code == 201
        assert (await client.http.put("/schedules/hourly", json=body)).json()["version"] == 1, "the same is no change"
        tick = (await client.http.post("/schedules/hourly/run")).json()
        assert await result(client, tick["id"]) == "tick"

        for job_id in (one["id"], tick["id"]):
            changes = {"payload": {"text": "again"}, "queue": "other"}
            assert (await client.http.post(f"/jobs/{job_id}/retry", json=changes)).is_success
            assert await result(client, job_id) == "again"
        failed = [(await client.post(type="echo", payload={"text": "fail"}))["id"] for _ in range(2)]
        for job_id in failed:
            assert (await client.until_final(job_id))["state"] == "failed"
        wish = {
            "action": "retry",
            "filter": {"type": ["echo"]},
            "changes": {"payload": {"text": "mended"}, "queue": "q"},
        }
        assert (await client.http.post("/operations", json=wish)).is_success
        for job_id in failed:
            await client.until(job_id, "succeeded")
            assert await result(client, job_id) == "mended"


async def test_a_tick_of_a_declared_schedule_is_signed(store_url: str) -> None:
    declaring = tickr.Jobs()

    @declaring.schedule("often", {"text": "declared"}, every=3600, start="now")
    @declaring.handler("echo")
    async def declared(job: tickr.Job, text: str) -> str:
        return text

    async with node(declaring, store=store_url, **SIGNED) as client:

        async def ticked() -> list[dict[str, Any]] | None:
            return (await client.http.get("/jobs", params={"type": "echo", "state": "succeeded"})).json()[
                "items"
            ] or None

        assert (await eventually(ticked))[0]["result"] == "declared"


async def test_what_somebody_has_written_into_the_database_is_not_run_but_shown(store_url: str) -> None:
    async with node(jobs, store=store_url, **SIGNED) as client:
        good = await client.post(type="echo", payload={"text": "good"}, delay=3600)
        stored = await client.handle.store.get(good["id"])
        assert stored is not None
        copied = smuggled(payload=stored.payload, extras=stored.extras)
        extras = msgspec.structs.replace(stored.extras, place=stored.id)
        moved = smuggled(payload=stored.payload, extras=extras)
        before = len(ran)
        made = await client.handle.store.insert([smuggled(), copied, moved])
        for job, _ in made:
            failed = await client.until_final(job.id)
            assert (failed["state"], failed["attempt"]) == ("failed", 1), "it is not tried again"
            assert failed["error"]["kind"] == "bad_signature"
            assert failed["payload"] == json.loads(job.payload)
        assert len(ran) == before
        (attempt,) = await client.attempts(made[0][0].id)
        assert attempt["error"]["message"].startswith("It is not signed")
        for changes in ({}, {"payload": {"text": "good"}}):
            assert (await client.http.post(f"/jobs/{made[0][0].id}/retry", json=changes)).is_success
            assert (await client.until_final(made[0][0].id))["error"]["kind"] == "bad_signature"
        assert len(ran) == before, "to start it over signs nothing that was not signed"


async def test_rows_of_the_inbox_are_refused_where_only_what_is_signed_is_run(lasting_store_url: str) -> None:
    row = '{"type":"echo","payload":{"text":"mine"}}'
    async with node(jobs, store=lasting_store_url, **SIGNED) as client:
        await put_rows(client.handle.store, row)
        assert (await client.http.post("/inbox")).is_success  # or the node has looked by itself just before
        assert len(await client.handle.store.inbox_refused(10)) == 1
        assert (await client.http.get("/jobs")).json()["items"] == []


async def test_rows_of_the_inbox_are_not_signed_by_who_takes_them(start_lasting: StartNode) -> None:
    job_id = str(uuid_utils.uuid7())
    row = f'{{"type":"echo","id":"{job_id}","payload":{{"text":"mine"}}}}'
    async with start_lasting(jobs, signing_keys=KEYS, roles=("api",)) as client:
        await put_rows(client.handle.store, row)
        assert (await client.http.post("/inbox")).is_success
        signed = await client.post(type="echo", payload={"text": "good"})
    async with start_lasting(jobs, signing_keys=KEYS, signed_only=True) as client:
        assert (await client.until_final(job_id))["error"]["kind"] == "bad_signature"
        assert (await client.until_final(signed["id"]))["result"] == "good"


async def test_nodes_that_do_not_ask_for_it_run_everything(start_lasting: StartNode) -> None:
    for settings in ({}, {"signing_keys": written("other")}):
        async with start_lasting(jobs, **settings) as client:
            made = await client.handle.store.insert([smuggled()])
            assert (await client.until_final(made[0][0].id))["state"] == "succeeded"
    async with start_lasting(jobs, signing_keys=KEYS, roles=("api",)) as client:
        signed = await client.post(type="echo", payload={"text": "good"})
    async with start_lasting(jobs) as client:
        assert (await client.until_final(signed["id"]))["state"] == "succeeded"
