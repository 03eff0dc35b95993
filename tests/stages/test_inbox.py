"""The inbox by the clock: how often a node looks, what an outage costs, and who shares a look. In virtual time."""

from __future__ import annotations

import math
from typing import cast

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.api.inboxes import START_US, SharedStore, open_inbox, virtual_clock, virtual_store
from tests.ports import Observed
from tickr.api.inbox import BATCH, NET_S, Inbox
from tickr.errors import Overloaded, StoreUnavailable
from tickr.failpoints import armed
from tickr.scheduler.retention import INBOX_BATCH, INBOX_PAUSE_S, InboxRetention
from tickr.store.memory import MemoryStore

DAY_S = 86_400


@pytest.fixture
def store() -> Observed:
    return virtual_store()


def rows(store: Observed) -> SharedStore:
    return cast(SharedStore, store.port)


async def test_a_node_that_nobody_needs_asks_one_question_a_second(store: Observed, autojump_clock: MockClock) -> None:
    async with open_inbox(store):
        await trio.sleep(600)  # virtual
    assert 599 <= store.calls["inbox_rows"] <= 601
    assert set(store.calls) == {"inbox_rows"}


async def test_refused_rows_are_not_looked_at_again(store: Observed, autojump_clock: MockClock) -> None:
    for _ in range(BATCH):
        rows(store).insert_row("{")
    async with open_inbox(store):
        await trio.sleep(100)  # virtual
    assert store.calls["settle_inbox"] == 1
    assert store.calls["inbox_rows"] <= 102


async def test_a_row_is_found_within_a_second(store: Observed, autojump_clock: MockClock) -> None:
    async with open_inbox(store):
        await trio.sleep(10.5)  # virtual
        rows(store).insert_row(type="a")
        await trio.sleep(NET_S)  # virtual
        (job,) = await rows(store).all_jobs()
        assert job.created_at <= START_US + 11_500_000
        assert rows(store).ids() == []


async def test_who_asks_is_served_at_once_and_shares_the_next_look(store: Observed, autojump_clock: MockClock) -> None:
    async with open_inbox(store) as (inbox, _):
        await trio.sleep(0.5)  # virtual
        rows(store).insert_row(type="a")
        before = store.calls["inbox_rows"]
        taken: list[int] = []

        async def ask() -> None:
            taken.append((await inbox.take()).taken)

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)
        assert trio.current_time() % 1 == pytest.approx(0.5, abs=0.01)
        assert 1 in taken
        assert store.calls["inbox_rows"] - before <= 4, "two turns, each of which ends with an empty page"


async def test_what_is_inserted_while_a_turn_is_under_way_is_there_for_who_asks_then(
    store: Observed, autojump_clock: MockClock
) -> None:
    goes_on = trio.Event()
    async with open_inbox(store) as (inbox, _):
        rows(store).insert_row(type="a")
        with armed("inbox.after_submit", goes_on.wait):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(inbox.take)
                await wait_all_tasks_blocked()
                rows(store).insert_row(type="b")
                nursery.start_soon(inbox.take)
                await wait_all_tasks_blocked()
                goes_on.set()
        assert {job.type for job in await rows(store).all_jobs()} == {"a", "b"}
        assert rows(store).ids() == []


async def test_an_outage_is_told_once_and_outlived(store: Observed, autojump_clock: MockClock) -> None:
    rows(store).insert_row(type="a")
    store.failing["inbox_rows"] = StoreUnavailable("away")
    with capture_logs() as lines:
        async with open_inbox(store) as (inbox, _):
            await trio.sleep(30)  # virtual
            with pytest.raises(StoreUnavailable):
                await inbox.take()
            store.failing.clear()
            await trio.sleep(NET_S + 0.1)  # virtual
            assert len(await rows(store).all_jobs()) == 1
    assert [line["event"] for line in lines].count("inbox.interrupted") == 1


@pytest.mark.parametrize("cut", ["insert", "settle_inbox"])
async def test_an_outage_in_the_middle_loses_and_doubles_nothing(
    cut: str, store: Observed, autojump_clock: MockClock
) -> None:
    rows(store).insert_row(type="a")
    rows(store).insert_row("{")
    store.failing[cut] = StoreUnavailable("away", outcome_unknown=True)
    async with open_inbox(store):
        await trio.sleep(5)  # virtual
        assert len(rows(store).ids()) == 2
        store.failing.clear()
        await trio.sleep(5)  # virtual
    assert len(await rows(store).all_jobs()) == 1
    assert len(await rows(store).reasons()) == len(rows(store).ids()) == 1


async def test_any_number_of_nodes_take_each_row_once(store: Observed, autojump_clock: MockClock) -> None:
    async with open_inbox(store) as (one, _), open_inbox(store) as (two, _), open_inbox(store) as (three, _):
        taken = 0

        async def ask(inbox: Inbox) -> None:
            nonlocal taken
            done = await inbox.take()
            taken += done.taken

        for _ in range(20):
            for number in range(30):
                rows(store).insert_row(type="a", payload=number)
            async with trio.open_nursery() as nursery:
                for inbox in (one, two, three):
                    nursery.start_soon(ask, inbox)
    assert len(await rows(store).all_jobs()) == 600
    assert 500 < taken <= 600, "each is counted by the one that deletes it; the first may be found by the net"
    assert rows(store).ids() == []


async def test_a_stop_finishes_the_turn_and_takes_no_other(store: Observed, autojump_clock: MockClock) -> None:
    goes_on = trio.Event()
    rows(store).insert_row(type="a")
    async with open_inbox(store) as (inbox, context):
        with armed("inbox.after_submit", goes_on.wait):
            await wait_all_tasks_blocked()
            context.stopping.set()
            await wait_all_tasks_blocked()
            with pytest.raises(Overloaded):
                await inbox.take()
            goes_on.set()
            await wait_all_tasks_blocked()
    assert rows(store).ids() == []
    assert len(await rows(store).all_jobs()) == 1


async def test_without_it_nothing_is_asked(store: Observed, autojump_clock: MockClock) -> None:
    async with open_inbox(store, inbox=False):
        await trio.sleep(10)  # virtual
    assert not store.calls


async def test_a_store_that_nobody_else_can_reach_is_not_asked(autojump_clock: MockClock) -> None:
    """As in ``tickr.testing``, where an hour without anything to do costs nothing."""
    store = Observed(MemoryStore(clock=virtual_clock))
    async with open_inbox(store):
        await trio.sleep(3600)  # virtual
    assert not store.calls


# -- how long refused rows are kept -----------------------------------------------------------------------------------


async def refuse(store: Observed, count: int) -> None:
    seqs = [rows(store).insert_row("{") for _ in range(count)]
    await store.settle_inbox([], dict.fromkeys(seqs, "no"))


async def test_refused_rows_go_when_failed_jobs_would(
    store: Observed, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await refuse(store, 2 * INBOX_BATCH + 1)
    rows(store).insert_row(type="waits")
    nursery.start_soon(InboxRetention(store, keep_failed_s=DAY_S).run)
    await trio.sleep(DAY_S - 1)  # virtual
    assert len(rows(store).ids()) == 2 * INBOX_BATCH + 2
    await trio.sleep(INBOX_PAUSE_S + 2)  # virtual
    assert len(rows(store).ids()) == 1
    assert store.calls["prune_inbox"] <= DAY_S / INBOX_PAUSE_S + 5


async def test_for_ever_is_for_ever(store: Observed, autojump_clock: MockClock) -> None:
    await refuse(store, 1)
    with trio.fail_after(1):
        await InboxRetention(store, keep_failed_s=math.inf).run()
    assert len(rows(store).ids()) == 1


async def test_an_outage_of_retention_is_told_once(
    store: Observed, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await refuse(store, 1)
    store.failing["prune_inbox"] = StoreUnavailable("away")
    with capture_logs() as lines:
        nursery.start_soon(InboxRetention(store, keep_failed_s=1).run)
        await trio.sleep(10)  # virtual
        store.failing.clear()
        await trio.sleep(10)  # virtual
    assert rows(store).ids() == []
    assert [line["event"] for line in lines].count("retention.interrupted") == 1
