"""Large payloads and results, stored compressed, on every store: nobody who reads or runs them sees anything of it."""

from __future__ import annotations

from typing import Any

import pytest
import uuid_utils

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.sealed import written
from tests.store.inboxed import put_rows
from tickr.envelopes import is_sealed
from tickr.packing import is_packed

jobs = tickr.Jobs()
LARGE = {"text": "large and larger " * 500}
OTHER = {"text": "large and longer " * 500}
BOTH = pytest.mark.parametrize("more", [{}, {"encryption_keys": written("main")}], ids=["plain", "encrypted"])


@jobs.handler("echo", max_attempts=1)
async def echo(job: tickr.Job, text: str, fail: bool = False) -> Any:
    assert job.payload["text"] == text
    if fail:
        raise ValueError("as you say")
    return {"text": text}


@jobs.handler("parent")
async def parent(job: tickr.Job, text: str) -> int:
    await job.submit("echo", {"text": text}, name="child")
    (child,) = await job.children()
    return len(child.result["text"])


async def is_stored_so(client: Client, job_id: str) -> None:
    stored = await client.handle.store.get(job_id)
    assert stored is not None
    for text in (stored.payload, stored.result or ""):
        assert is_packed(text) or is_sealed(text)
        assert len(text) < 2000


async def shown(client: Client, path: str, **query: Any) -> Any:
    answer = await client.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert "tickr" not in answer.text.replace("/tickr", "").replace("tickr.job", ""), "nobody is given an envelope"
    return answer.json()


@BOTH
async def test_it_is_shown_and_run_as_any_other(store_url: str, more: dict[str, Any]) -> None:
    opened = {"decrypt": "true"} if more else {}
    async with node(jobs, store=store_url, index="heap:", compress_above=1024, **more) as client:
        created = await client.post(type="echo", payload=LARGE)
        assert created["payload"] == (None if more else LARGE)
        done = await client.until_final(created["id"])
        assert done["state"] == "succeeded"
        await is_stored_so(client, done["id"])
        job = await shown(client, f"/jobs/{done['id']}", **opened)
        assert (job["payload"], job["result"]) == (LARGE, LARGE)
        (event,) = (await shown(client, "/events", after="earliest", event="succeeded", **opened))["events"]
        assert event["data"]["result"] == LARGE
        if not more:
            assert (await shown(client, "/jobs"))["items"] == [job]

        again = await client.http.post(f"/jobs/{done['id']}/retry", json={"payload": OTHER})
        assert again.json()["payload"] == (None if more else OTHER)
        done = await client.until_final(done["id"])
        job = await shown(client, f"/jobs/{done['id']}", **opened)
        assert (job["payload"], job["result"]) == (OTHER, OTHER)
        await is_stored_so(client, done["id"])

        family = await client.until_final((await client.post(type="parent", payload=LARGE))["id"])
        assert (await shown(client, f"/jobs/{family['id']}", **opened))["result"] == len(LARGE["text"])


@BOTH
async def test_an_operation_gives_it_to_many(store_url: str, more: dict[str, Any]) -> None:
    opened = {"decrypt": "true"} if more else {}
    async with node(jobs, store=store_url, index="heap:", compress_above=1024, **more) as client:
        made = [await client.post(type="echo", payload={"text": "a", "fail": True}) for _ in range(3)]
        for one in made:
            assert (await client.until_final(one["id"]))["state"] == "failed"
        wish = {"action": "retry", "filter": {"type": ["echo"]}, "changes": {"payload": LARGE}}
        asked = await client.http.post("/operations", json=wish)
        assert asked.status_code in (200, 201, 202), asked.text
        assert asked.json()["changes"]["payload"] == (None if more else LARGE)
        for one in made:
            done = await client.until(one["id"], "succeeded")
            await is_stored_so(client, done["id"])
            assert (await shown(client, f"/jobs/{one['id']}", **opened))["result"] == LARGE


async def test_what_is_small_is_stored_as_it_is(store_url: str) -> None:
    async with node(jobs, store=store_url, index="heap:", compress_above=1024) as client:
        done = await client.until_final((await client.post(type="echo", payload={"text": "a"}))["id"])
        stored = await client.handle.store.get(done["id"])
        assert stored is not None
        assert (stored.payload, stored.result) == ('{"text":"a"}', '{"text":"a"}')


async def test_a_row_of_the_inbox_and_a_submission_from_inside_are_compressed(lasting_store_url: str) -> None:
    async with node(jobs, store=lasting_store_url, index="heap:", compress_above=1024) as client:
        job_id = str(uuid_utils.uuid7())
        text = LARGE["text"]
        row = f'{{"type":"echo","id":"{job_id}","payload":{{"text":"{text}"}}}}'
        await put_rows(client.handle.store, row)
        assert (await client.http.post("/inbox")).is_success
        await client.until_final(job_id)
        await is_stored_so(client, job_id)
        own = await client.handle.submit("echo", LARGE)
        assert text in own.payload, "a handle gives it as it was"
        await client.until_final(own.id)
        await is_stored_so(client, own.id)
        read = await client.handle.get(own.id)
        assert read is not None
        assert text in (read.result or "")


async def test_a_node_of_any_configuration_runs_and_shows_what_was_compressed(start_lasting: StartNode) -> None:
    async with start_lasting(jobs, compress_above=1024, roles=("api",)) as client:
        job = await client.post(type="echo", payload=LARGE)
    async with start_lasting(jobs) as client:
        done = await client.until_final(job["id"])
        assert (done["state"], done["payload"], done["result"]) == ("succeeded", LARGE, LARGE)
        again = await client.http.post("/jobs", json={"id": job["id"], "type": "echo", "payload": LARGE})
        assert (again.status_code, again.headers.get("idempotent-replayed")) == (200, "true")


async def test_what_was_damaged_in_the_store_fails_its_job_alone(store_url: str) -> None:
    async with node(jobs, store=store_url, index="heap:", compress_above=1024) as client:
        row = "tickrz:9000:H4sIAAAAAAAA"
        stored = await client.handle.store.insert([_damaged(row)])
        plain = await client.post(type="echo", payload=LARGE)
        assert (await client.until_final(plain["id"]))["state"] == "succeeded"
        failed = await client.until(stored[0][0].id, "failed")
        assert (failed["payload"], failed["error"]["kind"]) == (None, "cannot_decrypt")
        assert len((await client.http.get("/jobs")).json()["items"]) == 2


def _damaged(payload: str) -> Any:
    return tickr.jobs.NewJob(id=str(uuid_utils.uuid7()), type="echo", payload=payload)
