"""The contract: sequences, whose jobs run one after the other in the order in which they were submitted."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from msgspec import structs

from tests.store.backends import SECOND, SteppedClock, assert_lawful, end, join, new_id, new_job, put, start, told
from tests.store.keyed import request, unique_job
from tests.store.linked import dependent, finish, in_turn, look, settle, states
from tickr.filters import EVERYTHING
from tickr.jobs import Extras, Job, NewJob, State
from tickr.keys import Wish
from tickr.links import Kind, Link, Sequence
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation, filtered
from tickr.store.contract import Fate, Keyed, Start, Store
from tickr.store.links import MAX_SETTLED

LONG = 1_000_000 * SECOND


async def line(store: Store, count: int, **fields: Any) -> list[Job]:
    """Put so many jobs into a sequence, one after the other."""
    return [(await put(store, in_turn(**fields)))[0] for _ in range(count)]


async def one_by_one(store: Store, jobs: list[Job]) -> None:
    """See that just the first of ``jobs`` may start, then the next when it has ended, and so on; end them."""
    for at, job in enumerate(jobs):
        assert await states(store, *jobs[at:]) == ["ready"] + ["blocked"] * (len(jobs) - at - 1)
        await finish(store, job)
        await settle(store, job)
    assert (await look(store)).looked_at == 0


async def test_each_waits_for_the_one_before_it(store: Store) -> None:
    jobs = await line(store, 4)
    assert [job.extras.sequence for job in jobs] == [
        Sequence("s", before.id if before else None) for before in (None, *jobs[:-1])
    ]
    assert await store.waits_of(jobs[2].id) == [Link(jobs[1].id, jobs[2].id, Kind.SEQUENCE)]
    assert await store.waits_of(jobs[0].id) == []
    await one_by_one(store, jobs)
    assert_lawful(await told(store))
    (again,) = await line(store, 1)
    assert (again.state, again.extras.sequence) == (State.READY, Sequence("s"))


async def test_sequences_have_nothing_to_do_with_each_other_nor_with_queues(store: Store) -> None:
    one, other = await put(store, in_turn("a", queue="q"), in_turn("b", queue="q"))
    (next_,) = await put(store, in_turn("a", queue="elsewhere", priority=0))
    assert (one.state, other.state, next_.state) == (State.READY, State.READY, State.BLOCKED)


@pytest.mark.parametrize("whole", [True, False])
async def test_jobs_of_one_batch_are_in_its_order(store: Store, whole: bool) -> None:
    jobs = [job for job, _ in await store.insert([in_turn() for _ in range(5)], whole=whole)]
    await one_by_one(store, jobs)


async def test_a_job_that_is_tried_again_holds_up_the_others(store: Store, clock: SteppedClock) -> None:
    first, second = await line(store, 2)
    (running,) = await start(store, first)
    after = await end(store, running, "retried", delay_us=60 * SECOND)
    assert after is not None
    assert after.state is State.RETRYING
    await settle(store, first)
    assert await states(store, second) == ["blocked"]
    clock.advance(61)
    await finish(store, after)
    assert [(one.id, one.state) for one in await settle(store, first)] == [(second.id, State.READY)]


@pytest.mark.parametrize("how", [State.FAILED, State.CANCELLED])
async def test_the_next_goes_on_however_one_has_ended(store: Store, how: State) -> None:
    first, second = await line(store, 2)
    await finish(store, first, how)
    assert [job.state for job in await settle(store, first)] == [State.READY]
    assert await states(store, second) == ["ready"]


async def test_who_ends_before_its_turn_lets_nobody_past(store: Store) -> None:
    jobs = await line(store, 5)
    for gone in (jobs[2], jobs[1]):
        await store.cancel(gone.id)
        assert [job for job in await settle(store, gone) if job.state is State.READY] == []
    await one_by_one(store, [jobs[0], *jobs[3:]])


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
async def test_nor_do_several_that_are_noticed_together(store: Store, order: tuple[int, ...]) -> None:
    jobs = await line(store, 5)
    for at in order:
        await store.cancel(jobs[at].id)
    await settle(store, *(jobs[at] for at in order))
    assert await store.waits_of(jobs[4].id) == [Link(jobs[0].id, jobs[4].id, Kind.SEQUENCE)]
    await one_by_one(store, [jobs[0], jobs[4]])


async def test_one_that_expires_before_its_turn_lets_nobody_past(store: Store, clock: SteppedClock) -> None:
    (first,) = await line(store, 1)
    (late,) = await put(store, in_turn(expires_in_us=SECOND))
    (last,) = await line(store, 1)
    clock.advance(2)
    assert [job.id for job in (await store.end_expired(10)).jobs] == [late.id]
    await settle(store, late)
    await one_by_one(store, [first, last])


@pytest.mark.parametrize("noticed", [True, False])
async def test_whoever_comes_after_a_last_one_that_was_cancelled_waits_all_the_same(
    store: Store, clock: SteppedClock, noticed: bool
) -> None:
    first, last = await line(store, 2)
    await store.cancel(last.id)
    if noticed:
        await settle(store, last)
    clock.advance(7_200)  # also when its key has been looked at meanwhile
    await store.prune_keys(10)
    (new,) = await line(store, 1)
    assert (new.state, new.extras.sequence) == (State.BLOCKED, Sequence("s", first.id))
    await settle(store, last)
    await one_by_one(store, [first, new])
    clock.advance(LONG)
    assert await store.prune_keys(10) == 1
    assert (await store.prune_jobs(State.CANCELLED, clock.now, 10)).deleted == 1


async def test_the_end_of_the_first_frees_who_comes_after_a_cancelled_last_one(store: Store) -> None:
    first, last = await line(store, 2)
    await store.cancel(last.id)
    await settle(store, last)
    await finish(store, first)
    await settle(store, first)
    assert (await look(store)).looked_at == 0
    assert [job.state for job in await line(store, 1)] == [State.READY]


async def test_very_many_that_end_before_their_turn_are_dealt_with_page_by_page(store: Store) -> None:
    count = 2 * MAX_SETTLED + 20
    jobs = [job for job, _ in await store.insert([in_turn() for _ in range(count)])]
    for job in jobs[1:-1]:
        await store.cancel(job.id)
    for _ in range(count):
        await settle(store, *(job.id for job in jobs[1:-1]))
        if await store.waits_of(jobs[-1].id) == [Link(jobs[0].id, jobs[-1].id, Kind.SEQUENCE)]:
            break
    await one_by_one(store, [jobs[0], jobs[-1]])


async def test_the_same_job_again_is_that_job(store: Store) -> None:
    first, second = in_turn(), in_turn()
    await put(store, first, second)
    assert [job.state for job in await put(store, first, second)] == [State.READY, State.BLOCKED]
    ((again, created),) = await store.insert([first])
    assert (again.id, created) == (first.id, False)
    (third,) = await line(store, 1)
    assert third.extras.sequence == Sequence("s", second.id)


async def test_the_same_request_again_makes_no_second_one(store: Store) -> None:
    (first,) = await line(store, 1)
    one = in_turn(new=new_job(wish=Wish(idempotency=request("k"))))
    other = in_turn(new=new_job(wish=Wish(idempotency=request("k"))))
    (answer,) = await store.insert([one])
    (again,) = await store.insert([other])
    assert isinstance(again, Keyed)
    assert (again[0].id, again[0].state, again.fate, again.replayed) == (one.id, State.BLOCKED, Fate.CREATED, True)
    assert answer[0].extras.sequence == Sequence("s", first.id)
    (last,) = await line(store, 1)
    assert last.extras.sequence == Sequence("s", one.id)


async def test_a_job_that_takes_anothers_place_by_its_key_comes_at_the_end(store: Store) -> None:
    (first,) = await line(store, 1)
    (old,) = await put(store, in_turn(new=unique_job("u")))
    (new,) = await put(store, in_turn(new=unique_job("u", on_conflict="replace")))
    assert await states(store, old, new) == ["cancelled", "blocked"]
    await settle(store, old)
    await one_by_one(store, [first, new])


async def test_one_that_is_refused_for_its_key_is_in_no_sequence(store: Store) -> None:
    (held,) = await put(store, unique_job("u"))
    ((answer, created),) = await store.insert([in_turn(new=unique_job("u"))])
    assert (answer.id, created) == (held.id, False)
    assert [job.state for job in await line(store, 1)] == [State.READY]


async def test_it_starts_with_its_submission_where_nobody_is_before_it(store: Store) -> None:
    await join(store, "n1")
    one, other = in_turn(), in_turn()
    answers = await store.insert([one, other], start=Start("n1", frozenset({one.id, other.id})))
    assert [job.state for job, _ in answers] == [State.RUNNING, State.BLOCKED]


async def test_it_waits_for_both_what_it_depends_on_and_its_turn(store: Store) -> None:
    needed, (first,) = (await put(store, new_job()))[0], await line(store, 1)
    (job,) = await put(store, in_turn(new=dependent(needed, first)))
    assert {link.kind for link in await store.waits_of(job.id)} == {Kind.SEQUENCE, Kind.DEPENDENCY}
    await finish(store, first)
    assert await settle(store, first) == []
    await finish(store, needed)
    assert [one.id for one in await settle(store, needed)] == [job.id]


async def test_one_that_ends_for_what_it_depends_on_lets_nobody_past(store: Store) -> None:
    needed, (first,) = (await put(store, new_job()))[0], await line(store, 1)
    (doomed,) = await put(store, in_turn(new=dependent(needed)))
    (last,) = await line(store, 1)
    await finish(store, needed, State.FAILED)
    assert [job.state for job in await settle(store, needed)] == [State.FAILED]
    (too,) = await put(store, in_turn(new=dependent(needed)))
    assert too.state is State.FAILED
    await settle(store, doomed, too)
    await one_by_one(store, [first, last])


# -- started over -----------------------------------------------------------------------------------------------------


async def failed(store: Store) -> Job:
    """Return a job of the sequence that has failed."""
    job = await finish(store, (await line(store, 1))[0], State.FAILED)
    await settle(store, job)
    return job


async def test_a_failed_one_that_is_started_over_comes_at_the_end(store: Store) -> None:
    job = await failed(store)
    others = await line(store, 2)
    assert (await store.redrive(job.id)).state is State.BLOCKED
    await one_by_one(store, [*others, job])


async def test_if_nobody_else_is_there_it_may_start_at_once(store: Store) -> None:
    job = await failed(store)
    assert (await store.redrive(job.id)).state is State.READY
    (next_,) = await line(store, 1)
    await one_by_one(store, [job, next_])


async def test_with_a_key_of_its_own_it_comes_at_the_end_all_the_same(store: Store) -> None:
    (job,) = await put(store, in_turn(new=unique_job("u")))
    await finish(store, job, State.FAILED)
    (other,) = await line(store, 1)
    assert (await store.redrive(job.id)).state is State.BLOCKED
    await one_by_one(store, [other, job])


async def test_a_last_one_that_was_cancelled_and_is_started_over_keeps_its_place(store: Store) -> None:
    first, last = await line(store, 2)
    await store.cancel(last.id)
    assert (await store.redrive(last.id)).state is State.BLOCKED
    (new,) = await line(store, 1)
    await settle(store, last)
    await one_by_one(store, [first, last, new])


async def test_one_whose_end_nobody_has_noticed_yet_keeps_its_place(store: Store) -> None:
    first, middle, last = await line(store, 3)
    await store.cancel(middle.id)
    assert (await store.redrive(middle.id)).state is State.BLOCKED
    await settle(store, middle)
    await one_by_one(store, [first, middle, last])


async def test_one_whose_end_was_noticed_goes_to_the_end(store: Store) -> None:
    first, middle, last = await line(store, 3)
    await store.cancel(middle.id)
    await settle(store, middle)
    assert (await store.redrive(middle.id)).state is State.BLOCKED
    await one_by_one(store, [first, last, middle])


async def test_many_that_are_started_over_come_one_after_the_other(store: Store) -> None:
    jobs = [await failed(store) for _ in range(3)]
    (other,) = await line(store, 1)
    wish = Operation(id=new_id(), action="retry", which=filtered("retry", EVERYTHING))
    begun = (await store.move_operation(Begin(wish))).after
    assert begun is not None
    step = Step(begun.id, begun.version, tuple(job.id for job in jobs), None, True)
    assert [job.state for job in (await store.move_operation(step)).jobs] == [State.BLOCKED] * 3
    await one_by_one(store, [other, *jobs])


# -- at once ----------------------------------------------------------------------------------------------------------


async def test_of_many_at_once_each_has_another_before_it(store: Store) -> None:
    new = [in_turn() for _ in range(12)]

    async def submit(one: NewJob) -> None:
        await put(store, one)

    async with trio.open_nursery() as nursery:
        for one in new:
            nursery.start_soon(submit, one)
    found = {job.id: job for job in await store.get_many([one.id for one in new])}
    after = {job.extras.sequence.after: job for job in found.values() if job.extras.sequence}
    ordered: list[Job] = []
    while (next_ := after.get(ordered[-1].id if ordered else None)) is not None:
        ordered.append(next_)
    assert len(ordered) == len(new)
    await one_by_one(store, ordered)


async def test_submissions_cancellations_and_settlements_at_once(store: Store) -> None:
    """Whatever comes between whatever: never are two of them ready, and in the end nobody waits."""
    jobs = await line(store, 8)

    async def work(at: int) -> None:
        if at % 3:
            await store.cancel(jobs[at].id)
            await settle(store, jobs[at])
        if at % 2:
            jobs.extend(await line(store, 1))
        if at % 3 == 2:
            await store.redrive(jobs[at].id)

    async with trio.open_nursery() as nursery:
        for at in range(1, 8):
            nursery.start_soon(work, at)
    left = {job.id for job in jobs}
    for _ in range(100):
        ready = [job for job in await store.get_many(left) if job.state is State.READY]
        assert len(ready) <= 1
        for job in ready:
            await finish(store, job)
        await settle(store, *left)
        left -= {job.id for job in await store.get_many(left) if job.state is State.SUCCEEDED}
    found = await store.get_many({job.id for job in jobs})
    assert {job.state for job in found} <= {State.SUCCEEDED, State.CANCELLED}
    assert (await look(store)).looked_at == 0


def test_what_is_submitted_again_is_the_same_in_the_same_sequence_only() -> None:
    from tickr.jobs import created
    from tickr.store.changes import same_content

    one = in_turn()
    job = created(structs.replace(one, extras=Extras(sequence=Sequence("s", "other"))), 0)
    assert same_content(job, one)
    assert not same_content(job, in_turn("t", structs.replace(one, extras=Extras())))
    assert not same_content(job, structs.replace(one, extras=Extras()))
