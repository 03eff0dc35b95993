"""The calls about schedules, over HTTP; nobody fires ticks here."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

import tickr
from tests.api.site import Site, open_site
from tests.ports import pop_ids
from tests.store.backends import SteppedClock
from tickr.api.schedule_request import MAX_BODY_BYTES
from tickr.errors import StoreUnavailable
from tickr.missed import due
from tickr.retry import Backoff
from tickr.store.memory import MemoryStore

CRON = {"cron": "30 2 * * *", "timezone": "Europe/Berlin", "job": {"type": "report"}}
EVERY = {"every": 60, "job": {"type": "report"}}


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def site(clock: SteppedClock) -> Any:
    async with open_site(store=MemoryStore(clock=clock)) as opened:
        yield opened


async def put(site: Site, name: str, body: dict[str, Any], /, status: int = 201, **headers: str) -> dict[str, Any]:
    answer = await site.http.put(f"/schedules/{name}", json=body, headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


async def ask(site: Site, method: str, path: str, status: int = 200, **headers: str) -> dict[str, Any]:
    answer = await site.http.request(method, f"/schedules{path}", headers=headers)
    assert answer.status_code == status, answer.text
    return dict(answer.json()) if answer.content else {}


def faults(problem: dict[str, Any]) -> dict[str, str]:
    return {fault["pointer"]: fault["detail"] for fault in problem["errors"]}


# -- put --------------------------------------------------------------------------------------------------------------


async def test_a_schedule_is_answered_as_it_is(site: Site) -> None:
    answer = await site.http.put("/schedules/nightly", json=CRON)
    assert (answer.status_code, answer.headers["location"], answer.headers["etag"]) == (
        201,
        "/schedules/nightly",
        '"v1"',
    )
    document = answer.json()
    assert list(document) == [
        *("name", "cron", "timezone", "every", "function", "start_at", "start", "end_at", "times", "job", "missed"),
        *("overlap", "paused", "version", "next_at", "next", "ended", "fault", "last_tick", "last_job", "fired"),
        *("skipped", "declared", "encrypted", "encryption_key", "created_at", "updated_at"),
    ]
    assert (document["name"], document["cron"], document["timezone"]) == ("nightly", "30 2 * * *", "Europe/Berlin")
    assert (document["missed"], document["overlap"], document["paused"], document["version"]) == (
        "once",
        "allow",
        False,
        1,
    )
    assert document["next"][:2] == ["2027-01-16T01:30:00.000000Z", "2027-01-17T01:30:00.000000Z"]
    assert len(document["next"]) == 10
    assert document["next_at"] == document["next"][0]
    assert document["skipped"] == {"missed": 0, "overlap": 0}
    assert (document["job"], document["every"], document["last_tick"]) == ({"type": "report"}, None, None)
    assert await ask(site, "GET", "/nightly") == document


async def test_an_interval_begins_now_or_at_its_start(site: Site) -> None:
    document = await put(site, "a", {"every": 1.5, "job": {"type": "t"}})
    assert (document["every"], document["cron"], document["timezone"]) == (1.5, None, None)
    assert document["next"][:2] == ["2027-01-15T08:00:01.500000Z", "2027-01-15T08:00:03.000000Z"]
    document = await put(site, "b", {"every": 86400, "start_at": "2027-02-01T09:00:00+01:00", "job": {"type": "t"}})
    assert (document["every"], document["start_at"]) == (86400, "2027-02-01T08:00:00.000000Z")
    assert document["next"][:2] == ["2027-02-01T08:00:00.000000Z", "2027-02-02T08:00:00.000000Z"]


async def test_more_or_fewer_ticks_are_shown(site: Site) -> None:
    await put(site, "a", EVERY)
    assert len((await ask(site, "GET", "/a?ticks=100"))["next"]) == 100
    assert len((await ask(site, "GET", "/a?ticks=1"))["next"]) == 1
    for wrong in ("0", "101", "x", "1&ticks=2"):
        assert "/ticks" in faults(await ask(site, "GET", f"/a?ticks={wrong}", 400))
    await put(site, "rare", {"cron": "0 0 29 2 *", "job": {"type": "t"}})
    assert len((await ask(site, "GET", "/rare?ticks=100"))["next"]) == 13  # 50 years of them


async def test_the_same_again_is_no_change_and_another_is(site: Site, clock: SteppedClock) -> None:
    first = await put(site, "a", EVERY)
    clock.advance(10)
    assert await put(site, "a", {"job": {"type": "report"}, "every": 60.0}, 200) == first
    again = await put(site, "a", EVERY | {"job": {"type": "report", "priority": 1}}, 200)
    assert (again["version"], again["next_at"], again["job"]) == (
        2,
        first["next_at"],
        {"type": "report", "priority": 1},
    )
    assert again["updated_at"] > again["created_at"]
    timed = await put(site, "a", EVERY | {"every": 90}, 200)
    assert (timed["version"], timed["next_at"]) == (3, "2027-01-15T08:01:40.000000Z")


async def test_blanks_make_no_other_schedule_and_numbers_stay_as_they_are(site: Site) -> None:
    headers = {"content-type": "application/json"}
    for body in (
        b'{"every":60,"job":{"type":"t","payload":{"price":1.10,"big":12345678901234567890123}}}',
        b'{ "every": 60, "job": { "type": "t", "payload": { "price": 1.10, "big": 12345678901234567890123 } } }',
    ):
        answer = await site.http.put("/schedules/a", content=body, headers=headers)
        assert b'"payload":{"price":1.10,"big":12345678901234567890123}' in answer.content
        assert answer.json()["version"] == 1


async def test_the_template_is_what_post_jobs_would_have_made_of_it(clock: SteppedClock) -> None:
    class Wishes:
        max_crashes, queue, priority, unique = 0, "other", None, tickr.Unique()
        keep = 3600.0
        timeout, max_attempts, backoff = 5.0, 7, Backoff("constant")

    async with open_site(store=MemoryStore(clock=clock), defaults=lambda _: Wishes()) as site:
        job = {"type": "t", "queue": "q", "priority": 2, "labels": {"a": "b"}, "timeout": 1.5, "payload": {"x": 1}}
        await put(site, "a", {"every": 60, "job": job})
        (made,) = [await run(site, "a")]
        stored = await site.store.get(made["id"])
        assert stored is not None
        assert (stored.queue, stored.priority, stored.labels, stored.payload) == ("q", 2, '{"a":"b"}', '{"x":1}')
        assert (stored.extras.max_crashes, stored.extras.unique, stored.extras.keep_us) == (0, None, 3_600_000_000)
        assert (stored.timeout_us, stored.max_attempts, stored.backoff) == (1_500_000, 7, Backoff("constant"))


JOB = {"type": "t"}
SECONDS = "must be a number of seconds from 1 to 10 years"
NEAREST = 'must be the IANA name of a time zone, like Europe/Berlin or UTC; did you mean "Europe/Berlin"?'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"/job": "is required", "/cron": "is required, or every"}),
        ({"job": JOB, "cron": "* * * *"}, {"/cron": "must have five fields"}),
        ({"job": JOB, "cron": "0 0 30 2 *"}, {"/cron": "never comes: no month 2 has a day 30"}),
        (
            {"job": JOB, "cron": "61 * * * *", "timezone": "Europe/Berln"},
            {"/timezone": NEAREST, "/cron": 'has the minute "61"'},
        ),
        ({"job": JOB, "cron": 5}, {"/cron": "must be a cron expression"}),
        ({"job": JOB, "every": 0.5}, {"/every": SECONDS}),
        ({"job": JOB, "every": 1e9}, {"/every": SECONDS}),
        ({"job": JOB, "every": True}, {"/every": "must be a number"}),
        (
            {"job": JOB, "every": 60, "cron": "* * * * *", "timezone": "UTC", "start_at": "2030-01-01T00:00:00Z"},
            {
                "/every": "cannot be given together with cron",
                "/timezone": "is for cron alone",
                "/start_at": "is for every alone",
            },
        ),
        (
            {"job": JOB, "every": 60, "start_at": "2040-01-01T00:00:00Z"},
            {"/start_at": "must not be more than 10 years ahead"},
        ),
        ({"job": JOB, "every": 60, "start_at": "2030-01-01"}, {"/start_at": "must be an instant"}),
        ({"job": JOB, "every": 60, "missed": "never"}, {"/missed": "must be skip, once or all"}),
        ({"job": JOB, "every": 60, "overlap": 1}, {"/overlap": "must be allow or skip"}),
        ({"job": JOB, "evry": 60}, {"/evry": 'is not known here; did you mean "every"?', "/cron": "is required"}),
        ({"job": 5, "every": 60}, {"/job": "must be an object with the fields of POST /jobs"}),
        ({"job": {}, "every": 60}, {"/job/type": "is required"}),
        (
            {"job": {"type": "a b", "priority": 12, "typ": 1, "backoff": {"base": -1}}, "every": 60},
            {
                "/job/type": "must be 1 to 128",
                "/job/priority": "must be",
                "/job/typ": "is not known",
                "/job/backoff/base": "must be",
            },
        ),
        (
            {"job": {"type": "t", "id": "x", "delay": 5, "run_at": 7}, "every": 60},
            {
                "/job/id": "cannot be given: each job",
                "/job/delay": "cannot be given: each",
                "/job/run_at": "cannot be given: each",
            },
        ),
        (
            {
                "job": {
                    "type": "report",
                    "expires_at": "2100-01-01T00:00:00Z",
                    "expires_in": 5,
                    "unique": {"key": "k"},
                    "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                    "tracestate": "a=b",
                },
                "every": 60,
            },
            {
                "/job/expires_at": "cannot be given: it is for one job alone",
                "/job/expires_in": "cannot be given: the jobs of a schedule do not expire",
                "/job/unique": "cannot be given: overlap says",
                "/job/traceparent": "cannot be given: no request",
                "/job/tracestate": "cannot be given: no request",
            },
        ),
    ],
)
async def test_everything_that_is_wrong_is_told(site: Site, body: dict[str, Any], expected: dict[str, str]) -> None:
    problem = await put(site, "a", body, 422)
    assert problem["code"] == "invalid_request"
    told = faults(problem)
    assert told.keys() == expected.keys()
    for pointer, detail in expected.items():
        assert told[pointer].startswith(detail), pointer
    assert (await ask(site, "GET", ""))["items"] == []


async def test_what_is_no_object_or_no_json_or_too_large_is_refused(site: Site) -> None:
    assert faults(await put(site, "a", [], 422)) == {"": "must be a JSON object"}  # type: ignore[arg-type]
    headers = {"content-type": "application/json"}
    assert (await site.http.put("/schedules/a", content=b"{", headers=headers)).json()["code"] == "invalid_json"
    twice = b'{"every":60,"job":{"type":"t","type":"u"}}'
    assert (await site.http.put("/schedules/a", content=twice, headers=headers)).json()["code"] == "duplicate_key"
    assert (await site.http.put("/schedules/a", content=b"{}")).status_code == 415
    large = EVERY | {"job": {"type": "t", "payload": "x" * MAX_BODY_BYTES}}
    assert (await put(site, "a", large, 413))["code"] == "body_too_large"
    assert (await ask(site, "PUT", "/a?x=1", 400))["code"] == "invalid_parameter"


@pytest.mark.parametrize("name", ["-a", "a%20b", "ä", "x" * 65, "a%0A", "%2e%2e"])
async def test_a_name_that_cannot_be_one_is_refused(site: Site, name: str) -> None:
    for method, path in (("PUT", ""), ("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/run")):
        problem = await ask(site, method, f"/{name}{path}", 400)
        assert (problem["code"], [*faults(problem)]) == ("invalid_name", ["/name"])


# -- look -------------------------------------------------------------------------------------------------------------


async def test_schedules_are_listed_by_name_page_by_page(site: Site) -> None:
    for n in range(5):
        await put(site, f"s{n}", EVERY)
    page = await ask(site, "GET", "")
    assert [one["name"] for one in page["items"]] == [f"s{n}" for n in range(5)]
    assert page["next_cursor"] is None
    assert "next" not in page["items"][0]
    names: list[str] = []
    cursor = ""
    while cursor is not None:
        page = await ask(site, "GET", f"?limit=2{cursor}")
        names += [one["name"] for one in page["items"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    assert names == [f"s{n}" for n in range(5)]
    for wrong in ("limit=0", "limit=201", "cursor=-", "cursor=a&cursor=b", "state=x"):
        assert (await ask(site, "GET", f"?{wrong}", 400))["code"] == "invalid_parameter"


async def test_a_page_of_large_schedules_ends_early(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickr.api.schedules.PAGE_BYTES", 2500)
    for n in range(5):
        await put(site, f"s{n}", {"every": 60, "job": {"type": "t", "payload": "x" * 1000}})
    page = await ask(site, "GET", "")
    assert ([one["name"] for one in page["items"]], page["next_cursor"]) == (["s0", "s1"], "s1")


# -- change -----------------------------------------------------------------------------------------------------------


async def test_pause_and_resume(site: Site, clock: SteppedClock) -> None:
    await put(site, "a", EVERY)
    paused = await ask(site, "POST", "/a/pause")
    assert (paused["paused"], paused["next_at"], paused["next"], paused["version"]) == (True, None, [], 2)
    assert await ask(site, "POST", "/a/pause") == paused
    clock.advance(150)
    resumed = await ask(site, "POST", "/a/resume")
    assert (resumed["paused"], resumed["next_at"], resumed["version"]) == (False, "2027-01-15T08:03:00.000000Z", 3)
    assert await ask(site, "POST", "/a/resume") == resumed
    assert (await put(site, "a", EVERY | {"missed": "all"}, 200))["paused"] is False


async def run(site: Site, name: str) -> dict[str, Any]:
    answer = await site.http.post(f"/schedules/{name}/run")
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/jobs/{answer.json()['id']}"
    return dict(answer.json())


async def test_a_run_makes_a_job_at_once(site: Site, clock: SteppedClock) -> None:
    before = await put(site, "a", EVERY)
    clock.advance(5)
    job = await run(site, "a")
    assert (job["type"], job["state"], job["schedule"]) == ("report", "ready", {"name": "a", "tick": None})
    assert (await site.http.get(f"/jobs/{job['id']}")).json()["schedule"] == {"name": "a", "tick": None}
    after = await ask(site, "GET", "/a")
    assert after == before | {"last_job": job["id"]}
    assert await pop_ids(site.context.index, ["default"], 10) == [job["id"]]
    refused = await site.http.post("/schedules/a/run", headers={"Idempotency-Key": "x"})
    assert (refused.status_code, refused.json()["code"]) == (400, "not_supported")


async def test_the_job_of_a_tick_says_which(site: Site, clock: SteppedClock) -> None:
    await put(site, "a", EVERY)
    clock.advance(60)
    schedule = await site.store.schedule("a")
    assert schedule is not None
    ids = iter(["0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"])
    await site.store.move_schedules([due(schedule, clock.now, lambda: next(ids))])
    document = await ask(site, "GET", "/a")
    assert (document["last_tick"], document["last_job"]) == (
        "2027-01-15T08:01:00.000000Z",
        "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c",
    )
    job = (await site.http.get(f"/jobs/{document['last_job']}")).json()
    assert job["schedule"] == {"name": "a", "tick": "2027-01-15T08:01:00.000000Z"}
    assert job["run_at"] == "2027-01-15T08:01:00.000000Z"
    other = await site.post(type="report")
    assert other.json()["schedule"] is None


async def test_what_is_deleted_is_gone(site: Site) -> None:
    await put(site, "a", EVERY)
    assert await ask(site, "DELETE", "/a", 204) == {}
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/run")):
        problem = await ask(site, method, f"/a{path}", 404)
        assert (problem["code"], problem["schedule"]) == ("schedule_not_found", "a")


async def test_changes_may_be_made_to_one_version_alone(site: Site) -> None:
    await put(site, "a", EVERY)
    stale = {"If-Match": '"v7"'}
    for method, path in (("DELETE", ""), ("POST", "/pause"), ("POST", "/resume")):
        assert (await ask(site, method, f"/a{path}", 412, **stale))["code"] == "version_mismatch"
    assert (await put(site, "a", EVERY | {"every": 5}, 412, **stale))["code"] == "version_mismatch"
    assert (await put(site, "b", EVERY, 404, **stale))["code"] == "schedule_not_found"
    assert (await put(site, "a", EVERY | {"every": 5}, 200, **{"If-Match": '"v1"'}))["version"] == 2
    new = {"If-None-Match": "*"}
    assert (await put(site, "a", EVERY, 412, **new))["code"] == "schedule_exists"
    assert (await put(site, "c", EVERY, 201, **new))["version"] == 1
    assert (await put(site, "c", EVERY, 400, **{"If-None-Match": '"v1"'}))["code"] == "invalid_precondition"


async def test_there_may_be_so_many(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tickr.store.memory_schedules.MAX_SCHEDULES", 1)
    await put(site, "a", EVERY)
    problem = await put(site, "b", EVERY, 409)
    assert (problem["code"], problem["schedule"]) == ("too_many_schedules", "b")


async def test_calls_without_a_body_take_none(site: Site) -> None:
    await put(site, "a", EVERY)
    answer = await site.send('{"x": 1}', "/schedules/a/pause")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")
    assert (await site.send("{}", "/schedules/a/pause")).status_code == 200


async def test_other_methods_are_told(site: Site) -> None:
    answer = await site.http.post("/schedules/a", json=EVERY)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET, HEAD, OPTIONS, PUT")


async def test_a_store_that_is_away_is_a_503(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(site.store, "move_schedules", away)
    answer: httpx2.Response = await site.http.put("/schedules/a", json=EVERY)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")


async def test_a_page_of_another_site_changes_nothing(site: Site) -> None:
    for method, path in (("PUT", "/a"), ("DELETE", "/a"), ("POST", "/a/run")):
        assert (await ask(site, method, path, 403, **{"Sec-Fetch-Site": "cross-site"}))["code"] == "cross_site"


async def test_a_zone_that_is_not_known_here_any_more_shows_the_tick_that_is_stored(site: Site) -> None:
    await put(site, "a", CRON)
    schedule = site.store._schedules["a"]
    alien = msgspec.structs.replace(schedule.timing, timezone="Mars/Olympus")
    site.store._schedules["a"] = msgspec.structs.replace(schedule, timing=alien)
    document = await ask(site, "GET", "/a")
    assert document["next"] == [document["next_at"]]
    await ask(site, "POST", "/a/pause")
    problem = await ask(site, "POST", "/a/resume", 422)
    assert [*faults(problem)] == ["/timezone"]
