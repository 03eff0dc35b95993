"""The contract, for jobs that are deleted for good: what goes with them, what keeps them, and what stays right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.backends import (
    OOPS,
    SECOND,
    SteppedClock,
    assert_lawful,
    new_id,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tests.store.keyed import request, unique_job, unique_of
from tests.store.linked import child_of, dependent, finish, in_turn, put_dependent, settle
from tickr.errors import JobNotFound, NotDeletable, VersionMismatch
from tickr.filters import EVERYTHING
from tickr.jobs import FINAL, Job, State
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation, filtered
from tickr.reports import Checkpoint, Outcome
from tickr.store.contract import Filter, Keyed, Store


async def assert_gone(store: Store, job: Job) -> None:
    assert await store.get(job.id) is None
    with pytest.raises(JobNotFound):
        await store.attempts(job.id)
    assert job.id not in {one.id for one in (await store.list_jobs(Filter(), limit=100)).jobs}


async def kept_back(store: Store, job: Job, why: str, **how: Any) -> None:
    """Have it refused, and see that nothing was changed."""
    before = await store.get(job.id), await told(store)
    with pytest.raises(NotDeletable, match=why):
        await store.delete(job.id, **how)
    assert (await store.get(job.id), await told(store)) == before


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_a_job_that_has_ended_is_gone_with_all_that_is_kept_of_it(store: Store, state: State) -> None:
    job, other = await put_final(store, state), await put_final(store, state)
    if state is not State.CANCELLED:
        assert len(await store.attempts(job.id)) == 1
    assert await store.delete(job.id, version=job.version) == job
    await assert_gone(store, job)
    assert await store.get(other.id) == other
    assert (await told_of(store, job))[-2:] == [state.value, "deleted"]
    assert_lawful(await told(store))
    with pytest.raises(JobNotFound):
        await store.delete(job.id)


async def test_its_id_may_be_given_out_again_and_nothing_is_left_of_it(store: Store) -> None:
    job = await put_running(store)
    await store.keep_checkpoints([Checkpoint(job=job, value="[1]")])
    (failed,) = await store.finish([Outcome(job=job, kind="failed", failure=OOPS)])
    assert failed is not None
    await store.delete(job.id)
    again = await put_one(store, id=job.id)
    assert (again.version, again.fence) == (1, 0)
    assert (await store.attempts(job.id), await store.checkpoint(again)) == ([], None)
    (running,) = await start(store, again)
    assert [one.fence for one in await store.attempts(running.id)] == [1]


async def test_what_runs_is_kept(store: Store) -> None:
    job = await put_running(store)
    for cancel in (False, True):
        await kept_back(store, job, "running. Cancel it", cancel=cancel)


async def test_what_waits_is_cancelled_and_deleted_where_that_is_asked_for(store: Store) -> None:
    job = await put_one(store, delay_us=SECOND)
    await kept_back(store, job, "has not ended")
    assert await store.delete(job.id, cancel=True, reason="why") == job
    await assert_gone(store, job)
    last = (await told(store))[-1]
    assert [(event.what, event.version) for event in last] == [("cancelled", 2), ("deleted", 3)]
    assert "why" in str(last[0].error)
    assert_lawful(await told(store))


async def test_nothing_is_left_to_expire(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, expires_in_us=SECOND)
    await store.delete(job.id, cancel=True)
    clock.advance(2)
    assert await store.end_expired(10) == ([], None)


async def test_the_version_is_looked_at_first(store: Store) -> None:
    job = await put_one(store)
    with pytest.raises(VersionMismatch):
        await store.delete(job.id, version=2, cancel=True)
    with pytest.raises(JobNotFound):
        await store.delete(new_id())
    assert await store.get(job.id) == job


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("until_s", [None, 60])
async def test_its_unique_key_is_free(store: Store, until_s: int | None) -> None:
    ((job, _),) = await store.insert([unique_job("k", until_s=until_s)])
    await store.delete(job.id, cancel=True)
    assert await store.holder(unique_of("k", until_s=until_s)) is None
    ((other, created),) = await store.insert([unique_job("k", until_s=until_s)])
    assert created
    assert await store.holder(unique_of("k", until_s=until_s)) == other


async def test_a_request_is_answered_as_before_and_makes_no_second_job(store: Store) -> None:
    new = unique_job("k", request=request("r"))
    ((job, _),) = await store.insert([new])
    await store.delete(job.id, cancel=True)
    (answer,) = await store.insert([unique_job("k", request=request("r"))])
    assert isinstance(answer, Keyed)
    assert (answer[0].id, answer[1], answer.replayed) == (job.id, False, True)
    assert await store.get(job.id) is None


# -- links ------------------------------------------------------------------------------------------------------------


async def test_a_job_that_another_waits_for_is_kept_until_that_knows(store: Store) -> None:
    first = await put_one(store)
    waits = await put_dependent(store, first)
    await kept_back(store, first, "needed", cancel=True)
    ended = await finish(store, first)
    await kept_back(store, ended, "needed")
    await settle(store, ended)
    await store.delete(first.id)
    await assert_gone(store, first)
    found = await store.get(waits.id)
    assert found is not None
    assert found.state is State.READY


async def test_one_that_waits_for_another_may_go_and_that_one_ends_alone(store: Store) -> None:
    first = await put_one(store)
    waits = await put_dependent(store, first)
    await store.delete(waits.id, cancel=True)
    assert (await store.open_links(10)).looked_at == 0
    await settle(store, await finish(store, first))
    await store.delete(first.id)


async def test_a_new_job_cannot_depend_on_one_that_is_gone(store: Store) -> None:
    first = await put_final(store, State.SUCCEEDED)
    await store.delete(first.id)
    (answer,) = await store.insert([dependent(first)])
    assert not answer[1]


async def test_a_child_is_kept_until_its_parent_has_ended_and_then_both_may_go(store: Store) -> None:
    parent = await put_running(store)
    (child,) = await store.spawn(parent, [child_of(parent)])
    ended = await finish(store, child)
    await settle(store, ended)
    await kept_back(store, ended, "needed")
    await kept_back(store, parent, "running")
    stored = await store.get(parent.id)
    assert stored is not None
    await store.finish([Outcome(job=stored, kind="succeeded", result="1")])
    await settle(store, parent)
    await store.delete(child.id)
    assert await store.children([parent.id]) == []
    await store.delete(parent.id)
    await assert_gone(store, parent)
    assert (await store.open_links(10)).looked_at == 0


async def test_a_parent_whose_children_have_not_ended_is_kept(store: Store) -> None:
    parent = await put_running(store)
    (child,) = await store.spawn(parent, [child_of(parent)])
    stored = await store.get(parent.id)
    assert stored is not None
    await store.finish([Outcome(job=stored, kind="succeeded", result="1")])
    await kept_back(store, parent, "children", cancel=True)
    await kept_back(store, child, "needed", cancel=True)


# -- many -------------------------------------------------------------------------------------------------------------


async def an_operation(store: Store, **fields: Any) -> Operation:
    which = filtered("delete", fields.pop("which", EVERYTHING))
    begun = await store.move_operation(Begin(Operation(id=new_id(), action="delete", which=which, **fields)))
    assert begun.after is not None
    return begun.after


async def test_an_operation_deletes_what_has_ended_and_is_not_needed(store: Store) -> None:
    ended = [await put_final(store, state) for state in sorted(FINAL)]
    first = await put_one(store)
    await put_dependent(store, first)
    needed, waiting, running = await finish(store, first), await put_one(store), await put_running(store)
    begun = await an_operation(store)
    ids = tuple(job.id for job in [*ended, needed, waiting, running])
    moved = await store.move_operation(Step(begun.id, begun.version, ids, None, last=True))
    assert moved.after is not None
    assert (moved.after.done, moved.after.skipped, moved.after.state) == (3, 3, "done")
    for job in ended:
        await assert_gone(store, job)
    assert [await store.get(job.id) for job in (needed, waiting, running)] == [needed, waiting, running]
    last = (await told(store))[-2:]
    assert sum(event.what == "deleted" for commit in last for event in commit) == 3


async def test_one_for_what_waits_cancels_and_deletes(store: Store) -> None:
    job = await put_one(store)
    begun = await an_operation(store, which=Filter(states=(State.READY,)), reason="no more")
    moved = await store.move_operation(Step(begun.id, begun.version, (job.id,), None, last=True))
    assert moved.after is not None
    assert moved.after.done == 1
    await assert_gone(store, job)
    assert await told_of(store, job) == ["created", "cancelled", "deleted"]


async def test_who_keeps_the_place_of_a_sequence_stays_until_the_next_may_begin(store: Store) -> None:
    first, last = (await put(store, in_turn()))[0], (await put(store, in_turn()))[0]
    await kept_back(store, last, "sequence", cancel=True)
    await store.cancel(last.id)
    await settle(store, last)
    await kept_back(store, last, "sequence")
    await finish(store, first)
    await settle(store, first)
    await store.delete(last.id)
    (next_,) = await put(store, in_turn())
    assert next_.state is State.READY
