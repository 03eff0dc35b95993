"""``keep`` of a submission: what is taken, what is refused, whose default counts, and how the job shows it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import tickr
from tests.api.site import Site, open_site
from tickr.client import bodies
from tickr.client.records import NewJob

RULE = "must be a number of seconds from 0 to 10 years"


def some_jobs() -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.handler("brief", keep="1h30m")
    async def brief() -> None: ...

    return jobs


@pytest.mark.parametrize("keep", [0, 0.000001, 90.25, 315_360_000])
async def test_it_is_stored_and_shown(site: Site, keep: float) -> None:
    answer = await site.post(type="a", keep=keep)
    assert (answer.status_code, answer.json()["keep"]) == (201, keep)
    assert (await site.http.get(answer.headers["location"])).json()["keep"] == keep
    (job,) = await site.rows()
    assert job.extras.keep_us == round(keep * 1_000_000)


@pytest.mark.parametrize("keep", [-1, 315_360_001, "1h", None, True])
async def test_what_is_no_age_is_refused(site: Site, keep: Any) -> None:
    answer = await site.post(type="a", keep=keep)
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/keep", "detail": RULE}]


async def test_the_handlers_age_counts_where_the_submission_has_none() -> None:
    async with open_site(defaults=some_jobs().get) as site:
        kept = [(await site.post(**said)).json()["keep"] for said in ({"type": "brief"}, {"type": "brief", "keep": 0})]
        assert kept == [5400, 0]
        assert (await site.post(type="other")).json()["keep"] is None


async def test_the_same_job_with_another_age_is_the_same_job(site: Site) -> None:
    body = {"type": "a", "id": "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"}
    assert (await site.post(**body, keep=1)).status_code == 201
    again = await site.post(**body, keep=2)
    assert (again.status_code, again.json()["keep"]) == (200, 1)


@pytest.mark.parametrize("keep", [-1, "1 hour", "11000d", True, timedelta(days=-1)])
def test_a_handler_with_another_is_refused(keep: Any) -> None:
    with pytest.raises(ValueError, match="handler 'a': keep must be"):
        tickr.Jobs().handler("a", keep=keep)(lambda: None)


def test_the_client_takes_a_timedelta() -> None:
    assert b'"keep":90.5' in bodies.write(NewJob(type="a", keep=timedelta(seconds=90.5))).text
