"""Row 14, events of the application's own: stored when they are awaited, none left out, chosen by their name."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio

import tickr
from tests.features.conftest import Client, StartNode, node
from tests.sealed import SECRET, written


@pytest.fixture
def start(store_url: str) -> StartNode:
    """Start a node on each store; the index has no part in this."""
    return partial(node, store=store_url)


async def emitted(client: Client, **query: str) -> list[dict[str, Any]]:
    answer = await client.http.get("/events", params={"after": "earliest", "event": "emitted", **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["events"])


async def test_an_event_is_on_the_feed_when_it_has_been_awaited(start: StartNode) -> None:
    jobs, stored, seen = tickr.Jobs(), trio.Event(), trio.Event()

    @jobs.handler("invoice")
    async def invoice(job: tickr.Job, number: int) -> None:
        await job.log("before")
        await job.emit("invoice.sent", {"id": number, "total": 9.50})
        stored.set()
        await seen.wait()
        await job.emit("done")

    async with start(jobs) as client:
        job = await client.post(type="invoice", payload={"number": 7}, labels={"customer": "42"})
        await stored.wait()
        assert [event["data"]["name"] for event in await emitted(client)] == ["invoice.sent"]
        seen.set()
        await client.until_final(job["id"])
        page = (await client.http.get("/events?after=earliest")).json()["events"]
        for name, count in (("invoice.sent", 1), ("done", 1), ("invoice", 0)):
            assert len(await emitted(client, name=name)) == count
        named = (await client.http.get("/events?after=earliest&name=done&name=invoice.sent&type=invoice")).json()
        assert [event["data"]["name"] for event in named["events"]] == ["invoice.sent", "done"]
    assert [event["type"].removeprefix("tickr.job.") for event in page] == [
        *("created", "started", "log", "emitted", "emitted", "succeeded")
    ]
    first, last = page[3:5]
    assert [event["id"] for event in page[2:5]] == [f"{job['id']}.2.{number}" for number in (1, 2, 3)]
    assert first["data"]["data"] == {"id": 7, "total": 9.5}
    assert (last["data"]["name"], last["data"]["data"]) == ("done", None)
    assert first["data"]["job"]["labels"] == {"customer": "42"}
    assert not {"message", "result", "progress"} & first["data"].keys()


async def test_a_handler_in_a_thread_comes_back_when_it_is_stored(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("invoice")
    def invoice(job: tickr.Job) -> None:
        for number in range(3):
            job.emit("sent", number)
        trio.from_thread.run(job.emit, "sent", 3)

    async with start(jobs) as client:
        job = await client.post(type="invoice")
        assert (await client.until_final(job["id"]))["state"] == "succeeded"
        assert [event["data"]["data"] for event in await emitted(client)] == [0, 1, 2, 3]


async def test_of_an_encrypted_job_the_name_is_told_and_the_data_to_who_asks(start: StartNode) -> None:
    jobs = tickr.Jobs()

    @jobs.handler("pay")
    async def pay(job: tickr.Job, card: str) -> None:
        await job.emit("paid", {"card": card})

    async with start(jobs, encryption_keys=written("main")) as client:
        job = await client.post(type="pay", payload={"card": SECRET})
        await client.until_final(job["id"])
        (closed,) = await emitted(client, name="paid")
        assert (closed["data"]["name"], closed["data"]["encrypted"]) == ("paid", True)
        assert "data" not in closed["data"]
        rows = await client.handle.store.event_rows(0, 1_000, 100_000_000)
        assert SECRET not in str(rows)
        (opened,) = await emitted(client, decrypt="true")
        assert (opened["data"]["name"], opened["data"]["data"]) == ("paid", {"card": SECRET})


@pytest.mark.parametrize("name", ["a b", "", ".a", "x" * 101])
async def test_a_filter_that_is_no_name_is_refused(name: str) -> None:
    async with node(store="memory:") as client:
        answer = await client.http.get("/events", params={"after": "earliest", "name": name})
        assert answer.status_code == 400
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/name"]
