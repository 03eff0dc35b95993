"""``expires_at`` and ``expires_in`` of a submission: what is taken, what is refused, and how the job shows it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.test_jobs import Clock
from tickr.api.submission import LATER_THAN_DUE
from tickr.store.memory import MemoryStore

NOW = 1_900_000_000_000_000
SECOND = 1_000_000


def instant(seconds: float) -> str:
    """Return the instant so many seconds after ``NOW``."""
    return (datetime.fromtimestamp(NOW / SECOND, UTC) + timedelta(seconds=seconds)).isoformat()


def site_at_now() -> Any:
    return open_site(store=MemoryStore(clock=Clock()))


async def test_an_instant_or_a_span_and_the_document_has_the_instant(site: Site) -> None:
    at = await site.post(type="a", expires_at="2100-01-01T02:30:00.5+02:30")
    assert (at.status_code, at.json()["expires_at"]) == (201, "2100-01-01T00:00:00.500000Z")
    assert (await site.http.get(at.headers["location"])).json()["expires_at"] == "2100-01-01T00:00:00.500000Z"
    span = await site.post(type="a", expires_in=90.25)
    never = await site.post(type="a")
    assert never.json()["expires_at"] is None
    (_, job, _) = await site.rows()
    assert job.extras.expires_at == job.created_at + 90_250_000
    assert (await site.http.get(span.headers["location"])).json()["expires_at"] == span.json()["expires_at"]
    listed = (await site.http.get("/jobs")).json()["items"]
    assert [one["expires_at"] for one in listed] == [
        never.json()["expires_at"],
        *[span.json()["expires_at"]],
        *[at.json()["expires_at"]],
    ]


GOOD: list[dict[str, Any]] = [
    {"expires_at": instant(0.000001)},
    {"expires_in": 0.000001},
    {"expires_in": 1e-9},
    {"expires_in": 5, "delay": 4.999999},
    {"expires_at": instant(5), "delay": 4.999999},
    {"expires_at": instant(5), "run_at": instant(4.999999)},
    {"expires_in": 5, "run_at": instant(4.999999)},
    {"expires_in": 5, "run_at": instant(-1000)},
    {"expires_in": 3_153_600_000},
    {"expires_at": instant(3_153_600_000)},
]


@pytest.mark.parametrize("body", GOOD)
async def test_anything_later_than_the_job_is_due_will_do(body: dict[str, Any]) -> None:
    async with site_at_now() as site:
        answer = await site.post(type="a", **body)
        assert answer.status_code == 201, answer.text
        (job,) = await site.rows()
        assert job.extras.expires_at is not None
        assert job.extras.expires_at > max(job.run_at, NOW)


INSTANT = "must be an instant as in RFC 3339 with its offset, like 2030-01-31T12:00:00Z"
SPAN = "must be a number of seconds above 0, at most 100 years"
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"expires_at": instant(0)}, "/expires_at", LATER_THAN_DUE),
    ({"expires_at": instant(-3600)}, "/expires_at", LATER_THAN_DUE),
    ({"expires_at": "0001-01-01T00:00:00+23:59"}, "/expires_at", LATER_THAN_DUE),
    ({"expires_at": instant(-3600), "run_at": instant(-7200)}, "/expires_at", LATER_THAN_DUE),
    ({"expires_at": instant(5), "delay": 5}, "/expires_at", LATER_THAN_DUE),
    ({"expires_at": instant(5), "run_at": instant(5)}, "/expires_at", LATER_THAN_DUE),
    ({"expires_in": 5, "delay": 5}, "/expires_in", LATER_THAN_DUE),
    ({"expires_in": 5, "run_at": instant(6)}, "/expires_in", LATER_THAN_DUE),
    ({"expires_in": 5, "expires_at": instant(5)}, "/expires_at", "cannot be given together with expires_in"),
    ({"expires_at": instant(3_153_600_001)}, "/expires_at", "must not be more than 100 years ahead"),
    ({"expires_at": instant(5)[:-6]}, "/expires_at", INSTANT),
    ({"expires_at": 5}, "/expires_at", INSTANT),
    ({"expires_at": None}, "/expires_at", INSTANT),
    ({"expires_in": 0}, "/expires_in", SPAN),
    ({"expires_in": -1}, "/expires_in", SPAN),
    ({"expires_in": 3_153_600_001}, "/expires_in", SPAN),
    ({"expires_in": "5"}, "/expires_in", SPAN),
]


@pytest.mark.parametrize(("body", "pointer", "detail"), BAD)
async def test_anything_else_is_422_with_a_pointer(body: dict[str, Any], pointer: str, detail: str) -> None:
    async with site_at_now() as site:
        answer = await site.post(type="a", **body)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"pointer": pointer, "detail": detail}]
        assert await site.rows() == []


async def test_it_is_told_with_whatever_else_is_wrong() -> None:
    async with site_at_now() as site:
        answer = await site.post(type="", expires_in=5, delay=6, run_at=instant(1), priority=12)
        pointers = [fault["pointer"] for fault in answer.json()["errors"]]
        assert pointers == ["/type", "/priority", "/run_at"]
        answer = await site.post(type="", expires_in=5, delay=6)
        assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/type", "/expires_in"]


async def test_the_same_id_with_another_instant_is_the_same_job(site: Site) -> None:
    body = {"type": "a", "id": "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"}
    first = await site.post(**body, expires_in=60)
    again = await site.post(**body, expires_in=90)
    assert (again.status_code, again.json()) == (200, first.json())


async def test_batches_take_it_too(site: Site) -> None:
    jobs = [{"type": "a", "expires_in": 60}, {"type": "a", "expires_in": 60, "delay": 61}]
    answer = (await site.post("/jobs/batch", jobs=jobs)).json()["results"]
    assert [one["status"] for one in answer] == [201, 422]
    assert answer[1]["error"]["errors"] == [{"pointer": "/expires_in", "detail": LATER_THAN_DUE}]


async def test_an_expired_job_says_so_and_when_and_may_be_started_over() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        url = (await site.post(type="a", expires_at=instant(10))).headers["location"]
        clock.now += 10 * SECOND
        await site.store.end_expired(10)
        job = (await site.http.get(url)).json()
        said = "Expired at 2030-03-17T17:46:50.000000Z, before it was started."
        assert (job["state"], job["error"]) == ("cancelled", {"kind": "expired", "message": said, "traceback": None})
        assert job["expires_at"] == job["finished_at"] == "2030-03-17T17:46:50.000000Z"
        again = (await site.http.post(f"{url}/retry")).json()
        assert (again["state"], again["expires_at"], again["error"]) == ("ready", None, None)
