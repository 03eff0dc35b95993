"""``POST /queues/<name>/empty`` and ``DELETE /queues/<name>``: what waits goes, then the queue."""

from __future__ import annotations

import pytest

from tests.api.site import Site
from tests.store.backends import new_id, put_final, put_one, put_running
from tickr.jobs import State


async def test_a_queue_is_taken_away(site: Site) -> None:
    await put_final(site.store, State.FAILED, queue="mail")
    await site.http.put("/queues/mail", json={"max_running": 2})
    answer = await site.http.delete("/queues/mail")
    assert (answer.status_code, answer.content) == (204, b"")
    gone = await site.http.get("/queues/mail"), await site.http.delete("/queues/mail")
    assert [(one.status_code, one.json()["code"]) for one in gone] == [(404, "queue_not_found")] * 2
    (event,) = (await site.http.get("/events", params={"after": "earliest", "event": "queue.deleted"})).json()["events"]
    assert (event["subject"], event["data"]["queue"]["max_running"]) == ("mail", 2)


async def test_one_with_jobs_is_refused(site: Site) -> None:
    job = await put_one(site.store, queue="mail")
    refused = await site.http.delete("/queues/mail")
    assert (refused.status_code, refused.json()["code"], refused.json()["queue"]) == (409, "queue_not_empty", "mail")
    assert "Empty it first" in refused.json()["detail"]
    assert await site.store.get(job.id) == job


@pytest.mark.parametrize(("body", "action"), [(None, "cancel"), ({"delete": True, "reason": "x", "rate": 9}, "delete")])
async def test_it_is_emptied_by_an_operation(site: Site, body: dict[str, object] | None, action: str) -> None:
    await put_one(site.store, queue="mail", delay_us=60_000_000)
    await put_running(site.store, queue="mail")
    await put_one(site.store, queue="other")
    answer = await site.http.post("/queues/mail/empty", **({} if body is None else {"json": body}))
    told = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/operations/{told['id']}")
    waiting = ["scheduled", "ready", "blocked", "retrying"]
    assert (told["action"], told["filter"], told["total"]) == (action, {"state": waiting, "queue": ["mail"]}, 1)
    assert (told["reason"], told["rate"]) == (("x", 9.0) if body else ("queue mail was emptied", 200.0))


async def test_the_same_id_once_more_is_the_same_operation(site: Site) -> None:
    await put_one(site.store, queue="mail", delay_us=60_000_000)
    wish = {"id": new_id().upper(), "reason": "moved"}
    first = await site.post("/queues/mail/empty", **wish)
    assert (first.status_code, first.json()["id"], first.json()["total"]) == (202, wish["id"].lower(), 1)
    again = await site.post("/queues/mail/empty", **wish)
    assert (again.status_code, again.headers["location"]) == (200, first.headers["location"])
    assert again.json() == first.json()
    assert [one["id"] for one in (await site.http.get("/operations")).json()["items"]] == [wish["id"].lower()]
    others = [
        await site.post("/queues/mail/empty", **wish, delete=True),
        await site.post("/queues/mail/empty", **(wish | {"reason": "gone"})),
        await site.post("/queues/other/empty", **wish),
        await site.post("/operations", action="retry", all=True, id=wish["id"]),
    ]
    assert [(one.status_code, one.json()["code"]) for one in others] == [(409, "duplicate_operation")] * 4


async def test_what_is_asked_wrongly(site: Site) -> None:
    answers = [
        await site.http.delete("/queues/a%20b"),
        await site.http.delete("/queues/mail?force=1"),
        await site.http.post("/queues/a%20b/empty"),
    ]
    assert [one.status_code for one in answers] == [400, 400, 400]
    wrong = await site.http.post("/queues/mail/empty", json={"rate": 0, "delete": "yes", "all": True, "id": "x"})
    assert {fault["pointer"] for fault in wrong.json()["errors"]} == {"/rate", "/delete", "/all", "/id"}
    nothing = await site.http.post("/queues/mail/empty", json={"id": None})
    assert [fault["pointer"] for fault in nothing.json()["errors"]] == ["/id"]
