"""The contract: schedules are put, looked at, changed and fired, each in one transaction with its jobs and events."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from tests.store.backends import SECOND, START, Backend, SteppedClock, end, new_id, start, told
from tickr.errors import ScheduleExists, ScheduleMismatch, ScheduleNotFound, TooManySchedules
from tickr.events import Event, ThingEvent
from tickr.jobs import Extras, NewJob, State
from tickr.missed import due
from tickr.schedule_moves import Delete, Fire, Pause, Put, Resume, Run
from tickr.schedules import Schedule
from tickr.store.contract import DuePlace, Store
from tickr.ticks import Timing

MINUTE = 60 * SECOND


def put(name: str = "nightly", **fields: Any) -> Put:
    job = fields.pop("job", NewJob(id="", type="mail", queue="mails", payload='{"to": 1.10}'))
    fields.setdefault("timing", Timing(every_us=MINUTE))
    return Put(name=name, job=job, given='{"type":"mail"}', **fields)


async def add(store: Store, name: str = "nightly", **fields: Any) -> Schedule:
    ((before, after, jobs),) = await store.move_schedules([put(name, **fields)])
    assert before is None
    assert after is not None
    assert not jobs
    return after


async def move(store: Store, one: Any) -> Schedule | None:
    ((_, after, _),) = await store.move_schedules([one])
    return after


def planned(schedule: Schedule, now: int) -> Fire:
    return due(schedule, now, new_id)


async def test_a_schedule_is_stored_as_it_was_put(store: Store) -> None:
    timing = Timing(cron="30 2 * * MON-FRI", timezone="Europe/Berlin")
    extras = Extras(traceparent="00-ab")
    job = NewJob(id="", type="mail", payload='{"é": "😀 \\\\ \'"}', labels='{"a":"b"}', limit_key="k", extras=extras)
    schedule = await add(store, timing=timing, job=job, missed="all", overlap="skip")
    assert (schedule.timing, schedule.job, schedule.missed, schedule.overlap) == (timing, job, "all", "skip")
    assert (schedule.version, schedule.created_at, schedule.given) == (1, START, '{"type":"mail"}')
    assert schedule.next_at is not None
    assert await store.schedule("nightly") == schedule
    assert await store.schedule("nightl") is None
    assert await store.schedule("Nightly") is None


async def test_it_is_there_after_a_restart(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        schedule = await add(store)
    async with durable_backend.open() as store:
        assert await store.schedule("nightly") == schedule
        assert (await store.due_schedules(10)).next_at == schedule.next_at


async def test_each_change_is_told_in_its_own_commit(store: Store, clock: SteppedClock) -> None:
    await add(store)
    clock.advance(1)
    moves = [
        put(missed="all"),
        put(missed="all"),
        Pause(name="nightly"),
        Resume(name="nightly"),
        Delete(name="nightly"),
    ]
    for one in moves:
        await store.move_schedules([one])
    commits = await told(store)
    names = ["created", "changed", "paused", "resumed", "deleted"]
    assert [[event.what for event in commit] for commit in commits] == [[f"schedule.{name}"] for name in names]
    events = [event for commit in commits for event in commit]
    assert len({event.id for event in events}) == len(events)
    for event in events:
        assert isinstance(event, ThingEvent)
        assert (event.name, event.time) == ("nightly", START if event is events[0] else START + SECOND)
    assert await store.schedule("nightly") is None


async def test_schedules_are_listed_by_name(store: Store) -> None:
    for name in ("b", "a:1", "B", "a", "a.b"):
        await add(store, name)
    names = [one.name for one in await store.schedules(10)]
    assert names == sorted(names) == ["B", "a", "a.b", "a:1", "b"]
    assert [one.name for one in await store.schedules(2)] == ["B", "a"]
    assert [one.name for one in await store.schedules(10, after="a")] == ["a.b", "a:1", "b"]
    assert await store.schedules(10, after="b") == []


async def test_what_cannot_be_done_changes_nothing(store: Store) -> None:
    before = await add(store)
    for error, one in (
        (ScheduleNotFound, Pause(name="other")),
        (ScheduleMismatch, Delete(name="nightly", version=7)),
        (ScheduleExists, put(only_new=True)),
    ):
        with pytest.raises(error):
            await store.move_schedules([one])
        with pytest.raises(error):
            await store.move_schedules([put("new"), one])
    assert await store.schedules(10) == [before]
    assert len(await told(store)) == 1


async def test_there_may_be_so_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("memory_schedules", "sqlite_schedules", "mysql_schedules"):
        monkeypatch.setattr(f"tickr.store.{module}.MAX_SCHEDULES", 3)
    for name in "abc":
        await add(store, name)
    with pytest.raises(TooManySchedules):
        await store.move_schedules([put("d")])
    assert await move(store, put("c", missed="all"))
    await store.move_schedules([Delete(name="a")])
    assert await add(store, "d")


async def test_who_is_due_comes_in_order_and_by_the_page(store: Store, clock: SteppedClock) -> None:
    for name, every in (("late", 1), ("b", 2), ("a", 2), ("paused", 2), ("later", 300)):
        await add(store, name, timing=Timing(every_us=every * MINUTE))
    await store.move_schedules([Pause(name="paused")])
    found = await store.due_schedules(10)
    assert (found.now, found.found, found.next_at) == (START, [], START + MINUTE)
    clock.advance(120)
    found = await store.due_schedules(10)
    assert [one.name for one in found.found] == ["late", "a", "b"]
    assert (found.now, found.next_at) == (clock.now, START + 300 * MINUTE)
    first = await store.due_schedules(2)
    assert [one.name for one in first.found] == ["late", "a"]
    rest = await store.due_schedules(2, DuePlace(START + 2 * MINUTE, "a"))
    assert [one.name for one in rest.found] == ["b"]
    assert (await store.due_schedules(2, DuePlace(START + 2 * MINUTE, "b"))).found == []


async def test_a_tick_makes_its_job_with_its_event_and_moves_on(store: Store, clock: SteppedClock) -> None:
    schedule = await add(store)
    clock.advance(60.5)
    plan = planned(schedule, clock.now)
    ((before, after, jobs),) = await store.move_schedules([plan])
    assert before == schedule
    assert after is not None
    assert (after.next_at, after.last_tick, after.last_job) == (START + 2 * MINUTE, START + MINUTE, jobs[0].id)
    (job,) = jobs
    assert await store.get(job.id) == job
    assert (job.type, job.queue, job.payload, job.state) == ("mail", "mails", '{"to": 1.10}', State.READY)
    assert (job.run_at, job.created_at, job.version) == (START + MINUTE, clock.now, 1)
    assert job.extras == Extras(schedule="nightly", tick=START + MINUTE)
    assert await store.schedule("nightly") == after
    assert "mails" in await store.queue_names()
    assert [entry.id for entry in await store.due(10)] == [job.id]
    *_, commit = await told(store)
    assert [(event.what, event.job) for event in commit] == [("created", job.id)]
    (claimed,) = await start(store, job)
    assert (await end(store, claimed, "succeeded")) is not None


async def test_a_tick_is_fired_once(store: Store, clock: SteppedClock) -> None:
    schedule = await add(store)
    clock.advance(60)
    plans = [planned(schedule, clock.now) for _ in range(3)]
    await store.move_schedules([plans[0]])
    for late in plans[1:]:
        ((before, after, jobs),) = await store.move_schedules([late])
        assert before == after == await store.schedule("nightly")
        assert jobs == []
    assert len(await told(store)) == 2


async def test_rivals_make_one_job_for_each_tick(store: Store, clock: SteppedClock) -> None:
    for name in "abcde":
        await add(store, name)
    clock.advance(60)
    found = (await store.due_schedules(10)).found
    made: list[str] = []

    async def rival(order: list[Schedule]) -> None:
        for answer in await store.move_schedules([planned(one, clock.now) for one in order]):
            made.extend(job.extras.schedule or "" for job in answer.jobs)

    async with trio.open_nursery() as nursery:
        for n in range(6):
            nursery.start_soon(rival, found[n % 5 :] + found[: n % 5])
    assert sorted(made) == list("abcde")


async def test_several_schedules_are_fired_in_one_commit(store: Store, clock: SteppedClock) -> None:
    schedules = [await add(store, name) for name in ("b", "a", "c")]
    await store.move_schedules([Pause(name="c")])
    clock.advance(60)
    answers = await store.move_schedules([planned(one, clock.now) for one in schedules])
    assert [len(answer.jobs) for answer in answers] == [1, 1, 0]
    assert [after.next_at if after else 0 for _, after, _ in answers] == [START + 2 * MINUTE] * 2 + [None]
    *_, commit = await told(store)
    assert [event.job for event in commit] == [answer.jobs[0].id for answer in answers[:2]]


async def test_a_tick_is_left_out_while_its_last_job_is_not_final(store: Store, clock: SteppedClock) -> None:
    schedule = await add(store, overlap="skip")
    for minute in (1, 2):
        clock.advance(60)
        schedule = await move(store, planned(schedule, clock.now)) or schedule
        assert schedule.overlapped == minute - 1
    *_, commit = await told(store)
    (event,) = commit
    assert isinstance(event, ThingEvent)
    data = msgspec.json.decode(event.data)
    assert (event.what, data["reason"], data["count"]) == ("schedule.skipped", "overlap", 1)
    job = await store.get(schedule.last_job or "")
    assert job is not None
    assert await end(store, (await start(store, job))[0], "succeeded")
    clock.advance(60)
    ((_, _, jobs),) = await store.move_schedules([planned(schedule, clock.now)])
    assert len(jobs) == 1


@pytest.mark.parametrize("state", ["running", "retrying", "gone"])
async def test_which_job_keeps_the_next_from_being_made(store: Store, clock: SteppedClock, state: str) -> None:
    schedule = await add(store, overlap="skip")
    clock.advance(60)
    ((_, after, (job,)),) = await store.move_schedules([planned(schedule, clock.now)])
    assert after is not None
    (claimed,) = await start(store, job)
    if state != "running":
        await end(store, claimed, "retried" if state == "retrying" else "failed")
    clock.advance(60)
    if state == "gone":
        await store.prune_jobs(State.FAILED, clock.now, 10)
        assert await store.get(job.id) is None
    ((_, _, jobs),) = await store.move_schedules([planned(after, clock.now)])
    assert len(jobs) == (1 if state == "gone" else 0)


async def test_what_was_missed_and_what_is_made_are_told_together(store: Store, clock: SteppedClock) -> None:
    schedule = await add(store, missed="once")
    clock.advance(5 * 60 + 1)
    ((_, _, (job,)),) = await store.move_schedules([planned(schedule, clock.now)])
    assert job.run_at == START + 5 * MINUTE
    *_, commit = await told(store)
    assert [type(event) for event in commit] == [Event, ThingEvent]
    assert [event.what for event in commit] == ["created", "schedule.skipped"]


async def test_very_many_ticks_with_long_payloads_are_one_transaction(store: Store, clock: SteppedClock) -> None:
    job = NewJob(id="", type="mail", payload=msgspec.json.encode("x\\'\"" * 15_000).decode(), labels='{"a":"b"}')
    schedule = await add(store, missed="all", job=job)
    clock.advance(50 * 60)
    ((_, after, jobs),) = await store.move_schedules([planned(schedule, clock.now)])
    assert len(jobs) == 50
    assert after is not None
    assert after.next_at == START + 51 * MINUTE
    assert await store.get(jobs[-1].id) == jobs[-1]
    *_, commit = await told(store)
    assert len(commit) == 50


async def test_a_run_makes_a_job_at_once(store: Store) -> None:
    schedule = await add(store)
    ((_, after, (job,)),) = await store.move_schedules([Run(name="nightly", job_id=new_id())])
    assert after == msgspec.structs.replace(schedule, last_job=job.id)
    assert (job.run_at, job.extras) == (START, Extras(schedule="nightly"))
    assert await store.get(job.id) == job
    ((_, _, jobs),) = await store.move_schedules([Run(name="nightly", job_id=job.id)])
    assert jobs == []


async def test_two_who_make_the_same_at_once_make_one(store: Store) -> None:
    made: list[bool] = []

    async def one() -> None:
        ((before, _, _),) = await store.move_schedules([put()])
        made.append(before is None)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(one)
    assert sorted(made) == [False] * 4 + [True]
    assert len(await told(store)) == 1
