"""The contract: operations begin, go on step by step and end, each step one transaction with what it does to jobs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from tests.store.backends import (
    SECOND,
    START,
    Backend,
    SteppedClock,
    end,
    new_id,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tests.store.keyed import unique_job
from tickr.edits import Edit
from tickr.errors import OperationExists, OperationNotFound, TooManyOperations
from tickr.events import Event, ThingEvent
from tickr.filters import EVERYTHING, Filter
from tickr.jobs import Job, State
from tickr.operation_moves import Begin, Step, Stop
from tickr.operations import CANCELLABLE, MAX_RUNNING, Operation, filtered
from tickr.retry import Backoff
from tickr.store.answers import place_of
from tickr.store.contract import Store

FAILED = Filter(states=(State.FAILED,))


def an_operation(action: Any = "retry", which: Filter = EVERYTHING, **fields: Any) -> Operation:
    fields.setdefault("id", new_id())
    return Operation(action=action, which=filtered(action, which), **fields)


async def begin(store: Store, action: Any = "retry", which: Filter = EVERYTHING, **fields: Any) -> Operation:
    (before, after, changes) = await store.move_operation(Begin(an_operation(action, which, **fields)))
    assert before is None
    assert after is not None
    assert changes == []
    return after


def step(operation: Operation, *jobs: Job, last: bool = False) -> Step:
    cursor = place_of(jobs[-1]) if jobs else operation.cursor
    return Step(operation.id, operation.version, tuple(job.id for job in jobs), cursor, last)


async def go(store: Store, operation: Operation, *jobs: Job, last: bool = False) -> tuple[Operation, list[Job]]:
    moved = await store.move_operation(step(operation, *jobs, last=last))
    assert moved.after is not None
    return moved.after, moved.jobs


async def look(store: Store, job: Job) -> Job:
    found = await store.get(job.id)
    assert found is not None
    return found


# -- the operation itself ---------------------------------------------------------------------------------------------


async def test_it_is_stored_as_it_was_begun(store: Store, clock: SteppedClock) -> None:
    clock.advance(3)
    which = Filter(types=("é",), labels=(("a", None), ("b", "'\\")), errors=("timeout",), created_before=7)
    edit = Edit(payload='{"n": 1.10}', queue="other", backoff=Backoff(kind="constant", base=1.0), run_at=9)
    begun = await begin(store, which=which, edit=edit, rate=0.5, total=7, exact=False)
    assert (begun.created_at, begun.due_at, begun.state, begun.version) == (clock(), clock(), "running", 1)
    assert (begun.edit, begun.rate, begun.total, begun.exact) == (edit, 0.5, 7, False)
    assert begun.which == msgspec.structs.replace(which, states=(State.FAILED,))
    assert await store.operation(begun.id) == begun
    assert await store.operation(new_id()) is None
    due = await store.due_operations(10)
    assert (due.now, due.found, due.next_at) == (clock(), [begun], None)


async def test_it_is_there_after_a_restart(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        begun = await begin(store)
    async with durable_backend.open() as store:
        assert (await store.due_operations(10)).found == [begun]


async def test_the_same_once_more_is_the_one_that_is_there(store: Store, clock: SteppedClock) -> None:
    one = an_operation(which=Filter(types=("mail",)))
    begun = (await store.move_operation(Begin(one))).after
    clock.advance(1)
    assert await store.move_operation(Begin(one)) == (begun, begun, [])
    with pytest.raises(OperationExists):
        await store.move_operation(Begin(msgspec.structs.replace(one, which=FAILED)))
    assert await store.operations(10) == [begun]
    assert len(await told(store)) == 1


async def test_only_so_many_run_at_a_time(store: Store) -> None:
    running = [await begin(store) for _ in range(MAX_RUNNING)]
    with pytest.raises(TooManyOperations):
        await begin(store)
    await store.move_operation(Stop(running[3].id))
    await begin(store)
    assert len(await store.operations(100)) == MAX_RUNNING + 1


async def test_they_are_listed_the_largest_id_first(store: Store) -> None:
    ids = sorted([(await begin(store)).id for _ in range(5)], reverse=True)
    assert [one.id for one in await store.operations(3)] == ids[:3]
    assert [one.id for one in await store.operations(10, before=ids[2])] == ids[3:]


async def test_a_stop_is_for_good(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED)
    begun = await begin(store)
    clock.advance(1)
    stopped = (await store.move_operation(Stop(begun.id))).after
    assert stopped is not None
    assert (stopped.state, stopped.finished_at, stopped.due_at) == ("stopped", clock(), None)
    assert await store.move_operation(Stop(begun.id)) == (stopped, stopped, [])
    assert await store.move_operation(step(begun, job)) == (stopped, stopped, [])
    assert (await look(store, job)).state is State.FAILED
    with pytest.raises(OperationNotFound):
        await store.move_operation(Stop(new_id()))
    names = [event.what for commit in (await told(store))[-2:] for event in commit]
    assert names == ["operation.started", "operation.stopped"]


async def test_what_ended_long_ago_is_pruned_and_what_is_too_much(store: Store, clock: SteppedClock) -> None:
    ended = []
    for _ in range(5):
        ended.append((await begin(store)).id)
        await store.move_operation(Stop(ended[-1]))
        clock.advance(10)
    running = await begin(store)
    assert await store.prune_operations(START, 5, 10) == 0
    assert await store.prune_operations(START + 15 * SECOND, 5, 1) == 1
    assert await store.prune_operations(START + 15 * SECOND, 5, 10) == 1
    assert await store.prune_operations(START, 2, 10) == 1
    assert {one.id for one in await store.operations(10)} == {*ended[3:], running.id}


# -- steps ------------------------------------------------------------------------------------------------------------


async def test_a_step_retries_its_jobs_and_moves_the_place_on(store: Store, clock: SteppedClock) -> None:
    jobs = [await put_final(store, State.FAILED) for _ in range(3)]
    begun = await begin(store, rate=2)
    clock.advance(1)
    after, changed = await go(store, begun, *jobs[:2])
    assert sorted(job.id for job in changed) == sorted(job.id for job in jobs[:2])
    assert {(job.state, job.run_at, job.attempt) for job in changed} == {(State.READY, clock(), 0)}
    assert [job.extras.redrives[-1].operation for job in changed] == [begun.id] * 2
    assert (after.done, after.skipped, after.cursor, after.version) == (2, 0, place_of(jobs[1]), 2)
    assert after.due_at == begun.created_at + SECOND
    assert await store.operation(begun.id) == after
    assert (await look(store, jobs[2])).state is State.FAILED


async def test_of_two_that_make_the_same_step_one_does(store: Store, clock: SteppedClock) -> None:
    jobs = [await put_final(store, State.FAILED) for _ in range(4)]
    begun = await begin(store)
    answers: list[list[Job]] = []

    async def one() -> None:
        answers.append((await go(store, begun, *jobs))[1])

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(one)
    assert sorted(map(len, answers)) == [0, 0, 4]
    found = await store.operation(begun.id)
    assert found is not None
    assert (found.done, found.version) == (4, 2)
    for job in jobs:
        assert (await told_of(store, job)).count("redriven") == 1


async def test_no_step_comes_early(store: Store, clock: SteppedClock) -> None:
    jobs = [await put_final(store, State.FAILED) for _ in range(3)]
    begun = await begin(store, rate=1)
    after, _ = await go(store, begun, *jobs[:2])
    assert after.due_at == clock() + 2 * SECOND
    clock.advance(1.9)
    assert await go(store, after, jobs[2]) == (after, [])
    found = await store.due_operations(10)
    assert (found.found, found.next_at) == ([], after.due_at)
    clock.advance(0.1)
    assert len((await go(store, after, jobs[2]))[1]) == 1


async def test_time_that_was_lost_is_made_up_for_only_a_little(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED)
    begun = await begin(store, rate=1)
    clock.advance(3600)
    after, _ = await go(store, begun, job)
    assert after.due_at == clock()


async def test_what_came_into_the_filter_later_is_not_touched(store: Store, clock: SteppedClock) -> None:
    before, still_running = await put_final(store, State.FAILED), await put_running(store)
    clock.advance(1)
    begun = await begin(store)
    clock.advance(1)
    failed_later = await end(store, still_running, "failed")
    assert failed_later is not None
    new = await put_final(store, State.FAILED)
    after, changed = await go(store, begun, new, failed_later, before, last=True)
    assert [job.id for job in changed] == [before.id]
    assert (after.done, after.skipped, after.state) == (1, 2, "done")


async def test_one_that_fails_again_is_not_retried_again(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED, max_attempts=1)
    begun = await begin(store)
    clock.advance(1)
    after, (again,) = await go(store, begun, job)
    clock.advance(1)
    (running,) = await start(store, again)
    await end(store, running, "failed")
    after, changed = await go(store, after, job)
    assert (changed, after.done, after.skipped) == ([], 1, 1)


async def test_a_step_cancels_what_waits_and_asks_what_runs_to_stop(store: Store, clock: SteppedClock) -> None:
    waiting, running, over = await put_one(store), await put_running(store), await put_final(store, State.SUCCEEDED)
    later = await put_one(store, delay_us=60 * SECOND)
    begun = await begin(store, "cancel", reason="a bad deploy")
    assert begun.which.states == CANCELLABLE
    after, changed = await go(store, begun, waiting, running, over, later, last=True)
    assert (after.done, after.skipped) == (3, 1)
    assert {job.id: job.state for job in changed} == {
        waiting.id: State.CANCELLED,
        running.id: State.RUNNING,
        later.id: State.CANCELLED,
    }
    cancelled, asked = await look(store, waiting), await look(store, running)
    assert cancelled.error is not None
    assert cancelled.error.message == "Cancelled on request: a bad deploy"
    assert asked.cancel_requested
    assert (await look(store, over)).state is State.SUCCEEDED


async def test_only_running_ones_that_ran_before(store: Store, clock: SteppedClock) -> None:
    waiting, running = await put_one(store), await put_running(store)
    begun = await begin(store, "cancel", Filter(states=(State.RUNNING,)))
    clock.advance(1)
    (started,) = await start(store, waiting)
    _, changed = await go(store, begun, started, running)
    assert [job.id for job in changed] == [running.id]


async def test_an_edit_is_made_with_each(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED, payload='{"a": 1}', labels='{"l":"1"}')
    edit = Edit(queue="repaired", priority=1, max_attempts=9, timeout_us=5, labels="{}", delay_us=SECOND)
    begun = await begin(store, edit=edit)
    _, (again,) = await go(store, begun, job)
    assert again == await look(store, job)
    assert (again.queue, again.priority, again.max_attempts, again.timeout_us) == ("repaired", 1, 9, 5)
    assert (again.labels, again.payload, again.run_at) == (None, '{"a": 1}', clock() + SECOND)
    assert "repaired" in await store.queue_names()


async def test_those_that_need_a_unique_key_get_it_back_or_are_skipped(store: Store) -> None:
    jobs = []
    for _ in range(2):  # one after the other had the key, both failed
        ((job, _),) = await store.insert([unique_job("k")])
        (running,) = await start(store, job)
        jobs.append(await end(store, running, "failed"))
    plain = await put_final(store, State.FAILED)
    first, second = jobs
    assert first is not None
    assert second is not None
    begun = await begin(store)
    after, changed = await go(store, begun, first, second, plain)
    assert [job.id for job in changed] == [first.id, plain.id]
    assert (after.done, after.skipped) == (2, 1)
    held = first.extras.unique
    assert held is not None
    holder = await store.holder(held)
    assert holder is not None
    assert holder.id == first.id


async def test_what_is_told(store: Store, clock: SteppedClock) -> None:
    jobs = [await put_final(store, State.FAILED) for _ in range(3)]
    begun = await begin(store, rate=100, total=3)
    past = len(await told(store)) - 1
    after, _ = await go(store, begun, jobs[0])
    clock.advance(1)
    after, _ = await go(store, after, jobs[1])
    clock.advance(1)
    after, _ = await go(store, after, jobs[2], last=True)
    events = [event for commit in (await told(store))[past:] for event in commit]
    assert [event.what for event in events] == [
        "operation.started",
        "redriven",
        *("redriven", "operation.progress"),
        *("redriven", "operation.done"),
    ]
    assert len({event.id for event in events}) == len(events)
    last = events[-1]
    assert isinstance(last, ThingEvent)
    summary = msgspec.json.decode(last.data)["operation"]
    assert (last.name, summary["done"], summary["total"], summary["state"]) == (begun.id, 3, 3, "done")


# -- edit and retry ---------------------------------------------------------------------------------------------------


async def test_a_job_is_edited_as_it_is_started_over(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED, payload='{"to": "nobody"}', queue="mail", labels='{"a":"b"}')
    clock.advance(5)
    again = await store.redrive(job.id, edit=Edit(payload='{"to": "é \'\\\\ 1.10"}', queue="new", priority=5))
    assert again == await look(store, job)
    assert (again.payload, again.queue, again.labels) == ('{"to": "é \'\\\\ 1.10"}', "new", '{"a":"b"}')
    (redrive,) = again.extras.redrives
    assert (redrive.life, redrive.at, redrive.fence, redrive.changed) == (2, clock(), 1, ("payload", "queue"))
    assert await store.queue_names() == ["mail", "new"]
    event = (await told(store))[-1][0]
    assert isinstance(event, Event)
    assert (event.what, event.changed, event.queue) == ("redriven", ["payload", "queue"], "new")
    (running,) = await start(store, again)
    assert (running.payload, running.attempt, running.fence) == (again.payload, 1, 2)


async def test_a_retry_without_an_edit_changes_nothing_else(store: Store) -> None:
    job = await put_final(store, State.FAILED, payload='{"to": "nobody"}')
    again = await store.redrive(job.id)
    assert (again.payload, again.extras.redrives[-1].changed) == (job.payload, ())
    event = (await told(store))[-1][0]
    assert isinstance(event, Event)
    assert (event.message, event.changed) == (None, [])


# -- how many ---------------------------------------------------------------------------------------------------------


async def test_a_tally_has_groups_and_tells_where_there_may_be_more(store: Store, clock: SteppedClock) -> None:
    for n in range(3):
        await put_final(store, State.FAILED, type="a")
        await put_final(store, State.FAILED, type="b", queue=f"q{n}")
    await put_final(store, State.CANCELLED)
    first = clock()
    clock.advance(1)
    last = await put_final(store, State.FAILED, type="b")
    found = await store.tally(FAILED)
    assert [(one.state, one.type, one.error, one.count) for one in found.groups] == [
        ("failed", "b", "exception", 4),
        ("failed", "a", "exception", 3),
    ]
    assert (found.total, found.exact, found.groups[0].newest_at) == (7, True, clock())
    assert [(one.oldest_at, one.newest_at) for one in found.groups] == [(first, last.finished_at), (first, first)]
    assert (await store.tally(FAILED, most=7)).exact
    part = await store.tally(FAILED, most=6)
    assert (part.total, part.exact) == (6, False)
    only = Filter(states=(State.FAILED,), types=("b",), queues=("q1", "q2", "none"))
    assert (await store.tally(only)).total == 2


async def test_a_tally_tells_what_is_due_from_what_is_not(store: Store) -> None:
    await put(store, new_job(), new_job(), new_job(delay_us=60 * SECOND))
    found = await store.tally(Filter(states=CANCELLABLE))
    assert [(one.state, one.error, one.count) for one in found.groups] == [("ready", None, 2), ("scheduled", None, 1)]
    assert (await store.tally(Filter(states=(State.SCHEDULED,)))).total == 1


async def test_jobs_are_found_by_error_and_time(store: Store, clock: SteppedClock) -> None:
    first = await put_final(store, State.FAILED)
    clock.advance(10)
    second = await put_final(store, State.CANCELLED)
    waiting = await put_one(store)

    async def found(**fields: Any) -> set[str]:
        which = Filter(**fields)
        page = await store.list_jobs(which, limit=10)
        with_states = msgspec.structs.replace(which, states=which.states or tuple(State))
        assert (await store.tally(with_states)).total == len(page.jobs)
        return {job.id for job in page.jobs}

    middle = START + 5 * SECOND
    assert await found(errors=("exception",)) == {first.id, second.id}
    assert await found(errors=("none", "exception"), states=(State.FAILED,)) == {first.id}
    assert await found(errors=("none",)) == set()
    assert await found(created_before=middle) == {first.id}
    assert await found(created_after=middle) == {second.id, waiting.id}
    assert await found(created_after=START + 10 * SECOND) == {second.id, waiting.id}
    assert await found(created_before=START + 10 * SECOND) == {first.id}
    assert await found(finished_before=middle) == {first.id}
    assert await found(finished_after=middle) == {second.id}
    assert await found(finished_after=START, finished_before=START + 10 * SECOND) == {first.id}
