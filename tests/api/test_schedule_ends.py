"""Words, ends and a first tick at once, over HTTP: what is kept, shown and refused; nobody fires ticks here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.api.site import Site, open_site
from tests.api.test_schedules import ask, faults, put
from tests.store.backends import SteppedClock, new_id
from tickr.missed import due
from tickr.store.memory import MemoryStore

JOB = {"type": "report"}


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
async def site(clock: SteppedClock) -> AsyncIterator[Site]:
    async with open_site(store=MemoryStore(clock=clock)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("@yearly", "2028-01-01T00:00"),
        ("@annually", "2028-01-01T00:00"),
        ("@monthly", "2027-02-01T00:00"),
        ("@weekly", "2027-01-17T00:00"),
        ("@daily", "2027-01-16T00:00"),
        ("@Midnight", "2027-01-16T00:00"),
        (" @hourly ", "2027-01-15T09:00"),
    ],
)
async def test_a_word_is_kept_as_it_was_written(site: Site, word: str, first: str) -> None:
    document = await put(site, "a", {"cron": word, "job": JOB})
    assert (document["cron"], document["timezone"]) == (word.strip(), "UTC")
    assert document["next_at"] == f"{first}:00.000000Z"
    assert await put(site, "a", {"cron": word, "job": JOB}, 200) == document


async def test_an_end_and_a_number_are_shown_with_what_is_left(site: Site, clock: SteppedClock) -> None:
    body = {"every": 60, "start": "now", "end_at": "2027-01-15T09:05:00+01:00", "times": 3, "job": JOB}
    document = await put(site, "a", body)
    assert (document["start"], document["end_at"], document["times"]) == ("now", "2027-01-15T08:05:00.000000Z", 3)
    assert (document["ended"], document["fired"], document["declared"]) == (None, 0, False)
    assert document["next"] == [f"2027-01-15T08:0{n}:00.000000Z" for n in range(3)]
    longer = await put(site, "a", body | {"times": 1_000_000}, 200)
    assert longer["next"] == [f"2027-01-15T08:0{n}:00.000000Z" for n in range(6)]
    clock.advance(240)
    await site.store.move_schedules([due(await stored(site), clock.now, new_id)])
    assert (await ask(site, "GET", "/a"))["next"] == ["2027-01-15T08:05:00.000000Z"]


async def stored(site: Site) -> Any:
    schedule = await site.store.schedule("a")
    assert schedule is not None
    return schedule


async def test_what_has_ended_stays_listed_and_says_why(site: Site, clock: SteppedClock) -> None:
    body = {"every": 60, "times": 1, "job": JOB}
    await put(site, "a", body)
    clock.advance(60)
    await site.store.move_schedules([due(await stored(site), clock.now, new_id)])
    document = await ask(site, "GET", "/a")
    assert (document["ended"], document["next_at"], document["next"], document["fired"]) == ("times", None, [], 1)
    assert [one["ended"] for one in (await ask(site, "GET", ""))["items"]] == ["times"]
    assert await put(site, "a", body, 200) == document
    assert (await ask(site, "POST", "/a/run", 201))["state"] == "ready"
    on = await put(site, "a", body | {"times": 2}, 200)
    assert (on["ended"], on["fired"], on["next"]) == (None, 1, ["2027-01-15T08:02:00.000000Z"])


async def test_an_end_that_is_past_is_taken_so_that_the_same_may_be_put_for_ever(site: Site) -> None:
    body = {"cron": "@daily", "end_at": "2020-01-01T00:00:00Z", "job": JOB}
    document = await put(site, "a", body)
    assert (document["ended"], document["next"]) == ("end_at", [])
    assert await put(site, "a", body, 200) == document


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"cron": "@fortnightly"}, {"/cron": "knows the words @hourly, @daily"}),
        ({"cron": "@reboot"}, {"/cron": "knows the words"}),
        ({"every": 60, "times": 0}, {"/times": "must be a whole number from 1 to 1,000,000"}),
        ({"every": 60, "times": 1.5}, {"/times": "must be a whole number"}),
        ({"every": 60, "end_at": "tomorrow"}, {"/end_at": "must be an instant"}),
        ({"every": 60, "start": "later"}, {"/start": "must be now"}),
        (
            {"every": 60, "start": "now", "start_at": "2027-06-01T00:00:00Z"},
            {"/start": "cannot be given together with start_at"},
        ),
        (
            {"every": 60, "start_at": "2027-06-01T00:00:00Z", "end_at": "2027-05-31T23:59:59Z"},
            {"/end_at": "must not be before start_at"},
        ),
    ],
)
async def test_what_is_wrong_is_told(site: Site, body: dict[str, Any], expected: dict[str, str]) -> None:
    told = faults(await put(site, "a", body | {"job": JOB}, 422))
    assert told.keys() == expected.keys()
    for pointer, detail in expected.items():
        assert told[pointer].startswith(detail)
