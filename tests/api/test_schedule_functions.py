"""Schedules by function over HTTP: what is shown of them, and what only code can say."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import tickr
from tests.api.site import Site, open_site
from tests.api.test_schedules import EVERY, ask, faults, put
from tests.store.backends import START, SteppedClock, new_id
from tickr import declared
from tickr.foresight import AHEAD
from tickr.next_ticks import walk
from tickr.schedule_moves import Foresee
from tickr.store.contract import Node
from tickr.store.memory import MemoryStore


def hourly(after: datetime) -> datetime:
    return after + timedelta(hours=1)


NAME = f"{__name__}.hourly"
NOBODY = f"no live node has its function {NAME}"


@pytest.fixture
async def site() -> Any:
    async with open_site(store=MemoryStore(clock=SteppedClock())) as opened:
        yield opened


async def declare(site: Site, *, live: bool = True, told: bool = True, **wish: Any) -> None:
    """Have a node declare the schedule ``s``, and tell its ticks; ``live``: the node is there."""
    jobs = tickr.Jobs()
    jobs.schedules.add("s", "report", next_tick=hourly, timezone="Europe/Stockholm", **wish)
    (one,) = declared.read(jobs, START)
    await site.store.move_schedules([one.wish])
    if live:
        await site.store.register(Node(id=new_id(), host="h", pid=1, version="1", declared=(one.mark,)), lease_s=60)
    if told:
        found = walk(hourly, None, START, now=START, wanted=AHEAD)
        await tell(site, found.ticks)


async def tell(site: Site, ticks: list[int], **more: Any) -> None:
    schedule = await site.store.schedule("s")
    assert schedule is not None
    assert schedule.foreseen is not None
    horizon = schedule.foreseen.horizon
    wish = Foresee(name="s", version=schedule.version, horizon=horizon, after=horizon, ticks=tuple(ticks), **more)
    await site.store.move_schedules([wish])


async def test_it_shows_its_function_and_the_ticks_that_are_known(site: Site) -> None:
    await declare(site)
    document = await ask(site, "GET", "/s")
    assert (document["function"], document["timezone"]) == (NAME, "Europe/Stockholm")
    assert (document["cron"], document["every"], document["fault"], document["declared"]) == (None, None, None, True)
    assert document["next"][:2] == ["2027-01-15T09:00:00.000000Z", "2027-01-15T10:00:00.000000Z"]
    assert (len(document["next"]), document["next_at"]) == (10, document["next"][0])
    assert len((await ask(site, "GET", "/s?ticks=100"))["next"]) == AHEAD
    (listed,) = (await ask(site, "GET", ""))["items"]
    assert listed == {name: value for name, value in document.items() if name != "next"}


async def test_others_have_no_function_and_no_fault(site: Site) -> None:
    document = await put(site, "a", EVERY)
    assert (document["function"], document["fault"]) == (None, None)


async def test_where_no_live_node_has_it_that_is_said(site: Site) -> None:
    await declare(site, live=False)
    document = await ask(site, "GET", "/s")
    assert (document["fault"], len(document["next"])) == (NOBODY, 10)
    (listed,) = (await ask(site, "GET", ""))["items"]
    assert listed["fault"] == NOBODY
    await site.store.register(Node(id=new_id(), host="h", pid=1, version="1"), lease_s=60)
    assert (await ask(site, "GET", "/s"))["fault"] == NOBODY, "a node is there, and it has not"


async def test_what_its_function_did_wrong_is_said(site: Site) -> None:
    await declare(site, told=False)
    await tell(site, [], fault=f"{NAME} raised ValueError: no sun")
    document = await ask(site, "GET", "/s")
    assert (document["fault"], document["next_at"]) == (f"{NAME} raised ValueError: no sun", None)
    assert (document["next"], document["ended"]) == ([], None)


async def test_it_is_paused_resumed_run_and_deleted_like_any_other(site: Site) -> None:
    await declare(site)
    document = await ask(site, "POST", "/s/pause")
    assert (document["paused"], document["next_at"], document["fault"]) == (True, None, None)
    document = await ask(site, "POST", "/s/resume")
    assert (document["next_at"], len(document["next"])) == ("2027-01-15T09:00:00.000000Z", 10)
    assert (await ask(site, "POST", "/s/run", 201))["schedule"] == {"name": "s", "tick": None}
    await ask(site, "DELETE", "/s", 204)


async def test_one_whose_function_says_that_it_ends_has_ended(site: Site) -> None:
    await declare(site, told=False)
    await tell(site, [], no_more=True)
    document = await ask(site, "GET", "/s")
    assert (document["ended"], document["next"], document["fault"]) == ("function", [], None)


async def test_it_may_be_put_by_hand_as_another_one(site: Site) -> None:
    await declare(site)
    document = await put(site, "s", EVERY, 200)
    assert (document["function"], document["every"], document["next_at"]) == (None, 60, "2027-01-15T08:01:00.000000Z")


@pytest.mark.parametrize("field", ["function", "next_tick", "code"])
async def test_a_function_cannot_be_sent(site: Site, field: str) -> None:
    problem = await put(site, "s", {field: NAME, "job": {"type": "report"}}, 422)
    assert f"/{field}" in faults(problem)


async def test_nor_can_the_words_that_stand_for_one(site: Site) -> None:
    problem = await put(site, "s", {"cron": "@function", "job": {"type": "report"}}, 422)
    assert "knows the words" in faults(problem)["/cron"]
