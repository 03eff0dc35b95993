"""Whatever way what users say takes through a node with a key, nobody reads it in its database, its feed or its log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uuid_utils

import tickr
from tests.features.conftest import Client, node
from tests.sealed import SECRET, written
from tests.store.backends import MysqlBackend, SqliteBackend
from tests.waiting import eventually

jobs = tickr.Jobs()
CARD = {"card": SECRET}
MENDED = {"card": f"mended {SECRET}"}


@jobs.schedule("nightly", CARD, every=3600)
@jobs.handler("pay", max_attempts=1)
async def pay(card: str, refuse: bool = False) -> str:
    if refuse:
        raise ValueError(f"refused: {card}")
    return f"paid with {card}"


@jobs.handler("once", unique=tickr.Unique(by=("card",)))
async def once(card: str) -> None:
    raise tickr.Snooze(60)


@jobs.handler("family", max_attempts=1)
async def family(job: tickr.Job, card: str, refuse: bool = False) -> Any:
    await job.submit("pay", {"card": card, "refuse": refuse})
    (child,) = await job.children()
    return child.result


@jobs.handler("heir")
async def heir(job: tickr.Job) -> Any:
    (testator,) = await job.dependencies()
    return [testator.encrypted, testator.result]


@jobs.handler("pages", max_attempts=2)
async def pages(job: tickr.Job, card: str) -> str:
    kept = await job.resume()
    if kept is None:
        await job.checkpoint({"charged": card})
        raise tickr.RetryLater(0.01)
    return str(kept["charged"])


def kept(url: str) -> bytes:
    """Return all that a store keeps."""
    if url.startswith("sqlite"):
        return SqliteBackend(Path(url.removeprefix("sqlite:///"))).bytes(None)
    return MysqlBackend(url).bytes(None)


@pytest.fixture
async def shop(lasting_store_url: str, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Client]:
    """A node with a key; at the end it is looked at what others could read."""
    keys = written("main")
    async with node(jobs, store=lasting_store_url, index="heap:", encryption_keys=keys, log_level="debug") as client:
        yield client
        feed = (await client.http.get("/events", params={"after": "earliest"})).text
        assert SECRET not in feed
        assert "tickr1:" not in feed
        everything = kept(lasting_store_url)
        assert SECRET.encode() not in everything
        assert b"tickr1:main." in everything, "we did look where it is"
        assert SECRET not in caplog.text


async def opened(client: Client, path: str) -> Any:
    """Return what ``path`` shows to who asks for it in the clear; without asking, nobody is told."""
    closed = await client.http.get(path)
    assert closed.is_success, closed.text
    assert SECRET not in closed.text
    assert "tickr1:" not in closed.text
    answer = await client.http.get(path, params={"decrypt": "true"})
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def ended(client: Client, job_id: str, state: str = "succeeded") -> Any:
    """Return a job in the clear once it has ended so."""
    assert (await client.until_final(job_id))["state"] == state
    return await opened(client, f"/jobs/{job_id}")


async def refused(client: Client) -> str:
    job = await client.post(type="pay", payload={**CARD, "refuse": True})
    assert (await client.until_final(job["id"]))["state"] == "failed"
    return str(job["id"])


async def test_a_payload_that_is_changed_with_a_retry(shop: Client) -> None:
    job_id = await refused(shop)
    answer = await shop.http.post(f"/jobs/{job_id}/retry", json={"payload": MENDED})
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    job = await ended(shop, job_id)
    assert (job["payload"], job["result"]) == (MENDED, f"paid with mended {SECRET}")
    history = await opened(shop, f"/jobs/{job_id}/attempts")
    assert history["items"][0]["error"]["message"] == f"ValueError: refused: {SECRET}"
    assert [one["changed"] for one in history["redrives"]] == [["payload"]]
    job = (await shop.http.post(f"/jobs/{job_id}/retry", json={"payload": MENDED})).json()
    assert (await opened(shop, f"/jobs/{job_id}/attempts"))["redrives"][1]["changed"] == [], "it is the same"
    assert (await ended(shop, job_id))["payload"] == MENDED


async def test_a_payload_that_an_operation_gives_to_many(shop: Client) -> None:
    ids = [await refused(shop), await refused(shop)]
    tick = (await shop.http.post("/schedules/nightly/run")).json()["id"]
    await shop.until_final(tick)
    wish: dict[str, Any] = {"action": "retry", "filter": {"ids": [*ids, tick], "state": ["failed", "succeeded"]}}
    preview = await shop.http.post("/operations", json={**wish, "changes": {"payload": MENDED}, "dry_run": True})
    assert SECRET not in preview.text
    assert SECRET not in (await shop.http.get("/dead-letters")).text
    wish |= {"changes": {"payload": MENDED}, "id": str(uuid_utils.uuid7())}
    begun = await shop.http.post("/operations", json=wish)
    assert begun.status_code == 202, begun.text
    assert SECRET not in begun.text
    assert (await shop.http.post("/operations", json=wish)).status_code == 200, "the same once more is the same"
    other = {**wish, "changes": {"payload": {"card": "another"}}}
    assert (await shop.http.post("/operations", json=other)).status_code == 409
    for job_id in [*ids, tick]:
        job = await redone(shop, job_id)
        assert (job["payload"], job["result"]) == (MENDED, f"paid with mended {SECRET}")
    shown = (await shop.http.get(f"/operations/{wish['id']}")).json()["changes"]
    assert shown == {"payload": None, "encrypted": True}
    assert (await opened(shop, f"/operations/{wish['id']}"))["changes"] == {"payload": MENDED}
    assert SECRET not in (await shop.http.get("/operations")).text


async def redone(client: Client, job_id: str) -> Any:
    """Return a job in the clear once it has succeeded after an operation has started it over."""

    async def look() -> bool:
        history = (await client.http.get(f"/jobs/{job_id}/attempts")).json()
        return bool(history["redrives"]) and (await client.get(job_id))["state"] == "succeeded"

    await eventually(look)
    return await opened(client, f"/jobs/{job_id}")


async def test_what_remote_workers_are_given_and_report(shop: Client) -> None:
    jobs = [await shop.post(type="far", payload=CARD, max_attempts=1) for _ in range(3)]
    poll = {"types": ["far"], "name": "far away", "max": 3, "wait": 5}
    taken = (await shop.http.post("/leases", json=poll)).json()
    assert [one["payload"] for one in taken["jobs"]] == [CARD] * 3
    lease, attempts = f"/leases/{taken['lease']}", [{"id": one["id"], "fence": one["fence"]} for one in taken["jobs"]]
    said = {"progress": 0.5, "message": f"charging {SECRET}", "data": [SECRET], "log": [f"charged {SECRET}"]}
    answer = await shop.http.post(f"{lease}/heartbeat", json={"jobs": [{**attempts[0], **said}, *attempts[1:]]})
    assert answer.status_code == 200, answer.text
    job = await opened(shop, f"/jobs/{attempts[0]['id']}")
    assert (job["progress_message"], job["progress_data"]) == (f"charging {SECRET}", [SECRET])
    await shop.http.post(f"{lease}/complete", json={"jobs": [{**attempts[0], "result": CARD}]})
    error = {"message": f"no: {SECRET}", "kind": "timeout", "traceback": f"at {SECRET}"}
    failures = [
        {**attempts[1], "then": "give_up", "error": {**error, "kind": "exception"}},
        {**attempts[2], "then": "give_up", "error": error},
    ]
    answer = await shop.http.post(f"{lease}/fail", json={"jobs": failures})
    assert {one["status"] for one in answer.json()["items"]} == {"done"}, answer.text
    again = await shop.http.post(f"{lease}/fail", json={"jobs": failures})
    assert again.json() == answer.json(), "said once more, it is answered as before"
    assert (await ended(shop, attempts[0]["id"]))["result"] == CARD
    for one, kind in zip(attempts[1:], ("give_up", "timeout"), strict=True):
        failed = await ended(shop, one["id"], "failed")
        assert failed["error"] == {"kind": kind, "message": f"no: {SECRET}", "traceback": f"at {SECRET}"}
    assert {one["id"] for one in jobs} == {one["id"] for one in attempts}


async def test_children_and_what_they_return(shop: Client) -> None:
    parent = await shop.post(type="family", payload=CARD)
    assert (await ended(shop, parent["id"]))["result"] == f"paid with {SECRET}"
    tree = await shop.http.get(f"/jobs/{parent['id']}/tree")
    assert SECRET not in tree.text
    (child,) = tree.json()["tree"]["children"]
    assert (await ended(shop, child["id"]))["payload"] == {**CARD, "refuse": False}


async def test_children_that_fail(shop: Client) -> None:
    parent = await shop.post(type="family", payload={**CARD, "refuse": True})
    failed = await ended(shop, parent["id"], "failed")
    assert failed["error"]["kind"] == "child_failed"
    assert SECRET not in failed["error"]["message"], "what is encrypted of a child stays there"
    tree = await shop.http.get(f"/jobs/{parent['id']}/tree")
    assert SECRET not in tree.text
    assert tree.json()["tree"]["children"][0]["error"]["message"] == "(encrypted)"


async def test_what_dependencies_hand_on(shop: Client) -> None:
    first = await shop.post(type="pay", payload=CARD)
    second = await shop.post(type="heir", depends_on=[first["id"]])
    assert (await ended(shop, second["id"]))["result"] == [True, f"paid with {SECRET}"]


async def test_checkpoints(shop: Client) -> None:
    job = await shop.post(type="pages", payload=CARD)
    assert (await ended(shop, job["id"]))["result"] == SECRET


async def test_a_unique_key_that_is_made_of_the_payload(shop: Client) -> None:
    first = await shop.http.post("/jobs", json={"type": "once", "payload": CARD})
    second = await shop.http.post("/jobs", json={"type": "once", "payload": CARD})
    other = await shop.http.post("/jobs", json={"type": "once", "payload": MENDED})
    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 201)
    assert second.json()["id"] == first.json()["id"]
    assert SECRET not in first.text + second.text
    named = await shop.http.post("/jobs", json={"type": "pay", "payload": CARD, "unique": {"key": "order 7"}})
    assert named.json()["unique"]["key"] == "order 7", "what somebody has said himself stays as it is"


async def test_a_schedule_that_the_code_declares(shop: Client) -> None:
    shown = await opened(shop, "/schedules/nightly")
    assert (shown["declared"], shown["job"]["payload"]) == (True, CARD)


async def test_who_has_not_the_key_takes_neither_a_report_nor_another_payload(lasting_store_url: str) -> None:
    settings: dict[str, Any] = {"store": lasting_store_url, "index": "heap:", "roles": ["api"]}
    async with node(encryption_keys=written("main"), **settings) as keyed, node(**settings) as other:
        job = await keyed.post(type="far", payload=CARD)
        taken = (await keyed.http.post("/leases", json={"types": ["far"], "max": 1, "wait": 5})).json()
        path = f"/leases/{taken['lease']}/complete"
        report = {"jobs": [{"id": job["id"], "fence": taken["jobs"][0]["fence"], "result": CARD}]}
        answer = await other.http.post(path, json=report)
        assert (answer.status_code, answer.json()["code"], answer.json()["key"]) == (503, "cannot_decrypt", "main")
        assert answer.headers["retry-after"] == "1", "a worker says it again"
        assert (await keyed.http.post(path, json=report)).json()["items"][0]["status"] == "done"
        answer = await other.http.post(f"/jobs/{job['id']}/retry", json={"payload": MENDED})
        assert (answer.status_code, answer.json()["code"], answer.json()["key"]) == (409, "cannot_decrypt", "main")
        assert (await ended(keyed, job["id"]))["result"] == CARD, "it is as it was"
        assert SECRET.encode() not in kept(lasting_store_url)
