"""Jobs by where they come from, over HTTP: lists, counts and operations; what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.api.test_jobs import UNKNOWN, create, start
from tests.store.backends import new_job, put
from tests.store.linked import child_of
from tickr.api.listing import SCHEDULE_RULE
from tickr.api.submission import RULES
from tickr.jobs import Extras


async def listed(site: Site, query: str) -> list[str]:
    answer = await site.http.get(f"/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


async def operated(site: Site, **which: Any) -> dict[str, Any]:
    answer = await site.http.post("/operations", json={"action": "cancel", "filter": which, "dry_run": True})
    return dict(answer.json())


async def test_of_a_schedule(site: Site) -> None:
    nightly, hourly, _ = await put(
        site.store, *(new_job(extras=Extras(schedule=one)) for one in ("night:ly.1", "h", None))
    )
    assert await listed(site, "schedule=night:ly.1") == [nightly.id]
    assert set(await listed(site, "schedule=night:ly.1&schedule=h")) == {nightly.id, hourly.id}
    assert (await operated(site, schedule=["night:ly.1", "none"]))["total"] == 1
    begun = await site.http.post("/operations", json={"action": "cancel", "filter": {"schedule": "h"}})
    assert begun.json()["filter"]["schedule"] == ["h"]


async def test_of_a_parent(site: Site) -> None:
    (parent,) = await start(site, await create(site))
    first, second = await site.store.spawn(parent, [child_of(parent), child_of(parent, queue="q2")])
    assert set(await listed(site, f"parent={parent.id.upper()}")) == {first.id, second.id}
    assert await listed(site, f"parent={parent.id}&queue=q2") == [second.id]
    assert await listed(site, f"parent={UNKNOWN}") == []
    assert (await operated(site, parent=parent.id))["total"] == 2
    begun = await site.http.post("/operations", json={"action": "cancel", "filter": {"parent": parent.id}})
    assert (begun.json()["filter"]["parent"], begun.json()["total"]) == (parent.id, 2)


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("schedule=a/b", "/schedule", SCHEDULE_RULE),
        ("schedule=", "/schedule", SCHEDULE_RULE),
        ("parent=x", "/parent", f"{RULES['id']}, once"),
        (f"parent={UNKNOWN}&parent={UNKNOWN}", "/parent", f"{RULES['id']}, once"),
    ],
)
async def test_what_is_no_origin_is_refused(site: Site, query: str, pointer: str, detail: str) -> None:
    answer = await site.http.get(f"/jobs?{query}")
    assert (answer.status_code, answer.json()["errors"]) == (400, [{"pointer": pointer, "detail": detail}])


async def test_nor_is_it_taken_in_an_operation(site: Site) -> None:
    told = await operated(site, schedule=["a/b"], parent="x")
    assert {fault["pointer"] for fault in told["errors"]} == {"/filter/schedule", "/filter/parent"}
