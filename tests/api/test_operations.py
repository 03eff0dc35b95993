"""``POST /operations`` and what comes of it, ``GET /dead-letters``, and retries with changes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api.site import Site
from tests.store.backends import new_id, put_final, put_one, put_running
from tickr.jobs import Job, State

RETRY = {"action": "retry"}


async def failed(site: Site, count: int = 1, **fields: Any) -> list[Job]:
    return [await put_final(site.store, State.FAILED, **fields) for _ in range(count)]


async def refused(site: Site, **body: Any) -> dict[str, str]:
    """Return what is wrong with each field."""
    answer = await site.post("/operations", **body)
    assert answer.status_code == 422, answer.text
    return {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}


async def test_a_dry_run_counts_and_changes_nothing(site: Site) -> None:
    jobs = await failed(site, 7, type="a") + await failed(site, type="b")
    answer = await site.post("/operations", action="retry", dry_run=True)
    told = answer.json()
    assert (answer.status_code, told["total"], told["exact"], told["action"]) == (200, 8, True, "retry")
    assert [(one["type"], one["error"], one["count"]) for one in told["groups"]] == [
        ("a", "exception", 7),
        ("b", "exception", 1),
    ]
    assert len(told["examples"]) == 5
    assert told["groups"][1]["example"] == jobs[-1].id
    assert (await site.http.get("/operations")).json() == {"items": [], "next_cursor": None}
    assert {job.state for job in await site.rows()} == {State.FAILED}


async def test_an_operation_is_begun_shown_listed_and_stopped(site: Site) -> None:
    await failed(site, 3, type="a")
    wish = {"type": "a", "created_before": "2999-01-01T00:00:00Z", "label": []}
    assert await refused(site, action="retry", filter=wish) != {}
    del wish["label"]
    answer = await site.post("/operations", action="retry", filter=wish, rate=2, changes={"queue": "q", "timeout": 1.5})
    told = answer.json()
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/operations/{told['id']}"
    assert told["filter"] == {"state": ["failed"], "type": ["a"], "created_before": "2999-01-01T00:00:00.000000Z"}
    assert told["changes"] == {"queue": "q", "timeout": 1.5}
    assert [told[name] for name in ("action", "state", "rate", "total", "exact", "done", "skipped")] == [
        *("retry", "running", 2.0, 3, True, 0, 0)
    ]
    assert (await site.http.get(f"/operations/{told['id']}")).json() == told
    assert (await site.http.get("/operations")).json()["items"] == [told]
    stopped = await site.http.delete(f"/operations/{told['id']}")
    assert (stopped.status_code, stopped.json()["state"]) == (200, "stopped")
    assert (await site.http.delete(f"/operations/{told['id']}")).json() == stopped.json()


async def test_one_that_is_not_there(site: Site) -> None:
    for method in ("GET", "DELETE"):
        answer = await site.http.request(method, f"/operations/{new_id()}")
        assert (answer.status_code, answer.json()["code"]) == (404, "operation_not_found")
        answer = await site.http.request(method, "/operations/one")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_id")


async def test_the_same_id_once_more_is_the_same_operation(site: Site) -> None:
    body = {"action": "cancel", "filter": {"queue": ["a", "b"]}, "id": new_id(), "reason": "no more"}
    first, again = await site.post("/operations", **body), await site.post("/operations", **body)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    other = await site.post("/operations", **(body | {"filter": {"queue": "c"}}))
    assert (other.status_code, other.json()["code"]) == (409, "duplicate_operation")


async def test_pages_of_operations(site: Site) -> None:
    ids = [(await site.post("/operations", action="cancel", all=True)).json()["id"] for _ in range(5)]
    page = (await site.http.get("/operations", params={"limit": 3})).json()
    assert [one["id"] for one in page["items"]] == ids[:1:-1]
    rest = (await site.http.get("/operations", params={"limit": 3, "cursor": page["next_cursor"]})).json()
    assert ([one["id"] for one in rest["items"]], rest["next_cursor"]) == (ids[1::-1], None)
    for query in ({"limit": "0"}, {"cursor": "x"}, {"other": "1"}):
        assert (await site.http.get("/operations", params=query)).status_code == 400


async def test_everything_has_to_be_said(site: Site) -> None:
    for action in ("retry", "cancel"):
        for which in ({}, {"filter": {}}):
            assert list(await refused(site, action=action, **which)) == ["/all"]
        assert (await site.post("/operations", action=action, filter={}, all=True)).status_code == 202


async def test_what_is_wrong_is_told_at_once(site: Site) -> None:
    assert list(await refused(site)) == ["/action"]
    assert list(await refused(site, action="burn", rate=0, dry_run=1, hurry=True)) == [
        *("/action", "/rate", "/dry_run", "/hurry")
    ]
    bad = {"state": "ready", "queue": "a b", "error": "E!", "created_after": "yesterday", "ids": ["x"], "since": 1}
    told = await refused(site, action="retry", filter=bad)
    assert set(told) == {*(f"/filter/{name}" for name in bad if name not in ("state", "ids")), "/filter/ids/0"}
    told = await refused(
        site, action="retry", filter={"state": "ready", "label": "=x"}, changes={"queue": ""}, reason="r"
    )
    assert set(told) == {"/filter/state", "/filter/label", "/changes/queue", "/reason"}
    assert list(await refused(site, action="cancel", filter={"state": ["failed"]})) == ["/filter/state"]
    assert list(await refused(site, action="cancel", all=True, changes={"queue": "q"})) == ["/changes"]
    assert list(await refused(site, action="retry", filter={"ids": [new_id()] * 1001})) == ["/filter/ids"]
    assert list(await refused(site, action="retry", all=True, rate=5001)) == ["/rate"]


async def test_jobs_may_be_named(site: Site) -> None:
    some, (other,) = await failed(site, 3), await failed(site)
    waiting = await put_one(site.store)
    which = {"ids": [job.id.upper() for job in (*some, waiting)] + [new_id()]}
    told = (await site.post("/operations", action="retry", filter=which, dry_run=True)).json()
    assert (told["total"], told["exact"]) == (3, True)
    assert {job["id"] for job in told["examples"]} == {job.id for job in some}
    assert other.id not in str(told)
    begun = (await site.post("/operations", action="retry", filter=which)).json()
    assert begun["filter"]["ids"] == sorted(one.lower() for one in which["ids"])
    (listed,) = (await site.http.get("/operations")).json()["items"]
    assert "ids" not in listed["filter"]


async def test_dead_letters_at_a_glance(site: Site) -> None:
    await failed(site, 2, type="a", queue="q")
    await failed(site, type="b")
    await put_final(site.store, State.CANCELLED)
    told = (await site.http.get("/dead-letters")).json()
    assert (told["total"], told["exact"], [one["count"] for one in told["groups"]]) == (3, True, [2, 1])
    assert set(told["groups"][0]) == {"state", "type", "error", "count", "oldest_at", "newest_at", "example"}
    for query, total in (
        ({"queue": "q"}, 2),
        ({"error": "timeout"}, 0),
        ({"finished_after": "2999-01-01T00:00:00Z"}, 0),
    ):
        assert (await site.http.get("/dead-letters", params=query)).json()["total"] == total
    for query in ({"state": "failed"}, {"limit": "1"}, {"error": "A B"}, {"created_after": "1"}):
        assert (await site.http.get("/dead-letters", params=query)).status_code == 400


async def test_jobs_are_listed_by_error_and_time(site: Site) -> None:
    (job,) = await failed(site)
    await put_one(site.store)
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    for query, ids in (
        ({"error": "exception"}, [job.id]),
        ({"error": ["timeout", "crashed"]}, []),
        ({"finished_before": now}, [job.id]),
        ({"finished_after": now}, []),
    ):
        found = (await site.http.get("/jobs", params=query)).json()["items"]
        assert [one["id"] for one in found] == ids, query


# -- edit and retry ---------------------------------------------------------------------------------------------------


async def test_a_job_is_retried_with_changes(site: Site) -> None:
    (job,) = await failed(site, payload='{"to":"nobody"}')
    body = {
        "payload": {"to": 1.10},
        "queue": "q",
        "priority": 0,
        "max_attempts": 7,
        "timeout": 2.5,
        "labels": {},
        "backoff": "constant",
        "delay": 60,
        "limit_key": "k",
    }
    told = (await site.http.post(f"/jobs/{job.id}/retry", json=body)).json()
    assert [told[name] for name in ("payload", "queue", "priority", "max_attempts", "state", "limit_key")] == [
        *({"to": 1.1}, "q", 0, 7, "scheduled", "k")
    ]
    found = await site.store.get(job.id)
    assert found is not None
    assert (found.payload, found.timeout_us, found.backoff.kind) == ('{"to":1.1}', 2_500_000, "constant")
    changed = ["payload", "queue", "priority", "max_attempts", "timeout", "backoff", "limit_key", "run_at"]
    assert list(found.extras.redrives[-1].changed) == changed
    events = (await site.http.get("/events", params={"after": "earliest", "event": "redriven"})).json()["events"]
    assert [event["data"]["changed"] for event in events] == [changed]


@pytest.mark.parametrize("body", [None, {}])
async def test_a_retry_without_changes_is_as_ever(site: Site, body: Any) -> None:
    (job,) = await failed(site)
    answer = (
        await site.http.post(f"/jobs/{job.id}/retry", json=body)
        if body is not None
        else await site.http.post(f"/jobs/{job.id}/retry")
    )
    assert (answer.status_code, answer.json()["state"], answer.json()["payload"]) == (200, "ready", {})
    (event,) = (await site.http.get("/events", params={"after": "earliest", "event": "redriven"})).json()["events"]
    assert "changed" not in event["data"]


async def test_changes_are_checked_as_a_submission_is(site: Site) -> None:
    (job,) = await failed(site)
    bad = {"priority": 10, "queue": "a b", "delay": 1, "run_at": "2030-01-01T00:00:00Z", "type": "x", "timeout": 0}
    answer = await site.http.post(f"/jobs/{job.id}/retry", json=bad)
    assert answer.status_code == 422
    pointers = [fault["pointer"] for fault in answer.json()["errors"]]
    assert pointers == ["/priority", "/queue", "/type", "/timeout", "/run_at"]
    assert await site.store.get(job.id) == job
    running = await put_running(site.store)
    answer = await site.http.post(f"/jobs/{running.id}/retry", json={"queue": "q"})
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")


async def test_the_history_tells_the_lives_apart(site: Site) -> None:
    (job,) = await failed(site)
    history = (await site.http.get(f"/jobs/{job.id}/attempts")).json()
    assert ([one["life"] for one in history["items"]], history["redrives"]) == ([1], [])
    await site.http.post(f"/jobs/{job.id}/retry", json={"payload": {"a": 1}})
    await site.store.claim([job.id], node="n1", types={"mail"})
    history = (await site.http.get(f"/jobs/{job.id}/attempts")).json()
    assert [(one["life"], one["number"], one["outcome"]) for one in history["items"]] == [
        (1, 1, "failed"),
        (2, 1, "running"),
    ]
    (redrive,) = history["redrives"]
    assert (redrive["life"], redrive["changed"], redrive["operation"]) == (2, ["payload"], None)


async def test_of_many_lives_the_last_are_told(site: Site) -> None:
    (job,) = await failed(site)
    for _ in range(25):
        await site.http.post(f"/jobs/{job.id}/retry")
        await site.http.post(f"/jobs/{job.id}/cancel")
    history = (await site.http.get(f"/jobs/{job.id}/attempts")).json()
    assert [one["life"] for one in history["redrives"]] == list(range(7, 27))
