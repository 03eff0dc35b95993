"""Blocks of statistics: what has not changed is not read again, and what has is never told as it was."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.store.backends import SECOND, end, new_job, put, put_running
from tests.store.test_contract_sums import add
from tickr.api import statistics_blocks
from tickr.api.statistics_blocks import STEPS, Block, Blocks
from tickr.api.statistics_query import StatisticsQuery
from tickr.store.contract import Span, SumPlace
from tickr.store.memory import MemoryStore
from tickr.tallies import Part, Step

MINUTE, HOUR = 60 * SECOND, 3_600 * SECOND
FIRST = Step.DAY.begin(1_900_000_000_000_000)


class Stepped:
    now = FIRST + 30 * SECOND

    def __call__(self) -> int:
        return self.now


class Read(MemoryStore):
    """A store that knows when the steps began of which sums were read."""

    def __init__(self, clock: Stepped) -> None:
        super().__init__(clock=clock)
        self.read: list[int] = []

    async def sums(self, which: Span, limit: int, after: SumPlace | None = None) -> list[tuple[SumPlace, Part]]:
        found = await super().sums(which, limit, after)
        self.read += [(place.at - FIRST) // MINUTE for place, _ in found]
        return found


def wish(minutes: int, by: Literal["queue", "type"] | None = None, since: int = 0) -> StatisticsQuery:
    return StatisticsQuery(Span(Step.MINUTE, FIRST + since * MINUTE, FIRST + minutes * MINUTE), by)


def created(blocks: list[Block], name: str = "") -> int:
    return sum(block.totals[name]["created"] for block in blocks if name in block.totals)


async def filled(minutes: int) -> tuple[Read, Stepped]:
    """Return a store in which one job was submitted in each of so many minutes."""
    clock = Stepped()
    store = Read(clock)
    for _ in range(minutes):
        await put(store, new_job("a" if clock.now // MINUTE % 2 else "b"))
        clock.now += MINUTE
    await add(store)
    return store, clock


async def test_what_has_not_changed_is_read_once() -> None:
    store, _ = await filled(150)
    blocks = Blocks(store)
    first = await blocks.read(wish(150), [])
    assert [len(block.weights) for block in first] == [60, 60, 30]
    assert created(first) == 150
    assert store.read == [*range(150)]
    store.read.clear()
    assert await blocks.read(wish(150), []) == first
    assert store.read == []


async def test_only_the_block_that_grew_is_read_again() -> None:
    store, clock = await filled(150)
    blocks = Blocks(store)
    await blocks.read(wish(300), [])
    store.read.clear()
    await put(store, new_job("a"), new_job("a"))  # in a new step
    await add(store)
    assert created(await blocks.read(wish(300), [])) == 152
    assert store.read == [*range(120, 151)]
    store.read.clear()
    clock.now = FIRST + 70 * MINUTE  # a commit that was late
    await put(store, new_job("a"))
    await add(store)
    assert created(await blocks.read(wish(300), [])) == 153
    assert sorted({*store.read}) == [*range(60, 120)]


async def test_a_span_that_begins_or_ends_within_a_block_holds_just_its_steps() -> None:
    store, _ = await filled(150)
    blocks = Blocks(store)
    assert created(await blocks.read(wish(150), [])) == 150
    assert created(await blocks.read(wish(130, since=20), [])) == 110
    assert created(await blocks.read(wish(59, since=58), [])) == 1
    assert created(await blocks.read(wish(150), [])) == 150
    assert await blocks.read(wish(400, since=300), []) == []
    store.read.clear()
    for query, count in ((wish(150), 150), (wish(130, since=20), 110), (wish(150), 150)):
        assert created(await blocks.read(query, [])) == count
    assert {*store.read} == {*range(120, 150)}  # the first block is kept as each of them had it


async def test_series_of_other_names_are_others() -> None:
    store, _ = await filled(120)
    blocks = Blocks(store)
    for names, counts in (([], (0, 0, 120)), (["a", "b"], (60, 60, 0)), (["b"], (0, 60, 60)), (["a"], (60, 0, 60))):
        found = await blocks.read(wish(120, "type"), names)
        assert tuple(created(found, name) for name in ("a", "b", "")) == counts
    assert created(await blocks.read(wish(120), [])) == 120
    only_a = wish(120)._replace(span=wish(120).span._replace(types=("a",)))
    assert created(await blocks.read(only_a, [])) == 60


async def test_sums_that_were_deleted_are_gone() -> None:
    store, _ = await filled(150)
    blocks = Blocks(store)
    await blocks.read(wish(150), [])
    assert await store.prune_sums(Step.MINUTE, FIRST + 70 * MINUTE, 500) == 70
    assert created(await blocks.read(wish(150), [])) == 80


async def test_blocks_that_are_made_twice_are_the_same() -> None:
    store, clock = await filled(3)
    await end(store, await put_running(store, "a"), "failed")
    clock.now += SECOND
    await add(store)
    kept, every = Blocks(store), wish(150, "type")
    before = await kept.read(every, ["a"])
    await kept.read(every, ["a"])
    assert await kept.read(every, ["a"]) == before == await Blocks(store).read(every, ["a"])


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = await filled(300)
    everything = await Blocks(store).read(wish(300), [])
    monkeypatch.setattr(statistics_blocks, "MOST_BYTES", sum(block.n_bytes for block in everything[:3]))
    blocks = Blocks(store)
    assert created(await blocks.read(wish(300), [])) == 300
    store.read.clear()
    assert created(await blocks.read(wish(300, since=180), [])) == 120  # the last ones are there
    assert store.read == []
    assert created(await blocks.read(wish(120), [])) == 120  # the first ones had to go
    assert store.read == [*range(120)]


async def test_names_that_were_asked_for_count_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    store, _ = await filled(1)
    monkeypatch.setattr(statistics_blocks, "MOST_BYTES", 100_000)
    blocks = Blocks(store)
    wishes = [
        wish(1)._replace(
            span=wish(1).span._replace(types=("a", "b", *(f"{'x' * 40}{n:04}" for n in range(at, at + 90))))
        )
        for at in range(20)
    ]
    for one in wishes:
        assert created(await blocks.read(one, [])) == 1
    store.read.clear()
    await blocks.read(wishes[-1], [])
    assert store.read == []
    await blocks.read(wishes[0], [])
    assert store.read == [0]


def test_a_block_is_a_round_time() -> None:
    assert [STEPS[step] * step.length_us for step in Step] == [HOUR, 24 * HOUR, 30 * 24 * HOUR]
