"""The contract: jobs that depend on others. What they begin as, and what becomes of them when the others end."""

from __future__ import annotations

from itertools import permutations

import pytest
import trio

from tests.store.backends import (
    SECOND,
    SteppedClock,
    assert_lawful,
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
from tests.store.keyed import KEEP_S, request, unique_job
from tests.store.linked import dependent, finish, look, put_dependent, settle, settle_all, states
from tickr.errors import DependencyCycle, DependencyMissing, IllegalTransition
from tickr.filters import EVERYTHING
from tickr.jobs import FINAL, Extras, NewJob, State
from tickr.keys import Wish
from tickr.links import Dependencies, OnFailure
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation, filtered
from tickr.store.contract import Fate, Keyed, Refused, ScanPosition, Start, Store
from tickr.store.links import MAX_SETTLED

BAD = [State.FAILED, State.CANCELLED]
LONG = 1_000_000 * SECOND


async def test_a_job_is_blocked_until_all_that_it_depends_on_have_succeeded(store: Store, clock: SteppedClock) -> None:
    first, second = await put(store, new_job(), new_job())
    job = await put_dependent(store, first, second)
    assert (job.state, job.version) == (State.BLOCKED, 1)
    assert job.extras.depends_on == Dependencies((first.id, second.id))
    assert await store.get(job.id) == job
    assert await store.due(10) == [first.entry(), second.entry()] or len(await store.due(10)) == 2
    assert await store.claim([job.id], node="n1", types={"mail"}) == []
    await finish(store, first)
    assert await settle(store, first) == []
    clock.advance(7)
    await finish(store, second)
    (after,) = await settle(store, second)
    assert (after.state, after.version, after.run_at) == (State.READY, 2, clock.now)
    assert await store.get(job.id) == after
    assert (await look(store)).looked_at == 0
    assert await told_of(store, job) == ["created", "unblocked"]
    (event,) = [one for commit in await told(store) for one in commit if one.what == "unblocked"]
    assert (event.previous_state, event.state) == ("blocked", "ready")
    await start(store, after)
    assert_lawful(await told(store))


async def test_it_begins_ready_when_all_have_succeeded_already(store: Store) -> None:
    first = await put_final(store, State.SUCCEEDED)
    job = await put_dependent(store, first)
    assert (job.state, job.version) == (State.READY, 1)
    assert (await look(store)).looked_at == 0


async def test_it_is_due_no_earlier_than_it_was_to_be(store: Store, clock: SteppedClock) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first, delay_us=60 * SECOND)
    await finish(store, first)
    (after,) = await settle(store, first)
    assert (after.state_at(clock.now), after.run_at) == (State.SCHEDULED, job.run_at)
    (event,) = [one for commit in await told(store) for one in commit if one.what == "unblocked"]
    assert event.state == "scheduled"


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize(("policy", "end"), [("fail", State.FAILED), ("cancel", State.CANCELLED)])
@pytest.mark.parametrize("already", [True, False])
async def test_the_end_without_success_of_one_is_its_end_too(
    store: Store, bad: State, policy: str, end: State, already: bool
) -> None:
    other = await put_one(store)
    first = await (put_final(store, bad) if already else put_one(store))
    job = await put_dependent(store, other, first, on_failure=policy)
    if not already:
        assert job.state is State.BLOCKED
        await finish(store, first, bad)
        (job,) = await settle(store, first)
    assert (job.state, job.version, job.attempt) == (end, 2, 0)
    assert job.error is not None
    assert job.error.kind == "dependency_failed"
    assert first.id in job.error.message
    assert ("cancelled" in job.error.message) == (bad is State.CANCELLED)
    assert job.finished_at is not None
    assert (await look(store)).looked_at == 0
    assert await told_of(store, job) == ["created", end.value]
    assert await store.attempts(job.id) == []
    assert_lawful(await told(store))


@pytest.mark.parametrize("already", [True, False])
@pytest.mark.parametrize("bad", BAD)
async def test_it_runs_all_the_same_if_that_was_its_wish(store: Store, bad: State, already: bool) -> None:
    other = await put_one(store)
    first = await (put_final(store, bad) if already else put_one(store))
    job = await put_dependent(store, first, other, on_failure="run")
    assert job.state is State.BLOCKED
    if not already:
        await finish(store, first, bad)
        assert await settle(store, first) == []
    await finish(store, other)
    assert [one.state for one in await settle(store, other)] == [State.READY]


async def test_a_chain_fails_from_its_head_on(store: Store) -> None:
    jobs = [new_job()]
    for _ in range(5):
        jobs.append(dependent(jobs[-1]))
    await put(store, *jobs)
    await finish(store, (await store.get_many([jobs[0].id]))[0], State.FAILED)
    await settle_all(store)
    assert await states(store, *jobs) == ["failed"] * 6


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keyed", [True, False])
async def test_what_is_not_stored_cannot_be_waited_for(store: Store, keyed: bool) -> None:
    known, missing = await put_one(store), new_id()
    job = dependent(known, missing)
    if keyed:
        job = NewJob(id=job.id, type="mail", extras=job.extras, wish=Wish(idempotency=request("r")))
    plain = new_job()
    refused, (_, created) = await store.insert([job, plain])
    assert isinstance(refused, Refused)
    assert (refused[0].id, refused[1], created) == (job.id, False, True)
    assert isinstance(refused.error, DependencyMissing)
    assert refused.error.missing == (missing,)
    assert await store.get(job.id) is None
    with pytest.raises(DependencyMissing, match=missing):
        await store.insert([new_job(), job], whole=True)
    assert len(await told(store)) == 2
    assert (await look(store)).looked_at == 0


async def test_circles_are_refused_and_those_behind_them_too(store: Store) -> None:
    alone = dependent(one := new_id(), id=one)
    a, b, c = new_id(), new_id(), new_id()
    circle = [dependent(c, id=a), dependent(a, id=b), dependent(b, id=c)]
    behind, fine = dependent(a), new_job()
    answers = await store.insert([*circle, behind, fine, alone])
    errors = [getattr(answer, "error", None) for answer in answers]
    assert [type(error) for error in errors] == [DependencyCycle] * 3 + [DependencyMissing, type(None), DependencyCycle]
    assert set(errors[0].cycle) == {a, b, c, one}  # type: ignore[union-attr]
    assert [await store.get(new.id) for new in (*circle, behind, alone)] == [None] * 5
    for some in ([alone], circle):
        with pytest.raises(DependencyCycle):
            await store.insert(some, whole=True)


@pytest.mark.parametrize("whole", [True, False])
async def test_jobs_of_one_batch_may_come_in_any_order(store: Store, whole: bool) -> None:
    for order in permutations(range(4)):
        top = new_job()
        left, right = dependent(top), dependent(top)
        jobs = [top, left, right, dependent(left, right)]
        answers = await store.insert([jobs[at] for at in order], whole=whole)
        assert [job.id for job, _ in answers] == [jobs[at].id for at in order]
        assert all(created for _, created in answers)
        assert await states(store, *jobs) == ["ready", "blocked", "blocked", "blocked"]


async def test_the_same_submission_again_is_the_same_job(store: Store, clock: SteppedClock) -> None:
    first = await put_one(store)
    new = dependent(first)
    (job,) = await put(store, new)
    assert await store.insert([new]) == [(job, False)]
    await finish(store, first)
    await settle_all(store)
    clock.advance(LONG / SECOND)
    await prune(store, State.SUCCEEDED, clock.now)
    assert await store.get(first.id) is None
    ((again, created),) = await store.insert([new], whole=True)
    assert (again.id, again.state, created) == (job.id, State.READY, False)


async def test_keys_and_dependencies_go_together(store: Store) -> None:
    first = await put_one(store)
    wish = Wish(idempotency=request("r", keep_s=KEEP_S), unique=unique_job("k").wish.unique)  # type: ignore[union-attr]
    extras = Extras(depends_on=Dependencies((first.id,), OnFailure.CANCEL), unique=wish.unique)
    new = new_job(extras=extras, wish=wish)
    (answer,) = await store.insert([new])
    assert isinstance(answer, Keyed)
    assert (answer[0].state, answer.fate) == (State.BLOCKED, Fate.CREATED)
    (held,) = await store.insert([unique_job("k")])
    assert isinstance(held, Keyed)
    assert held[0].id == new.id
    (replaced,) = await store.insert([unique_job("k", on_conflict="replace")])
    assert isinstance(replaced, Keyed)
    assert replaced.replaced is not None
    assert await states(store, answer[0]) == ["cancelled"]
    assert await settle_all(store) == []
    assert (await look(store)).looked_at == 0


async def test_a_direct_start_does_not_go_past_what_it_waits_for(store: Store) -> None:
    first = await put_running(store)
    job = dependent(first)
    ((stored, _),) = await store.insert([job], start=Start("n1", frozenset([job.id])))
    assert stored.state is State.BLOCKED


# -- in between -------------------------------------------------------------------------------------------------------


async def test_a_blocked_job_can_be_cancelled_and_waits_no_more(store: Store) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first)
    behind = await put_dependent(store, job)
    await store.cancel(job.id, reason="enough")
    await settle_all(store)
    assert await states(store, first, job, behind) == ["ready", "cancelled", "failed"]
    assert (await look(store)).looked_at == 0


async def test_a_blocked_job_expires(store: Store, clock: SteppedClock) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first, extras={"expires_at": clock.now + SECOND})
    clock.advance(2)
    assert [one.id for one in (await store.end_expired(10)).jobs] == [job.id]
    await settle_all(store)
    assert (await look(store)).looked_at == 0


async def test_started_over_it_waits_for_those_that_run_and_for_no_others(store: Store) -> None:
    first, second = await put(store, new_job(), new_job())
    job = await put_dependent(store, first, second)
    await finish(store, first, State.FAILED)
    await settle_all(store)
    blocked = await store.redrive(job.id)
    assert (blocked.state, blocked.version) == (State.BLOCKED, 3)
    await finish(store, second)
    (ready,) = await settle_all(store)
    assert (ready.id, ready.state) == (job.id, State.READY)
    assert await told_of(store, job) == ["created", "failed", "redriven", "unblocked"]
    await store.cancel(job.id)
    await store.redrive(first.id)
    assert (await store.redrive(job.id)).state is State.BLOCKED
    with pytest.raises(IllegalTransition):
        await store.redrive(job.id)
    await finish(store, first)
    assert [one.state for one in await settle_all(store)] == [State.READY]
    assert_lawful(await told(store))


@pytest.mark.parametrize("newest_first", [False, True])
async def test_started_over_with_many_others_it_waits_for_those_among_them(store: Store, newest_first: bool) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first)
    await finish(store, first, State.FAILED)
    await settle_all(store)
    begun = (
        await store.move_operation(Begin(Operation(id=new_id(), action="retry", which=filtered("retry", EVERYTHING))))
    ).after
    assert begun is not None
    ids = (job.id, first.id) if newest_first else (first.id, job.id)
    changed = (await store.move_operation(Step(begun.id, begun.version, ids, None, True))).jobs
    assert {one.id: one.state for one in changed} == {first.id: State.READY, job.id: State.BLOCKED}
    await finish(store, first)
    assert [(one.id, one.state) for one in await settle_all(store)] == [(job.id, State.READY)]
    assert await told_of(store, job) == ["created", "failed", "redriven", "unblocked"]


async def test_one_that_fails_before_it_is_due_is_due_no_more(store: Store) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first, delay_us=60 * SECOND)
    assert job.run_at > job.created_at
    await finish(store, first, State.FAILED)
    (failed,) = await settle_all(store)
    assert (failed.state, failed.run_at) == (State.FAILED, failed.finished_at)  # or else retention would not find it


async def test_one_that_ended_well_and_runs_again_is_not_waited_for_again(store: Store) -> None:
    first, second = await put(store, new_job(), new_job())
    job = await put_dependent(store, first, second)
    await finish(store, first)
    await settle(store, first)
    await store.redrive(first.id)
    await finish(store, second)
    assert [one.id for one in await settle(store, second)] == [job.id]


async def test_one_that_runs_again_before_anybody_was_told_is_waited_for(store: Store) -> None:
    first = await put_one(store)
    job = await put_dependent(store, first)
    await finish(store, first, State.FAILED)
    await store.redrive(first.id)
    assert await settle(store, first) == []
    await finish(store, first)
    assert [one.id for one in await settle(store, first)] == [job.id]


async def prune(store: Store, state: State, before: int) -> None:
    position: ScanPosition | None = None
    while True:
        _, position = await store.prune_jobs(state, before, 100, position)
        if position is None:
            return


async def test_a_job_that_another_waits_for_is_kept(store: Store, clock: SteppedClock) -> None:
    first, second = await put(store, new_job(), new_job())
    job = await put_dependent(store, first, second)
    await finish(store, first)
    clock.advance(LONG / SECOND)
    await prune(store, State.SUCCEEDED, clock.now)
    assert await store.get(first.id) is not None
    await settle(store, first)
    await prune(store, State.SUCCEEDED, clock.now)
    assert await store.get(first.id) is None
    await finish(store, second)
    assert [one.id for one in await settle(store, second)] == [job.id]
    await store.cancel(job.id)
    clock.advance(LONG / SECOND)
    await prune(store, State.SUCCEEDED, clock.now)
    assert (await store.redrive(job.id)).state is State.READY


# -- who does it ------------------------------------------------------------------------------------------------------


async def test_very_many_that_wait_are_settled_part_by_part(store: Store) -> None:
    first = await put_one(store)
    jobs = await put(store, *(dependent(first) for _ in range(2 * MAX_SETTLED + 10)))
    assert (await look(store, limit=50)).looked_at == len(jobs)
    await finish(store, first)
    assert (await look(store, limit=50)).ended == [first.id]
    moved, after, *_ = await store.settle_links({first.id})
    assert (len(moved), after is None) == (MAX_SETTLED, False)
    assert len(await settle(store, first)) == len(jobs) - MAX_SETTLED
    assert {job.state for job in await store.get_many({job.id for job in jobs})} == {State.READY}
    assert (await store.settle_links({first.id, new_id()}))[:2] == ([], None)


async def test_several_at_once_settle_each_job_once(store: Store) -> None:
    """Two dependencies end at the same time, and each end is dealt with by another node."""
    for _ in range(5):
        on = await put(store, *(new_job() for _ in range(4)))
        jobs = await put(store, *(dependent(*on) for _ in range(3)))
        ended = [await finish(store, one) for one in on]
        moved: list[str] = []

        async def one(id_: str, moved: list[str] = moved) -> None:
            moved.extend(job.id for job in await settle(store, id_))

        async with trio.open_nursery() as nursery:
            for job in (*ended, *ended):
                nursery.start_soon(one, job.id)
        assert sorted(moved) == sorted(job.id for job in jobs)
    assert (await look(store)).looked_at == 0
    assert {job.state for job in await store.get_many(moved)}.isdisjoint(FINAL)
