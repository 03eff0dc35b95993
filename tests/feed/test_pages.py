"""Pages, for clients that ask again and again. Virtual time."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from tests.feed.conftest import Log
from tickr.feed import feed as feeds
from tickr.feed.feed import Page
from tickr.feed.selection import EVERYTHING, Selection


def ids(page: Page) -> list[str]:
    return [told.event.id for told in page.events]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_page_after_page_everything_comes_once(log: Log, autojump_clock: MockClock, limit: int) -> None:
    for count in (2, 3, 1, 4):
        await log.write(count)
    after, got = "earliest", list[str]()
    while True:
        page = await log.feed.page(EVERYTHING, after=after, limit=limit)
        assert len(page.events) <= limit
        got += ids(page)
        after = page.cursor
        if page.caught_up:
            break
        assert page.events
    assert got == log.all_told
    await log.write(2)
    assert ids(await log.feed.page(EVERYTHING, after=after, limit=100)) == log.told[-1]


async def test_from_now_is_a_cursor_and_no_events(log: Log, autojump_clock: MockClock) -> None:
    await log.write(3)
    page = await log.feed.page(EVERYTHING, after=None, limit=10)
    assert (page.events, page.caught_up) == ([], True)
    await log.write(2)
    assert ids(await log.feed.page(EVERYTHING, after=page.cursor, limit=10)) == log.told[-1]


async def test_the_cursor_moves_past_what_is_not_wanted(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(5):
        await log.write(3)
    page = await log.feed.page(Selection(types=frozenset({"none"})), after="earliest", limit=10)
    assert (page.events, page.caught_up) == ([], True)
    assert page.cursor == await log.feed.cursor()


async def test_a_page_is_of_bearable_size(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(10):
        await log.write(1000, labels='{"a":"' + "x" * 9000 + '"}')
    page = await log.feed.page(EVERYTHING, after="earliest", limit=1000)
    assert not page.caught_up
    assert feeds.PAGE_BYTES <= sum(len(told.body) for told in page.events) < 2 * feeds.PAGE_BYTES


async def test_a_lists_cursor_misses_nothing_after_it(log: Log, autojump_clock: MockClock) -> None:
    await log.write(3)
    before = await log.feed.cursor()
    await log.write(2)
    assert ids(await log.feed.page(EVERYTHING, after=before, limit=10))[-2:] == log.told[-1]
