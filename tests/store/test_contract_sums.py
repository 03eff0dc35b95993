"""The contract, for sums of what was done: exact, once each, by minute, hour and day; and for marks."""

from __future__ import annotations

import pytest
import trio

from tests.store.backends import SECOND, START, SteppedClock, new_id, new_job, put, put_one, told
from tests.store.test_contract_tallies import live
from tests.tallied import counted, replay
from tickr.store import sums
from tickr.store.contract import Mark, Span, Store, SumPlace, Tallied
from tickr.store.sums import OTHERS, add_up
from tickr.tallies import Part, Step

EVER = 2**60
DAY = 86_400 * SECOND


async def add(store: Store, limit: int = 1000) -> int:
    """Add what is left to add. Returns how many rows."""
    await store.number_events()
    after, rows = await store.untallied(limit)
    if rows:
        assert await store.add_tallies(add_up(rows), after=after, upto=Tallied(rows[-1].seq, store.now_us()))
    return len(rows)


async def all_sums(store: Store, step: Step = Step.MINUTE, page: int = 1000, **wanted: tuple[str, ...]) -> list[Part]:
    return [part for _, part in await placed(store, step, page, **wanted)]


async def placed(
    store: Store, step: Step = Step.MINUTE, page: int = 1000, **wanted: tuple[str, ...]
) -> list[tuple[SumPlace, Part]]:
    found: list[tuple[SumPlace, Part]] = []
    while more := await store.sums(Span(step, 0, EVER, **wanted), page, found[-1][0] if found else None):
        found += more
    return found


@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_sums_are_what_the_feed_says(store: Store, clock: SteppedClock, limit: int) -> None:
    await live(store, clock)
    while await add(store, limit):
        pass
    log = [event for commit in await told(store) for event in commit]
    for step in Step:
        found = [(place.at, part) for place, part in await placed(store, step)]
        assert counted(found) == replay(log, step.length_us)
    assert len({place.at for place, _ in await placed(store)}) == 2


async def test_the_same_rows_are_added_once(store: Store) -> None:
    await put(store, new_job(), new_job())
    await store.number_events()
    after, rows = await store.untallied(10)
    upto = Tallied(rows[-1].seq, store.now_us())
    assert await store.add_tallies(add_up(rows), after=after, upto=upto)
    before = await all_sums(store)
    assert not await store.add_tallies(add_up(rows), after=after, upto=upto)
    assert await all_sums(store) == before
    assert [part["created"] for part in before] == [2]


async def test_of_several_who_add_one_does(store: Store) -> None:
    for _ in range(5):
        await put_one(store)
    took: list[bool] = []
    await store.number_events()
    after, rows = await store.untallied(10)

    async def try_to() -> None:
        took.append(await store.add_tallies(add_up(rows), after=after, upto=Tallied(rows[-1].seq, 0)))

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(try_to)
    assert sorted(took) == [False, False, False, True]
    assert [part["created"] for part in await all_sums(store)] == [5]


async def test_it_is_known_how_far_the_sums_go(store: Store, clock: SteppedClock) -> None:
    assert await store.tallied() == Tallied(0, START)
    await put_one(store)
    await put_one(store)
    await store.number_events()
    clock.advance(3)
    after, rows = await store.untallied(1)
    assert [(row.seq, row.created_at) for row in rows] == [(1, START)]
    assert await store.add_tallies(add_up(rows), after=after, upto=Tallied(1, START))
    assert await store.tallied() == Tallied(1, START)
    await add(store)
    clock.advance(5)
    assert await store.tallied() == Tallied(2, START + 8 * SECOND)


async def test_what_has_no_number_is_not_in_the_sums(store: Store, clock: SteppedClock) -> None:
    await put_one(store)
    await add(store)
    clock.advance(4)
    await put_one(store)
    clock.advance(4)
    if store.name == "mysql":
        assert (await store.untallied(10)).rows == []
    assert (await store.tallied()).at == START


async def test_sums_come_in_pages_of_some_queues_and_types(store: Store) -> None:
    names = [(queue, type) for queue in ("a", "B", "c") for type in ("x", "y:1", "Z/2")]
    await put(store, *(new_job(type, queue=queue) for queue, type in names))
    await add(store)
    whole = await placed(store)
    assert [(part.queue, part.type) for _, part in whole] == sorted(names)
    assert [(place.queue, place.type) for place, _ in whole] == sorted(names)
    for page in (1, 2, 4):
        assert await placed(store, page=page) == whole
    of_a = await all_sums(store, queues=("a", "none"))
    assert [(part.queue, part.type) for part in of_a] == [("a", "Z/2"), ("a", "x"), ("a", "y:1")]
    both = await all_sums(store, page=1, queues=("a", "c"), types=("x",))
    assert [(part.queue, part.type) for part in both] == [("a", "x"), ("c", "x")]
    assert await all_sums(store, queues=("A",)) == []


async def test_pages_of_several_steps_follow_each_other(store: Store, clock: SteppedClock) -> None:
    for _ in range(3):
        await put(store, *(new_job(type) for type in "xyz"))
        clock.advance(60)
    await add(store)
    whole = await placed(store)
    assert len(whole) == 9
    for page in (1, 2, 5):
        assert await placed(store, page=page) == whole
    first = Step.MINUTE.begin(START)
    some = await store.sums(Span(Step.MINUTE, first + 60 * SECOND, first + 120 * SECOND), 100)
    assert some == whole[3:6]


async def test_the_busiest_come_first(store: Store) -> None:
    counts = {"a": 1, "b": 3, "c": 2, "d": 2}
    await put(store, *(new_job("x", queue=queue) for queue, count in counts.items() for _ in range(count)))
    await put_one(store, "y", queue="a")
    await add(store)
    span = Span(Step.HOUR, 0, EVER)
    assert await store.busiest(span, "queue", 10) == ["b", "a", "c", "d"]
    assert await store.busiest(span, "queue", 2) == ["b", "a"]
    assert await store.busiest(span, "type", 10) == ["x", "y"]
    assert await store.busiest(span._replace(queues=("a", "d")), "queue", 10) == ["a", "d"]
    assert await store.busiest(span._replace(types=("y",)), "queue", 10) == ["a"]
    assert await store.busiest(span._replace(until=1), "queue", 10) == []


async def test_each_step_says_how_much_it_counts(store: Store, clock: SteppedClock) -> None:
    first, every = Step.MINUTE.begin(START), Span(Step.MINUTE, 0, EVER)
    await put(store, *(new_job("x", queue=queue) for queue in ("a", "a", "b")))
    await add(store)
    assert await store.weights(every) == [(first, 3)]
    clock.now += 120 * SECOND
    await put(store, new_job("y", queue="a"))
    await add(store)
    await put(store, new_job("x", queue="b"))
    await add(store)
    assert await store.weights(every) == [(first, 3), (first + 120 * SECOND, 2)]
    assert await store.weights(every._replace(queues=("a",))) == [(first, 2), (first + 120 * SECOND, 1)]
    assert await store.weights(every._replace(types=("y",))) == [(first + 120 * SECOND, 1)]
    assert await store.weights(every._replace(until=first + 1)) == [(first, 3)]
    assert await store.weights(every._replace(since=first + 1, until=first + 2)) == []
    assert await store.weights(every._replace(step=Step.DAY)) == [(Step.DAY.begin(START), 5)]


async def test_too_many_pairs_are_summed_up_together(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MAX_PAIRS", 3)
    await put(store, *(new_job("x", queue=f"q{n}") for n in range(5)))
    await add(store)
    await put(store, *(new_job("x", queue=f"q{n}") for n in range(7)))
    await add(store)
    found = {(part.queue, part.type): part["created"] for part in await all_sums(store)}
    assert found == {("q0", "x"): 2, ("q1", "x"): 2, ("q2", "x"): 2, OTHERS: 6}
    assert await store.busiest(Span(Step.DAY, 0, EVER), "queue", 10) == ["q0", "q1", "q2"]


async def test_old_sums_are_deleted_by_step(store: Store, clock: SteppedClock) -> None:
    for _ in range(4):
        await put(store, new_job("x"), new_job("y"))
        clock.advance(60)
    await add(store)
    before = Step.MINUTE.begin(START) + 120 * SECOND
    assert await store.prune_sums(Step.MINUTE, before, 3) == 3
    assert await store.prune_sums(Step.MINUTE, before, 3) == 1
    assert await store.prune_sums(Step.MINUTE, before, 3) == 0
    assert [place.at for place, _ in await placed(store)] == [before] * 2 + [before + 60 * SECOND] * 2
    assert [part["created"] for part in await all_sums(store, Step.HOUR)] == [4, 4]


async def test_rows_that_are_not_in_the_sums_are_kept_when_asked(store: Store, clock: SteppedClock) -> None:
    for _ in range(3):
        await put_one(store)
    await store.number_events()
    clock.advance(10)
    assert await store.prune_events(clock(), 10, upto=0) == 0
    assert await store.prune_events(clock(), 10, upto=2) == 2
    assert (await store.feed_state()).oldest == 3
    assert await store.prune_events(clock(), 10, upto=2) == 0


# -- marks ------------------------------------------------------------------------------------------------------------


async def test_marks_are_kept_once_and_in_order(store: Store) -> None:
    later, sooner = Mark(new_id(), START + 5, "v1.2 é"), Mark(new_id(), START - 5, "v1.1")
    assert await store.make_mark(later) == (later, True)
    assert await store.make_mark(sooner) == (sooner, True)
    assert await store.make_mark(later._replace(text="other", at=1)) == (later, False)
    assert await store.marks(0, EVER, 10) == [sooner, later]
    assert await store.marks(0, EVER, 1) == [later]
    assert await store.marks(START - 5, START + 5, 10) == [sooner]
    assert await store.drop_mark(sooner.id)
    assert not await store.drop_mark(sooner.id)
    assert await store.marks(0, EVER, 10) == [later]


async def test_only_the_last_marks_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "MAX_MARKS", 3)
    marks = [Mark(new_id(), START + n, str(n)) for n in range(5)]
    for mark in [*marks[1:], marks[0]]:
        await store.make_mark(mark)
    assert await store.marks(0, EVER, 10) == marks[2:]
