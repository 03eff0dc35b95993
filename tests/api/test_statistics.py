"""``GET /statistics``: what was done, by step, of some queues and types; and marks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.test_jobs import Clock
from tests.store.backends import SECOND, end, new_id, new_job, put, put_running
from tests.store.test_contract_sums import add
from tickr.api import statistics, statistics_blocks
from tickr.api.statistics_query import MAX_NAMES, MAX_POINTS
from tickr.instants import rfc3339
from tickr.store.memory import MemoryStore
from tickr.tallies import COUNTED, Step

NOTHING = dict.fromkeys(COUNTED, 0)


async def asked(site: Site, query: str = "") -> dict[str, Any]:
    answer = await site.http.get(f"/statistics?{query}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def clocked() -> tuple[MemoryStore, Clock]:
    clock = Clock()
    return MemoryStore(clock=clock), clock


async def test_what_was_done_is_told_by_minute() -> None:
    store, clock = clocked()
    async with open_site(store=store) as site:
        first = Step.MINUTE.begin(clock.now)
        job = await put_running(store, "mail")
        clock.now += 3 * SECOND
        await end(store, job, "failed")
        clock.now = first + 60 * SECOND
        await put(store, new_job("report", delay_us=SECOND))
        await add(store)
        found = await asked(site)
        assert (found["step"], found["as_of"]) == ("minute", rfc3339(clock.now))
        assert found["until"] == rfc3339(first + 60 * SECOND)
        assert found["since"] == rfc3339(first - 59 * 60 * SECOND)
        (series,) = found["series"]
        assert (series["queue"], series["type"], series["other"]) == (None, None, False)
        (point,) = series["points"]
        run = point.pop("run")
        wait = point.pop("wait")
        assert point == {"at": rfc3339(first), **NOTHING, "created": 1, "started": 1, "failed": 1}
        assert (run["count"], run["mean"], wait["count"], wait["mean"]) == (1, 3.0, 1, 0.0)
        assert all(2.5 <= run[name] < 3.2 for name in ("p50", "p95", "p99"))
        clock.now += SECOND
        (series,) = (await asked(site))["series"]
        assert [point["created"] for point in series["points"]] == [1, 1]
        assert series["points"][1]["run"] is None
        assert (series["total"]["created"], series["total"]["run"]["count"]) == (2, 1)
        (series,) = (await asked(site, "step=day"))["series"]
        assert series["points"] == [{"at": rfc3339(Step.DAY.begin(clock.now)), **series["total"]}]


async def test_totals_alone_are_those_of_the_points_that_are_left_out() -> None:
    store, clock = clocked()
    async with open_site(store=store) as site:
        for type_ in ("a", "b", "b"):
            await end(store, await put_running(store, type_), "succeeded")
            clock.now += 60 * SECOND
        await add(store)
        for query in ("", "by=type"):
            whole, totals = await asked(site, query), await asked(site, f"{query}&points=false")
            assert all(one["points"] for one in whole["series"])
            assert totals["series"] == [{**one, "points": []} for one in whole["series"]]
            assert await asked(site, f"{query}&points=true") == whole


async def test_what_is_not_in_the_sums_yet_is_said(site: Site) -> None:
    before = site.store.now_us()
    assert (await asked(site))["as_of"] >= rfc3339(before)
    await put(site.store, new_job())
    found = await asked(site)
    assert found["as_of"] < rfc3339(before)
    assert found["series"][0]["points"] == []
    assert found["series"][0]["total"] == {**NOTHING, "wait": None, "run": None}


async def test_some_queues_and_types_by_one_of_them(site: Site) -> None:
    for queue in ("a", "b", "b", "c", "c", "c"):
        await put(site.store, new_job("x", queue=queue), new_job("y", queue=queue))
    await add(site.store)

    async def by(query: str) -> list[tuple[str | None, str | None, int]]:
        found = (await asked(site, query))["series"]
        return [(one["queue"], one["type"], one["total"]["created"]) for one in found]

    assert await by("") == [(None, None, 12)]
    assert await by("by=queue") == [("c", None, 6), ("b", None, 4), ("a", None, 2)]
    assert await by("by=type") == [(None, "x", 6), (None, "y", 6)]
    assert await by("queue=a&queue=b&type=x") == [(None, None, 3)]
    assert await by("by=type&queue=a") == [(None, "x", 1), (None, "y", 1)]
    assert await by("by=queue&queue=none") == [(None, None, 0)]


async def test_the_rest_is_one_series(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_SERIES", 2)
    monkeypatch.setattr(statistics_blocks, "PAGE", 2)
    for number in range(5):
        await put(site.store, *(new_job(f"t{number}") for _ in range(number + 1)))
    await add(site.store)
    found = (await asked(site, "by=type&step=hour"))["series"]
    told = [(one["type"], one["other"], one["total"]["created"]) for one in found]
    assert told == [("t4", False, 5), ("t3", False, 4), (None, True, 6)]


async def test_a_span_is_of_whole_steps(site: Site) -> None:
    found = await asked(site, "step=hour&since=2030-01-31T12:59:59Z&until=2030-01-31T14:00:00.5%2B01:00")
    assert (found["since"], found["until"]) == ("2030-01-31T12:00:00.000000Z", "2030-01-31T14:00:00.000000Z")
    found = await asked(site, "step=day&until=2030-01-31T00:00:00Z")
    assert (found["since"], found["until"]) == ("2029-12-02T00:00:00.000000Z", "2030-01-31T00:00:00.000000Z")


@pytest.mark.parametrize(
    ("query", "status", "pointer"),
    [
        ("step=week", 400, "/step"),
        ("step=day&step=hour", 400, "/step"),
        ("by=state", 400, "/by"),
        ("since=yesterday", 400, "/since"),
        ("until=2030-01-31T12:00:00", 400, "/until"),
        ("queue=a%20b", 400, "/queue"),
        ("type=", 400, "/type"),
        ("&".join(f"type=t{n}" for n in range(MAX_NAMES + 1)), 400, "/type"),
        ("page=2", 400, "/page"),
        ("since=2030-01-31T12:00:00Z&until=2030-01-31T12:00:00Z", 400, "/until"),
        ("since=2030-01-31T12:00:00Z&until=2020-01-31T12:00:00Z", 400, "/until"),
        ("since=2030-01-01T00:00:00Z&until=2030-01-02T01:01:00Z", 422, "/since"),
    ],
)
async def test_what_cannot_be_asked_is_refused(site: Site, query: str, status: int, pointer: str) -> None:
    answer = await site.http.get(f"/statistics?{query}")
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (status, [pointer])


async def test_the_longest_span_is_answered(site: Site) -> None:
    assert MAX_POINTS == 1500
    assert await asked(site, "since=2030-01-01T00:00:00Z&until=2030-01-02T01:00:00Z")


@pytest.mark.parametrize("step", Step)
async def test_the_end_of_time_can_be_told(site: Site, step: Step) -> None:
    for until in "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-12:00":
        found = await asked(site, f"step={step}&until={until}")
        assert found["until"].startswith("9999-12-31")


# -- marks ------------------------------------------------------------------------------------------------------------


async def test_a_mark_is_made_shown_and_deleted() -> None:
    store, clock = clocked()
    async with open_site(store=store) as site:
        made = await site.post("/marks", text="v1.2.3 ✓")
        mark = made.json()
        assert (made.status_code, made.headers["location"]) == (201, f"/marks/{mark['id']}")
        assert (mark["text"], mark["at"]) == ("v1.2.3 ✓", rfc3339(clock.now))
        old = (await site.post("/marks", text="old", at="2020-01-31T12:00:00+01:00", id=new_id().upper())).json()
        assert old["at"] == "2020-01-31T11:00:00.000000Z"
        assert (await site.http.get("/marks")).json() == {"items": [old, mark]}
        assert (await site.http.get("/marks?since=2021-01-01T00:00:00Z")).json() == {"items": [mark]}
        assert (await site.http.get("/marks?until=2021-01-01T00:00:00Z")).json() == {"items": [old]}
        assert (await asked(site))["marks"] == [] or clock.now % (60 * SECOND)
        clock.now += SECOND
        assert (await asked(site))["marks"] == [mark]
        assert (await site.http.delete(f"/marks/{mark['id'].upper()}")).status_code == 204
        gone = await site.http.delete(f"/marks/{mark['id']}")
        assert (gone.status_code, gone.json()["code"], gone.json()["mark"]) == (404, "mark_not_found", mark["id"])
        assert (await site.http.get("/marks")).json() == {"items": [old]}


async def test_a_mark_with_an_id_is_made_once(site: Site) -> None:
    name = new_id()
    first = await site.post("/marks", text="v1", id=name)
    again = await site.post("/marks", text="v1", id=name)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert len((await site.http.get("/marks")).json()["items"]) == 1


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/text"]),
        ({"text": ""}, ["/text"]),
        ({"text": "   "}, ["/text"]),
        ({"text": "two\nlines"}, ["/text"]),
        ({"text": "x" * 201}, ["/text"]),
        ({"text": "v1", "at": "noon"}, ["/at"]),
        ({"text": "v1", "id": "7", "colour": "red"}, ["/id", "/colour"]),
    ],
)
async def test_a_mark_that_is_none_is_refused(site: Site, body: dict[str, Any], pointers: list[str]) -> None:
    answer = await site.post("/marks", **body)
    assert (answer.status_code, [one["pointer"] for one in answer.json()["errors"]]) == (422, pointers)
    assert (await site.http.get("/marks")).json() == {"items": []}


async def test_a_mark_beyond_the_last_year_is_at_its_end(site: Site) -> None:
    mark = await site.post("/marks", text="far", at="9999-12-31T23:59:59-12:00")
    assert (mark.status_code, mark.json()["at"]) == (201, "9999-12-31T23:59:59.999999Z")
    assert (await site.http.get("/marks")).json() == {"items": [mark.json()]}


@pytest.mark.parametrize("call", ["GET /marks?since=noon", "GET /marks?limit=3", "DELETE /marks/7"])
async def test_a_faulty_call_is_refused(site: Site, call: str) -> None:
    method, _, path = call.partition(" ")
    assert (await site.http.request(method, path)).status_code == 400
