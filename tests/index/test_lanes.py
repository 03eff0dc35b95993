"""Lanes: the ready entries of one limit key in one queue have fair turns, and can be held. Both adapters."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from tests.index.test_contract import NOW, S, index, place, url
from tests.ports import pop_ids
from tickr.index.contract import MAX_POP, Index, Lane, Promotion, Sizes
from tickr.index.heap import HeapIndex
from tickr.jobs import Entry

__all__ = ["index", "place", "url"]

A, B, C = (Lane("default", key) for key in "abc")


def line(
    key: str | None, count: int, *, priority: int = 5, run_at: int = NOW - S, queue: str = "default"
) -> list[Entry]:
    """Return entries ``<key>0``, ``<key>1`` … in their order."""
    return [Entry(f"{key or '-'}{at}", queue, priority, run_at + at * 1_000, key) for at in range(count)]


async def one_by_one(index: Index, count: int) -> list[str]:
    return [job_id for _ in range(count) for job_id in await pop_ids(index, ["default"], 1)]


async def test_keys_take_turns_however_many_each_has(index: Index) -> None:
    await index.push(line("a", 50, run_at=NOW - 2 * S), now=NOW)
    await index.push([*line("b", 2), *line("c", 3)], now=NOW)
    assert await one_by_one(index, 10) == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "c2", "a3", "a4"]
    assert (await index.sizes()).ready == 45


async def test_what_waits_may_get_another_limit_key(index: Index) -> None:
    for key in (None, "a", "b", None, "c"):
        await index.push([Entry("waits", "default", 5, NOW + S, key)], now=NOW)
    assert (await index.promote(NOW + S, 10)).moved >= 1
    assert set(await pop_ids(index, ["default"], 10)) == {"waits"}


async def test_jobs_without_a_key_stand_in_the_same_line(index: Index) -> None:
    await index.push([*line("a", 5), *line(None, 2, run_at=NOW - S + 500)], now=NOW)
    assert await one_by_one(index, 7) == ["a0", "-0", "-1", "a1", "a2", "a3", "a4"]


async def test_one_pop_shares_what_it_may_take_among_the_keys(index: Index) -> None:
    await index.push([*line("a", 100), *line("b", 100), *line("c", 4)], now=NOW)
    counts = Counter(job_id[0] for job_id in await pop_ids(index, ["default"], 60))
    assert counts == {"a": 20, "b": 20, "c": 4}
    assert len(await pop_ids(index, ["default"], MAX_POP)) == 160


async def test_priorities_come_first_inside_a_lane_and_between_lanes(index: Index) -> None:
    await index.push([*line("a", 2, priority=7), *line("b", 1, priority=5)], now=NOW)
    await index.push([Entry("urgent", "default", 0, NOW, "a"), *line(None, 1, priority=6)], now=NOW)
    assert await one_by_one(index, 5) == ["urgent", "b0", "-0", "a0", "a1"]


async def test_a_bound_for_each_key_holds_in_one_pop(index: Index) -> None:
    await index.push([*line("a", 10), *line("b", 10), *line(None, 3)], now=NOW)
    hints = await index.pop(["default"], 100, per_key={"default": 2, "other": 1})
    assert Counter(hint.id[0] for hint in hints) == {"a": 2, "b": 2, "-": 3}


async def test_a_bound_for_a_queue_holds_and_does_not_bind_the_others(index: Index) -> None:
    await index.push(
        [*line(None, 20, queue="slow"), *line(None, 20, queue="fast"), *line("k", 5, queue="fast")], now=NOW
    )
    first = await index.pop(["slow", "fast"], 100, most={"slow": 3})
    assert [hint.id for hint in first] == ["-0", "-1", "-2"]
    rest = await index.pop(["fast", "slow"], 100, most={"slow": 3})
    assert len(rest) == 25
    assert len(await index.pop(["fast", "slow"], 100, most={"slow": 4})) == 4


async def test_what_waits_comes_into_its_lane_when_it_is_due(index: Index) -> None:
    await index.push(
        [*line("a", 2, run_at=NOW + S), *line("b", 1, run_at=NOW + S), *line(None, 1, run_at=NOW + S)], now=NOW
    )
    await index.park(line("a", 1), until=NOW + 2 * S)
    assert await index.sizes() == Sizes(0, 4)
    assert await index.promote(NOW + S + 2_000, 100) == Promotion(3, NOW + 2 * S)
    assert sorted(await one_by_one(index, 3)) == ["-0", "a1", "b0"]
    assert await index.promote(NOW + 2 * S, 100) == Promotion(1, None)
    assert await one_by_one(index, 1) == ["a0"]
    assert await index.sizes() == Sizes(0, 0)


async def test_a_lane_that_is_held_is_not_come_to_until_it_is_freed(index: Index) -> None:
    await index.push([*line("a", 3), *line("b", 1)], now=NOW)
    await index.hold([A, C], until=NOW + 60 * S)
    await index.push(line("a", 4), now=NOW)
    assert await one_by_one(index, 1) == ["b0"]
    with trio.move_on_after(0.05) as scope:
        await index.pop(["default"], 10)
    assert scope.cancelled_caught
    assert await index.sizes() == Sizes(4, 0)
    assert await index.missing([*line("a", 5), *line("b", 1)]) == [line("a", 5)[4], *line("b", 1)]
    await index.free([A, B, C])
    assert await pop_ids(index, ["default"], 10) == ["a0", "a1", "a2", "a3"]


async def test_a_lane_that_is_held_comes_back_by_itself(index: Index) -> None:
    await index.push([*line("a", 2), *line(None, 1)], now=NOW)
    await index.hold([A], until=NOW + S)
    assert await index.promote(NOW + S - 1, 100) == Promotion(0, NOW + S)
    assert await index.promote(NOW + S, 100) == Promotion(1, None)
    assert sorted(await pop_ids(index, ["default"], 10)) == ["-0", "a0", "a1"]


async def test_freeing_wakes_whoever_waits(index: Index) -> None:
    await index.push(line("a", 2), now=NOW)
    await index.hold([A], until=NOW + 60 * S)
    popped: list[str] = []

    async def pop() -> None:
        popped.extend(await pop_ids(index, ["default"], 10))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pop)
        await wait_all_tasks_blocked(0.02)
        assert popped == []
        await index.free([A])
    assert popped == ["a0", "a1"]


async def test_a_lane_holds_entries_once_and_forgets_what_is_removed(index: Index) -> None:
    entries = line("a", 3)
    await index.push([*entries, *entries], now=NOW)
    await index.remove(entries[:2])
    assert await index.missing(entries) == entries[:2]
    assert await pop_ids(index, ["default"], 10) == ["a2"]
    await index.push(entries, now=NOW)
    await index.remove(entries)
    await index.push(line(None, 1), now=NOW)
    assert await pop_ids(index, ["default"], 10) == ["-0"]
    assert await index.sizes() == Sizes(0, 0)


async def test_the_turn_of_a_lane_that_is_empty_keeps_nobody_waiting(index: Index) -> None:
    gone = line("a", 1, run_at=NOW - 2 * S)
    await index.push([*gone, *line(None, 1)], now=NOW)
    await index.remove(gone)
    with trio.fail_after(2):
        assert [hint.id for hint in await index.pop(["default"], 10, most={"default": 1})] == ["-0"]


async def test_queues_with_the_same_key_have_lanes_of_their_own(index: Index) -> None:
    entries = [
        Entry(f"{q}.{k}", queue, 5, NOW, key)
        for q, queue in enumerate(("q", "q|x"))
        for k, key in enumerate(("k", "x|k", "k|5|z"))
    ]
    await index.push(entries[::2], now=NOW)
    await index.push([one._replace(run_at=NOW + 1) for one in entries[1::2]], now=NOW)
    await index.promote(NOW + S, 100)
    for queue in ("q", "q|x"):
        assert sorted(await pop_ids(index, [queue], 10)) == sorted(one.id for one in entries if one.queue == queue)


@pytest.mark.slow
async def test_a_lane_without_its_turn_is_found_missing_and_mended_by_pushing(redis_server_url: str) -> None:
    """A popper that died between the turn and the lane's jobs leaves such a lane."""
    from tickr.index.open import open_index
    from tickr.index.redis import RedisIndex

    async with open_index(f"{redis_server_url}?namespace=turnless") as index:
        assert isinstance(index, RedisIndex)
        entries = line("a", 2)
        await index.push(entries, now=NOW)
        await index._link.send(("ZREM", index._ready + "default", "|a"))
        assert await index.missing(entries) == entries
        await index.push(entries, now=NOW)
        assert await pop_ids(index, ["default"], 10) == ["a0", "a1"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32), keys=st.integers(1, 6))
def test_nobody_waits_for_more_than_one_turn_of_each_other_key(seed: int, keys: int) -> None:
    """Whatever comes in and goes out: between two turns of a key that has work, each other key has one at most."""
    dice = random.Random(seed)

    async def play() -> None:
        index, serial = HeapIndex(), 0
        left: Counter[str] = Counter()
        since: dict[str, Counter[str]] = {}
        for _ in range(120):
            if dice.random() < 0.5 or not left.total():
                key, count = f"k{dice.randrange(keys)}", dice.randint(1, 5)
                entries = [Entry(f"{key}.{serial + n}", "q", 5, NOW + serial, key) for n in range(count)]
                serial += count
                await index.push(entries, now=NOW + serial)
                if not left[key]:
                    since[key] = Counter()
                left[key] += count
            else:
                (hint,) = await index.pop(["q"], 1)
                key = hint.id.split(".")[0]
                for other, seen in since.items():
                    if other != key and left[other]:
                        seen[key] += 1
                        assert seen[key] <= 2, (other, key)
                since[key] = Counter()
                left[key] -= 1

    trio.run(play)
