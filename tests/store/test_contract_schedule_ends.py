"""The contract: a schedule ends in the transaction of its last tick, and code that is declared is put once."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
import trio

from tests.store.backends import SECOND, START, Backend, SteppedClock, new_id, told
from tickr.errors import TooManySchedules
from tickr.events import ThingEvent
from tickr.jobs import NewJob
from tickr.missed import due
from tickr.schedule_moves import Declare, Delete, Pause, Put, Resume
from tickr.schedules import Schedule
from tickr.store.contract import Node, Store
from tickr.ticks import Timing

MINUTE = 60 * SECOND


def put(**fields: Any) -> Put:
    wish = {"name": "s", "timing": Timing(every_us=MINUTE), "job": NewJob(id="", type="mail"), "given": "{}"}
    return Put(**(wish | fields))


def declare(mark: str, over: str | None = None, **fields: Any) -> Declare:
    return Declare(**msgspec.structs.asdict(put(**fields)), mark=mark, over=over)


async def move(store: Store, one: Any) -> Schedule:
    ((_, after, _),) = await store.move_schedules([one])
    assert after is not None
    return after


async def events(store: Store) -> list[list[str]]:
    return [[event.what for event in commit] for commit in await told(store)]


# -- its end ----------------------------------------------------------------------------------------------------------


async def test_the_last_tick_makes_its_job_and_ends_the_schedule_in_one_commit(
    store: Store, clock: SteppedClock
) -> None:
    schedule = await move(store, put(times=2, missed="all"))
    clock.advance(60 * 5)
    ((_, after, jobs),) = await store.move_schedules([due(schedule, clock.now, new_id)])
    assert after is not None
    assert (after.fired, after.ended, after.next_at, after.last_tick) == (2, "times", None, START + 2 * MINUTE)
    assert [job.run_at for job in jobs] == [START + MINUTE, START + 2 * MINUTE]
    assert await store.schedule("s") == after
    assert await store.schedules(10) == [after]
    found = await store.due_schedules(10)
    assert (found.found, found.next_at) == ([], None)
    *_, last = await told(store)
    assert [event.what for event in last] == ["created", "created", "schedule.ended"]
    assert isinstance(last[-1], ThingEvent)
    assert msgspec.json.decode(last[-1].data)["schedule"]["ended"] == "times"


async def test_what_has_ended_is_so_after_a_restart(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        wish = put(times=7, end_at=START - 1, timing=Timing(cron="@daily", start_now=True))
        schedule = await move(store, wish)
        assert (schedule.ended, schedule.times, schedule.timing) == ("end_at", 7, wish.timing)
    async with durable_backend.open() as store:
        assert await store.schedule("s") == schedule
        assert (await store.due_schedules(10)).next_at is None


async def test_rivals_make_so_many_jobs_and_no_more(store: Store, clock: SteppedClock) -> None:
    await move(store, put(times=7, missed="all", timing=Timing(every_us=SECOND)))
    made: list[int] = []

    async def rival() -> None:
        while (schedule := await store.schedule("s")) is not None and schedule.next_at is not None:
            clock.advance(0.4)
            if schedule.next_at <= clock.now:
                for answer in await store.move_schedules([due(schedule, clock.now, new_id)]):
                    made.extend(job.extras.tick or 0 for job in answer.jobs)

    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(rival)
    assert sorted(made) == [START + n * SECOND for n in range(1, 8)]
    assert list(itertools.chain(*await events(store))).count("schedule.ended") == 1


async def test_with_another_end_it_goes_on(store: Store, clock: SteppedClock) -> None:
    await move(store, put(end_at=START))
    clock.advance(90)
    after = await move(store, put(end_at=START + 3 * MINUTE))
    assert (after.ended, after.next_at) == (None, START + 2 * MINUTE)
    assert (await store.due_schedules(10)).next_at == START + 2 * MINUTE
    assert await events(store) == [["schedule.created", "schedule.ended"], ["schedule.changed"]]


async def test_the_first_tick_at_once_is_due_when_it_is_put(store: Store, clock: SteppedClock) -> None:
    schedule = await move(store, put(timing=Timing(cron="@yearly", start_now=True)))
    assert [one.name for one in (await store.due_schedules(10)).found] == ["s"]
    ((_, after, (job,)),) = await store.move_schedules([due(schedule, clock.now, new_id)])
    assert (job.run_at, job.extras.tick) == (START, START)
    assert after is not None
    assert after.next_at is not None
    assert after.next_at > START


# -- declared ---------------------------------------------------------------------------------------------------------


async def test_what_is_declared_is_put_with_its_mark(store: Store) -> None:
    made = await move(store, declare("a", missed="all"))
    assert (made.declared, made.missed, made.version) == (("a",), "all", 1)
    again = await move(store, declare("a", "a", missed="all"))
    assert again == made == await store.schedule("s")
    changed = await move(store, declare("b", "a"))
    assert (changed.declared, changed.missed, changed.version) == (("a", "b"), "once", 2)
    back = await move(store, declare("a", "b", missed="all"))
    assert (back.declared, back.version) == (("b", "a"), 3)
    assert await events(store) == [["schedule.created"], ["schedule.changed"], ["schedule.changed"]]


async def test_what_says_the_same_in_other_words_makes_no_event(store: Store) -> None:
    made = await move(store, put())
    taken_over = await move(store, declare("a"))
    assert taken_over == msgspec.structs.replace(made, declared=("a",)) == await store.schedule("s")
    assert await events(store) == [["schedule.created"]]


async def test_who_declares_over_what_does_not_count_any_more_changes_nothing(store: Store) -> None:
    await move(store, declare("a"))
    counts = await move(store, declare("b", "a", missed="all"))
    for late in (declare("a", "a"), declare("c", None), declare("c", "x")):
        assert await move(store, late) == counts


async def test_changes_by_hand_keep_what_was_declared(store: Store) -> None:
    await move(store, declare("a"))
    for one in (put(missed="skip"), Pause(name="s"), Resume(name="s")):
        assert (await move(store, one)).declared == ("a",)
    assert (await move(store, declare("b", "a"))).missed == "once"
    await store.move_schedules([Delete(name="s")])
    assert (await move(store, declare("b", "b"))).declared == ("b",)


async def test_marks_are_not_kept_for_ever(store: Store) -> None:
    for number in range(30):
        await move(store, declare(f"m{number}", f"m{number - 1}" if number else None))
    schedule = await store.schedule("s")
    assert schedule is not None
    assert schedule.declared == tuple(f"m{number}" for number in range(10, 30))


async def test_there_may_be_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory_schedules", "sqlite_schedules", "mysql_schedules"):
        monkeypatch.setattr(f"tickr.store.{module}.MAX_SCHEDULES", 1)
    await move(store, declare("a"))
    with pytest.raises(TooManySchedules):
        await move(store, declare("b", name="other"))


async def test_several_who_declare_the_same_at_once_make_one(store: Store) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(move, store, declare("a"))
    assert await events(store) == [["schedule.created"]]


async def test_a_node_says_what_its_code_declares(store: Store) -> None:
    await store.register(Node(id=new_id(), host="h", pid=1, version="1", declared=("a", "b")), lease_s=15)
    assert [node.declared for node in await store.nodes()] == [("a", "b")]
