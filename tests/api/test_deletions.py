"""``DELETE /jobs/<id>``: what has ended is gone for good, what waits where that is asked for; nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.store.backends import new_id, put_final, put_one, put_running
from tickr.jobs import FINAL, State


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_what_has_ended_is_gone(site: Site, state: State) -> None:
    job = await put_final(site.store, state)
    answer = await site.http.delete(f"/jobs/{job.id}", headers={"If-Match": f'"v{job.version}"'})
    assert (answer.status_code, answer.content) == (204, b"")
    gone = [await site.http.get(f"/jobs/{job.id}"), await site.http.get(f"/jobs/{job.id}/attempts")]
    gone.append(await site.http.delete(f"/jobs/{job.id}"))
    assert [(one.status_code, one.json()["code"]) for one in gone] == [(404, "job_not_found")] * 3
    (event,) = (await site.http.get("/events", params={"after": "earliest", "event": "deleted"})).json()["events"]
    assert (event["subject"], event["data"]["job"]["state"]) == (job.id, state.value)


async def test_what_waits_only_where_that_is_asked_for(site: Site) -> None:
    made = (await site.post(type="mail", delay=60)).json()
    assert (await site.context.index.sizes()).waiting == 1
    for query in ("", "?cancel=false"):
        refused = await site.http.delete(f"/jobs/{made['id']}{query}")
        assert (refused.status_code, refused.json()["code"]) == (409, "not_deletable")
    assert (await site.http.delete(f"/jobs/{made['id']}?cancel=true")).status_code == 204
    assert (await site.context.index.sizes()).waiting == 0, "the index forgets it"


async def test_what_runs_is_refused_and_says_what_to_do(site: Site) -> None:
    job = await put_running(site.store)
    refused = await site.http.delete(f"/jobs/{job.id}?cancel=true")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_deletable")
    assert "Cancel it" in refused.json()["detail"]
    assert await site.store.get(job.id) == job


@pytest.mark.parametrize(
    ("query", "how", "status"),
    [
        ("?cancel=yes", {}, 400),
        ("?force=true", {}, 400),
        ("", {"headers": {"If-Match": '"v9"'}}, 412),
    ],
)
async def test_what_is_asked_wrongly(site: Site, query: str, how: dict[str, Any], status: int) -> None:
    job = await put_one(site.store)
    assert (await site.http.delete(f"/jobs/{job.id}{query}", **how)).status_code == status
    assert (await site.http.delete(f"/jobs/{new_id()}")).status_code == 404
    assert await site.store.get(job.id) == job


async def test_an_operation_deletes_what_has_ended(site: Site) -> None:
    job = await put_final(site.store, State.FAILED)
    await put_one(site.store)
    look = (await site.post("/operations", action="delete", dry_run=True)).json()
    assert (look["total"], look["examples"][0]["id"]) == (1, job.id)
    refused = await site.post("/operations", action="delete", filter={"state": "running"})
    assert [fault["pointer"] for fault in refused.json()["errors"]] == ["/filter/state"]
    unsure = await site.post("/operations", action="delete")
    assert [fault["pointer"] for fault in unsure.json()["errors"]] == ["/all"]
    assert (await site.post("/operations", action="delete", all=True, reason="gone")).status_code == 202
