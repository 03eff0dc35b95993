"""One subscriber: where it begins, replay, live, bookmarks, and how it ends. Virtual time."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from tests.feed.conftest import Log, caught_up, names, receive
from tickr.errors import CursorExpired, CursorInvalid, StoreUnavailable, TooSlow
from tickr.feed import subscription as subscriptions
from tickr.feed.cursor import Place, read, write
from tickr.feed.feed import FeedUse
from tickr.feed.selection import Selection


async def test_from_now_tells_what_happens_from_then_on(log: Log, autojump_clock: MockClock) -> None:
    await log.write(3)
    async with log.listening() as listener:
        assert (await listener.receive()).kind == "caught_up"
        await log.write(2)
        assert names(await listener.receive()) == log.told[1]


async def test_earliest_replays_everything_then_goes_on_live(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(5):
        await log.write(3)
    async with log.listening("earliest") as listener:
        assert await caught_up(listener) == log.all_told
        await log.write(2)
        assert await receive(listener, 2) == log.told[-1]


async def test_an_event_is_told_at_once(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        before = trio.current_time()
        await log.write()
        await receive(listener, 1)
        assert trio.current_time() == before


async def test_without_the_bell_within_a_second(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        log.deafen()
        await log.write()
        with trio.fail_after(1.1):
            await receive(listener, 1)


@pytest.mark.parametrize("taken", [0, 1, 2, 3, 4, 5, 6, 7])
async def test_a_cursor_resumes_after_the_very_event(log: Log, autojump_clock: MockClock, taken: int) -> None:
    await log.write(2)
    await log.write(3)
    await log.write(2)
    async with log.listening("earliest") as listener:
        start = listener.cursor
        places = [told.cursor for told in (await listener.receive()).events]
    async with log.listening([start, *places][taken]) as listener:
        assert await caught_up(listener) == log.all_told[taken:]


async def test_the_cursor_of_a_delivery_and_of_the_subscription_are_one(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        for _ in range(3):
            await log.write(2)
            delivery = await listener.receive()
            assert listener.cursor == delivery.cursor
    await log.write(2)
    async with log.listening(listener.cursor) as listener:
        assert log.all_told[-2:] == (await caught_up(listener))[-2:]


async def test_what_is_pending_goes_out_together(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        for _ in range(4):
            await log.write(2)
            await trio.testing.wait_all_tasks_blocked()
        assert names(await listener.receive()) == log.all_told


async def test_a_quiet_subscriber_has_bookmarks_whose_cursor_moves_on(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening(selection=Selection(queues=frozenset({"none"}))) as listener:
        await caught_up(listener)
        start = listener.cursor
        for _ in range(3):
            before = trio.current_time()
            await log.write(5)
            bookmark = await listener.receive()
            assert (bookmark.kind, bookmark.events) == ("bookmark", ())
            assert trio.current_time() - before <= 10
            assert read(bookmark.cursor)[1] == (len(log.told), 0)
        assert listener.cursor != start


async def test_a_replay_that_finds_nothing_has_bookmarks_too(
    log: Log, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await log.write(2)
    real = log.store.port.event_rows

    async def slow(after: int, limit: int, max_bytes: int) -> list[tuple[int, str]]:
        await trio.sleep(3)  # virtual
        rows: list[tuple[int, str]] = await real(after, 1, max_bytes)
        return rows

    monkeypatch.setattr(log.store.port, "event_rows", slow)
    async with log.listening("earliest", Selection(types=frozenset({"none"}))) as listener:
        seqs = []
        while (delivery := await listener.receive()).kind == "bookmark":
            seqs.append(read(delivery.cursor)[1].seq)
        assert (delivery.kind, seqs) == ("caught_up", [2, 4])


async def test_a_cancelled_receive_loses_nothing(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(3):
        await log.write(2)
    async with log.listening("earliest") as listener:
        with trio.CancelScope() as scope:
            scope.cancel()
            await listener.receive()
        assert await caught_up(listener) == log.all_told
        with trio.move_on_after(0.5):
            await listener.receive()
        await log.write()
        assert await receive(listener, 1) == log.told[-1]


# -- filters ----------------------------------------------------------------------------------------------------------


async def test_conditions_are_combined_and_their_values_are_choices(log: Log, autojump_clock: MockClock) -> None:
    wanted = Selection(queues=frozenset({"a", "b"}), types=frozenset({"x"}), events=frozenset({"created"}))
    async with log.listening(selection=wanted) as live:
        await caught_up(live)
        for queue in "abc":
            for type in "xy":
                await log.write(type=type, queue=queue)
        expected = log.told[0] + log.told[2]
        assert await receive(live, 2) == expected
    async with log.listening("earliest", wanted) as late:
        assert await caught_up(late) == expected
    async with log.listening("earliest", Selection(events=frozenset({"failed"}))) as none:
        assert await caught_up(none) == []


async def test_followers_of_single_jobs_get_theirs(log: Log, autojump_clock: MockClock) -> None:
    first, second, third = await log.write(3)
    both = Selection(jobs=frozenset({first.id, third.id}))
    async with log.listening(selection=both) as listener, log.listening(selection=both) as another:
        await caught_up(listener)
        await caught_up(another)
        for job in (second, third, first):
            await log.store.cancel(job.id)
        assert await receive(listener, 2) == await receive(another, 2) == [f"{third.id}.2", f"{first.id}.2"]


# -- the ends ---------------------------------------------------------------------------------------------------------


async def test_one_that_does_not_keep_up_is_let_go_and_can_come_back(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as slow, log.listening() as quick:
        await caught_up(slow)
        await caught_up(quick)
        await log.write()
        got = await receive(slow, 1)
        await receive(quick, 1)
        assert log.feed.use() == FeedUse(subscribers=2, most_behind=0, pending_bytes=0, sent=2, too_slow=0)
        await log.write()
        await receive(quick, 1)
        assert log.feed.use().most_behind == 1
        assert log.feed.use().pending_bytes > 0
        for _ in range(subscriptions.MAX_PENDING):
            await log.write()
            await receive(quick, 1)
        assert log.feed.use().too_slow == 1
        with pytest.raises(TooSlow) as ended:
            await slow.receive()
        with pytest.raises(TooSlow):
            await slow.receive()
        assert ended.value.cursor == slow.cursor
    async with log.listening(ended.value.cursor) as back:
        assert got + await caught_up(back) == log.all_told


async def test_pending_bytes_are_bounded_too(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as slow, log.listening() as quick:
        await caught_up(slow)
        await caught_up(quick)
        rows = subscriptions.MAX_PENDING_BYTES // (300 * 500) + 2  # an event has more than 300 bytes
        assert rows < subscriptions.MAX_PENDING
        for _ in range(rows):
            await log.write(500)
            await receive(quick, 500)
        with pytest.raises(TooSlow):
            await slow.receive()


@pytest.mark.parametrize("text", ["", "x", "0123456789ab", "0123456789ab.", "0123456789ab.-1", "0123456789ab.1.x",
                                  "1.1", "0123456789AB.1", "0123456789ab.1 ", "0123456789ab." + "9" * 30])  # fmt: skip
async def test_what_is_no_cursor_is_refused_without_asking_the_store(
    log: Log, autojump_clock: MockClock, text: str
) -> None:
    log.store.failing["*"] = StoreUnavailable("away")
    with pytest.raises(CursorInvalid):
        async with log.listening(text):
            pass
    with pytest.raises(CursorInvalid):
        await log.feed.page(Selection(), after=text, limit=10)


async def test_a_cursor_whose_events_are_gone_is_refused(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(6):
        await log.write(2)
    history = (await log.store.feed_state()).history
    assert await log.store.prune_events(log.wall_clock() + 1, 3) == 3
    for seq, good in ((0, False), (2, False), (3, True), (6, True), (7, False)):
        after = write(history, Place(seq))
        if good:
            async with log.listening(after) as listener:
                assert await caught_up(listener) == [name for row in log.told[seq:] for name in row]
            continue
        with pytest.raises(CursorExpired):
            async with log.listening(after):
                pass
        with pytest.raises(CursorExpired):
            await log.feed.page(Selection(), after=after, limit=10)
    async with log.listening("earliest") as listener:
        assert await caught_up(listener) == [name for row in log.told[3:] for name in row]


async def test_a_cursor_of_another_history_is_refused(log: Log, autojump_clock: MockClock) -> None:
    await log.write()
    async with log.listening() as listener:
        mine = listener.cursor
    history, place = read(mine)
    await log.store.new_history(history)
    for after in (mine, write("0" * 12, place)):
        with pytest.raises(CursorExpired):
            async with log.listening(after):
                pass


async def test_rows_pruned_under_a_replay_are_not_passed_over_in_silence(log: Log, autojump_clock: MockClock) -> None:
    for _ in range(3):
        await log.write(400)
    async with log.listening("earliest") as listener:
        got = names(await listener.receive())
        await log.store.prune_events(log.wall_clock() + 1, 3)
        await log.write()
        with pytest.raises(CursorExpired):
            await caught_up(listener)
    assert got == log.all_told[: len(got)]


async def test_a_history_that_ends_under_live_subscribers_is_told(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        await log.write()
        await receive(listener, 1)
        await log.store.new_history(read(listener.cursor)[0])
        with trio.fail_after(15), pytest.raises(CursorExpired):
            await receive(listener, 1)
    async with log.listening() as afresh:
        await caught_up(afresh)
        await log.write()
        assert await receive(afresh, 1) == log.told[-1]
        assert read(afresh.cursor)[0] != read(listener.cursor)[0]


# -- the store away ---------------------------------------------------------------------------------------------------


async def test_a_subscription_survives_the_store(log: Log, autojump_clock: MockClock) -> None:
    async with log.listening() as listener:
        await caught_up(listener)
        log.store.failing["event_rows"] = StoreUnavailable("away")
        await log.write(2)
        bookmark = await listener.receive()
        assert bookmark.kind == "bookmark"
        log.store.failing.clear()
        assert await receive(listener, 2) == log.told[-1]


async def test_a_replay_survives_the_store(log: Log, autojump_clock: MockClock) -> None:
    await log.write(2)
    async with log.listening("earliest") as listener:
        log.store.failing["event_rows"] = StoreUnavailable("away")
        assert (await listener.receive()).kind == "bookmark"
        log.store.failing.clear()
        assert await caught_up(listener) == log.all_told


@pytest.mark.parametrize("after", [None, "earliest", "0123456789ab.1"])
async def test_who_comes_while_the_store_is_away_is_told(log: Log, autojump_clock: MockClock, after: str) -> None:
    log.store.failing["*"] = StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        async with log.listening(after):
            pass
    log.store.failing.clear()
    async with log.listening() as listener:
        await caught_up(listener)
