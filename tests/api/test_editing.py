"""``PATCH /jobs/<id>``: what waits is changed, what runs has another time-out; and operations that do so to many."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.store.backends import new_id, put_final, put_one, put_running
from tickr.jobs import FINAL, State

CHANGED = {"after": "earliest", "event": "changed"}


async def changes(site: Site) -> list[list[str]]:
    """Return what the feed says was changed, event by event."""
    events = (await site.http.get("/events", params=CHANGED)).json()["events"]
    return [event["data"]["changed"] for event in events]


async def test_what_waits_is_changed(site: Site) -> None:
    made = (await site.post(type="mail", delay=3600, payload={"to": "nobody"}, expires_in=7200)).json()
    body = {
        "payload": {"to": 1.10},
        "queue": "q",
        "priority": 0,
        "max_attempts": 7,
        "timeout": 2.5,
        "backoff": "constant",
        "labels": {"a": "b"},
        "limit_key": "k",
        "delay": 60,
        "expires_at": None,
    }
    answer = await site.http.patch(f"/jobs/{made['id']}", json=body)
    told = answer.json()
    assert (answer.status_code, answer.headers["etag"]) == (200, '"v2"')
    names = ("payload", "queue", "priority", "max_attempts", "labels", "limit_key", "state", "expires_at", "version")
    assert [told[name] for name in names] == [{"to": 1.1}, "q", 0, 7, {"a": "b"}, "k", "scheduled", None, 2]
    shown = (await site.http.get(f"/jobs/{made['id']}")).json()
    assert told == shown | {"notice": None}
    fields = ["payload", "queue", "priority", "max_attempts", "timeout", "backoff", "labels", "limit_key", "run_at"]
    assert await changes(site) == [[*fields, "expires_at"]]


async def test_it_runs_now(site: Site) -> None:
    made = (await site.post(type="mail", delay=3600)).json()
    told = (await site.http.patch(f"/jobs/{made['id']}", json={"delay": 0})).json()
    assert (told["state"], await changes(site)) == ("ready", [["run_at"]])
    assert (await site.context.index.sizes()).ready == 1


async def test_nothing_different_is_no_change(site: Site) -> None:
    made = (await site.post(type="mail", priority=3)).json()
    told = (await site.http.patch(f"/jobs/{made['id']}", json={"priority": 3, "delay": 0})).json()
    assert (told, await changes(site)) == (made, [])


async def test_of_what_runs_the_timeout_alone(site: Site) -> None:
    job = await put_running(site.store)
    assert (await site.http.patch(f"/jobs/{job.id}", json={"timeout": 90})).json()["version"] == 3
    refused = await site.http.patch(f"/jobs/{job.id}", json={"timeout": 90, "priority": 1})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_editable")
    assert "only its timeout" in refused.json()["detail"]
    assert await changes(site) == [["timeout"]]


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_what_has_ended_is_to_be_retried_instead(site: Site, state: State) -> None:
    job = await put_final(site.store, state)
    refused = await site.http.patch(f"/jobs/{job.id}", json={"priority": 1})
    assert (refused.status_code, refused.json()["code"], refused.json()["job_id"]) == (409, "not_editable", job.id)
    assert "retry it" in refused.json()["detail"]


async def test_none_that_moved_on_meanwhile_or_is_not_there(site: Site) -> None:
    job = await put_one(site.store)
    moved = await site.http.patch(f"/jobs/{job.id}", json={"priority": 1}, headers={"If-Match": '"v7"'})
    absent = await site.http.patch(f"/jobs/{new_id()}", json={"priority": 1})
    assert [one.status_code for one in (moved, absent)] == [412, 404]


async def test_changes_are_checked(site: Site) -> None:
    job = await put_one(site.store)
    bad = {"priority": 10, "type": "x", "timeout": 0, "delay": 9, "expires_in": 3, "labels": None}
    answer = await site.http.patch(f"/jobs/{job.id}", json=bad)
    assert answer.status_code == 422
    pointers = {fault["pointer"] for fault in answer.json()["errors"]}
    assert pointers == {"/priority", "/type", "/timeout", "/expires_in", "/labels"}
    for nothing in ({}, None):
        empty = await site.http.patch(f"/jobs/{job.id}", json=nothing)
        assert (empty.status_code, empty.json()["errors"][0]["pointer"]) == (422, "")
    assert (
        await site.http.patch(f"/jobs/{job.id}", content=b"[1]", headers={"content-type": "text/x"})
    ).status_code == 415
    assert await site.store.get(job.id) == job


async def test_none_is_to_expire_before_it_is_due(site: Site) -> None:
    made = (await site.post(type="mail", expires_in=60)).json()
    refused = await site.http.patch(f"/jobs/{made['id']}", json={"delay": 90})
    assert (refused.status_code, refused.json()["code"]) == (409, "not_editable")
    fine = await site.http.patch(f"/jobs/{made['id']}", json={"delay": 90, "expires_in": 100})
    assert fine.status_code == 200


# -- many -------------------------------------------------------------------------------------------------------------


async def test_an_operation_edits_what_waits(site: Site) -> None:
    waiting, _ = await put_one(site.store), await put_running(site.store)
    body = {"action": "edit", "filter": {"type": "mail"}, "changes": {"queue": "night", "expires_at": None}}
    look = (await site.post("/operations", **body, dry_run=True)).json()
    assert (look["total"], [one["id"] for one in look["examples"]]) == (1, [waiting.id])
    undecided = {"action": "edit", "filter": {"type": "mail"}, "dry_run": True}
    assert (await site.post("/operations", **undecided)).json()["total"] == 1
    begun = await site.post("/operations", **body)
    assert begun.status_code == 202
    assert begun.json()["changes"] == {"queue": "night", "expires_at": None}
    assert begun.json()["filter"]["state"] == ["scheduled", "ready", "blocked", "retrying"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"changes": {"priority": 1}, "filter": {"state": "failed"}}, "/filter/state"),
        ({"changes": {"priority": 10}}, "/changes/priority"),
        ({}, "/changes"),
        ({"changes": {}}, "/changes"),
        ({"changes": {"priority": 1}, "reason": "x"}, "/reason"),
        ({"changes": {"priority": 1}, "all": False}, "/all"),
    ],
)
async def test_what_is_wrong_with_one_is_told(site: Site, body: dict[str, Any], pointer: str) -> None:
    answer = await site.post("/operations", **{"action": "edit", "all": True, **body})
    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]
