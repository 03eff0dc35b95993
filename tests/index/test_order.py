"""Orders of queues: what is ready in one comes out oldest or newest first, also after a change. Both adapters."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.index.test_contract import NOW, S, entry, index, place, url
from tests.index.test_lanes import line, one_by_one
from tests.ports import pop_ids
from tickr.index.contract import MAX_POP, Index, Lane, Sizes
from tickr.index.heap import HeapIndex
from tickr.index.open import open_index
from tickr.jobs import Entry

__all__ = ["index", "place", "url"]

NEWEST = frozenset({"default"})
OLDEST = frozenset[str]()


def backlog(count: int, *, priority: int = 5, queue: str = "default") -> list[Entry]:
    """Return entries of which each is due a millisecond after the one before."""
    return [entry(f"{n:05}", queue=queue, priority=priority, run_at=NOW - 100 * S + n * 1_000) for n in range(count)]


async def drained(index: Index, queue: str = "default") -> list[str]:
    ids: list[str] = []
    while (await index.sizes()).ready:
        ids += await pop_ids(index, [queue], MAX_POP)
    return ids


def ids_of(entries: Iterable[Entry]) -> list[str]:
    return [one.id for one in entries]


async def test_the_newest_of_a_priority_comes_out_first(index: Index) -> None:
    await index.order(NEWEST)
    urgent, others = [entry("u", priority=0, run_at=NOW - 50 * S), entry("v", priority=0)], backlog(3)
    await index.push([*others, *urgent], now=NOW)
    assert await drained(index) == ["v", "u", "00002", "00001", "00000"]


async def test_other_queues_keep_their_order(index: Index) -> None:
    await index.order(NEWEST)
    entries = backlog(5, queue="other")
    await index.push(random.Random(2).sample(entries, 5), now=NOW)
    assert await drained(index, "other") == ids_of(entries)


@pytest.mark.parametrize("count", [5, 2_500])
async def test_a_backlog_is_turned_and_turned_back(index: Index, count: int) -> None:
    entries = [*backlog(count), entry("urgent", priority=1, run_at=NOW - 200 * S)]
    await index.push(entries, now=NOW)
    await index.order(NEWEST)
    assert await pop_ids(index, ["default"], 3) == ["urgent", f"{count - 1:05}", f"{count - 2:05}"]
    await index.order(OLDEST)
    assert await drained(index) == ids_of(entries[: count - 2])


async def test_an_order_that_is_told_again_moves_nothing(index: Index) -> None:
    await index.order(NEWEST)
    await index.push([*backlog(5), *line("a", 2), *line("b", 2)], now=NOW)
    assert (await one_by_one(index, 1)) == ["a1"]
    await index.order(NEWEST)
    assert (await one_by_one(index, 2)) == ["b1", "00004"], "a has had its turn"


async def test_what_becomes_due_is_put_in_by_the_order(index: Index) -> None:
    entries = [entry(str(n), run_at=NOW + n * S) for n in range(1, 4)]
    await index.push([*entries, entry("0")], now=NOW)
    await index.order(NEWEST)
    await index.promote(NOW + 3 * S, 100)
    assert await pop_ids(index, ["default"], 1) == ["3"]
    await index.order(OLDEST)
    assert await drained(index) == ["0", "1", "2"]


async def test_instants_come_out_as_they_went_in(index: Index) -> None:
    await index.order(NEWEST)
    instants = [0, 1, NOW - 12_345_678, NOW]
    await index.push([entry(str(at), run_at=at) for at in instants], now=NOW)
    hints = await index.pop(["default"], 10)
    assert [int(hint.id) for hint in hints] == sorted(instants, reverse=True)
    assert all(0 <= hint.run_at - int(hint.id) < 16 for hint in hints)


async def test_what_is_removed_is_gone_in_either_order(index: Index) -> None:
    entries = [*backlog(3), *line("a", 2)]
    await index.order(NEWEST)
    await index.push(entries, now=NOW)
    assert await index.missing(entries) == []
    await index.remove([entries[1], entries[3]])
    assert await index.missing(entries) == [entries[1], entries[3]]
    assert await index.sizes() == Sizes(3, 0)


# -- lanes ----------------------------------------------------------------------------------------------------------


async def test_keys_take_turns_with_their_newest(index: Index) -> None:
    await index.order(NEWEST)
    await index.push([*line("a", 5, run_at=NOW - 2 * S), *line("b", 3), *line("c", 1, run_at=NOW - 3 * S)], now=NOW)
    assert await one_by_one(index, 9) == ["b2", "a4", "c0", "b1", "a3", "b0", "a2", "a1", "a0"]


async def test_a_newer_job_brings_its_key_to_its_own_place(index: Index) -> None:
    await index.order(NEWEST)
    await index.push([*line("a", 3), *line(None, 2)], now=NOW)
    assert await one_by_one(index, 1) == ["a2"], "and its key stands behind the others"
    await index.push([Entry("a9", "default", 5, NOW, "a")], now=NOW)
    assert await one_by_one(index, 5) == ["a9", "-1", "-0", "a1", "a0"]


async def test_lanes_are_turned_too(index: Index) -> None:
    entries = [job for key in range(120) for job in line(f"k{key}", 2, run_at=NOW - S + key * 5_000)]
    await index.push([*entries, *line("held", 2)], now=NOW)
    await index.hold([Lane("default", "held")], until=NOW + S)
    await index.order(NEWEST)
    assert await one_by_one(index, 3) == ["k1191", "k1181", "k1171"]
    await index.free([Lane("default", "held")])
    assert (await one_by_one(index, 121))[-4:] == ["k1190", "k1180", "k1170", "held1"]
    await index.order(OLDEST)
    assert await one_by_one(index, 3) == ["held0", "k00", "k10"]
    assert len(await drained(index)) == 2 * 121 - 127
    assert await index.sizes() == Sizes(0, 0)


# -- who has not heard ----------------------------------------------------------------------------------------------


async def stands(index: Index) -> list[str]:
    """Return the queues that the index has an order for."""
    [found] = await index._link.send(("HGETALL", index._orders))  # type: ignore[attr-defined]
    return [word.decode() for word in found]


@pytest.mark.slow
async def test_what_is_pushed_by_who_has_not_heard_is_found_by_the_next_order(redis_server_url: str) -> None:
    url, entries = f"{redis_server_url}?namespace=unheard", [*backlog(6), *line("a", 2, run_at=NOW - 5_000)]
    async with open_index(url) as here, open_index(url) as there:
        await there.push(entries[:2], now=NOW)  # and has learned how things stand
        await here.order(NEWEST)
        await there.push(entries[2:4], now=NOW)
        await here.push([entries[4], entries[5], entries[7]], now=NOW)
        await here.order(NEWEST)
        assert await one_by_one(here, 7) == ["a1", "00005", "00004", "00003", "00002", "00001", "00000"]

        await here.push(entries, now=NOW)
        await there.order(OLDEST)
        assert await stands(there) == []
        await here.push(backlog(8), now=NOW)  # as if the newest were first still
        assert await stands(there) == ["default", "0"], "but it is noticed"
        await there.order(OLDEST)
        assert await drained(there) == [*ids_of(backlog(8)), "a0", "a1"]
        assert await stands(there) == []


@pytest.mark.slow
async def test_a_push_learns_of_an_order_when_two_seconds_are_over(
    redis_server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"{redis_server_url}?namespace=learning"
    async with open_index(url) as here, open_index(url) as there:
        await there.push(backlog(1), now=NOW)
        await here.order(NEWEST)
        await there.push(backlog(2), now=NOW)
        assert there._newest == OLDEST  # type: ignore[attr-defined]
        monkeypatch.setattr(there, "_learn_at", trio.current_time())
        await there.push(backlog(3), now=NOW)
        assert await pop_ids(there, ["default"], 3) == ["00002", "00001", "00000"]
        assert there._newest == NEWEST  # type: ignore[attr-defined]


@pytest.mark.slow
async def test_of_two_orders_the_last_one_counts(redis_server_url: str) -> None:
    """The other, who moves the queue with what he knew before, leaves it."""
    url = f"{redis_server_url}?namespace=rivals"
    async with open_index(url) as here, open_index(url) as there:
        await here.push(backlog(10), now=NOW)
        await here.order(NEWEST)
        there._newest = OLDEST  # type: ignore[attr-defined]
        await there._turn("default", [there._ready + "default"])  # type: ignore[attr-defined]
        assert await pop_ids(here, ["default"], 1) == ["00009"]


@pytest.mark.slow
async def test_an_index_that_was_emptied_is_told_again(redis_server_url: str) -> None:
    url = f"{redis_server_url}?namespace=emptied"
    async with open_index(url) as here, open_index(url) as there:
        await here.order(NEWEST)
        await here._link.send(("DEL", here._orders))  # type: ignore[attr-defined]
        await there.push(backlog(3), now=NOW)
        await here.order(NEWEST)
        assert await drained(there) == ["00002", "00001", "00000"]


# -- whatever comes -------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_next_is_always_the_best_by_the_order(seed: int) -> None:
    """Whatever is pushed, promoted, taken and turned: nothing is lost, and what comes out is the best that is there."""
    dice = random.Random(seed)

    async def play() -> None:
        index, now, newest = HeapIndex(), NOW, OLDEST
        left: dict[str, Entry] = {}
        for step in range(150):
            what = dice.random()
            if what < 0.5 or not left:
                one = Entry(f"{step:04}", "default", dice.randint(4, 6), now + dice.randint(-5_000, 5_000), None)
                left[one.id] = one
                await index.push([one], now=now)
            elif what < 0.6:
                now += dice.randint(0, 4_000)
                await index.promote(now, 10)
            elif what < 0.7:
                newest = dice.choice([OLDEST, NEWEST])
                await index.order(newest)
            elif (await index.sizes()).ready:
                await index.promote(now, 1_000)
                (hint,) = await index.pop(["default"], 1)
                sign = -1 if newest else 1
                due = [(one.priority, sign * one.run_at) for one in left.values() if one.run_at <= now]
                taken = left.pop(hint.id)
                assert (taken.priority, sign * taken.run_at) == min(due)
        await index.promote(now + S, 1_000)
        assert sorted(await drained(index)) == sorted(left)

    trio.run(play)
