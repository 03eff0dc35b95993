"""The contract, for jobs that say how many lost nodes they outlive, and what a hand-back is to such a job."""

from __future__ import annotations

import pytest

from tests.store.backends import end, join, new_job, put, put_one, put_running, start, told_of
from tickr.jobs import Extras, Failure, Job, NewJob, State
from tickr.store.contract import Store

ONCE = Extras(max_crashes=0)
STOPPED = Failure("shutdown", "Its node stopped before it was done.")
LOST = Failure("crashed", "The node running it was lost.")


async def lose(store: Store, job: Job) -> Job:
    """Lose the node ``n1``, which runs ``job`` alone, and return what becomes of the job."""
    await store.deregister("n1")
    (after,) = await store.reap(10)
    assert after.id == job.id
    assert await store.get(job.id) == after
    return after


@pytest.mark.parametrize("most", [0, 1, 2, None])
async def test_a_job_outlives_so_many_lost_nodes_and_no_more(store: Store, most: int | None) -> None:
    job = await put_one(store, extras=Extras(max_crashes=most))
    for crashes in range(1, (2 if most is None else most) + 1):
        (running,) = await start(store, job)
        after = await lose(store, running)
        assert (after.state, after.crashes, after.attempt) == (State.READY, crashes, 0)
    (running,) = await start(store, job)
    after = await lose(store, running)
    assert (after.state, after.attempt, after.crashes) == (State.FAILED, 0, after.max_crashes + 1)
    assert after.error is not None
    assert after.error.kind == "crashed"
    assert (await store.attempts(job.id))[-1].outcome == "failed"
    if most == 0:
        assert after.error == LOST
        assert await told_of(store, job) == ["created", "started", "failed"]


async def test_whoever_starts_it_over_gives_it_as_many_again(store: Store) -> None:
    job = await put_running(store, extras=ONCE)
    await lose(store, job)
    again = await store.redrive(job.id)
    assert (again.state, again.crashes, again.max_crashes) == (State.READY, 0, 0)
    (running,) = await start(store, again)
    assert (await lose(store, running)).error == LOST


@pytest.mark.parametrize(
    ("extras", "cut_off", "state", "crashes"),
    [
        (ONCE, True, State.FAILED, 1),
        (ONCE, False, State.READY, 0),
        (Extras(max_crashes=1), True, State.READY, 0),
        (Extras(), True, State.READY, 0),
    ],
)
async def test_what_had_begun_and_was_cut_off_is_not_begun_again_where_once_is_all(
    store: Store, extras: Extras, cut_off: bool, state: State, crashes: int
) -> None:
    job = await put_running(store, extras=extras)
    after = await end(store, job, "released", failure=STOPPED, cut_off=cut_off)
    assert after is not None
    assert (after.state, after.crashes, after.attempt) == (state, crashes, 0)
    if state is State.FAILED:
        assert after.error == Failure("crashed", f"It had begun and was cut off: {STOPPED.message}")
    assert await store.get(job.id) == after


async def test_a_cancellation_that_was_asked_for_goes_before_it(store: Store) -> None:
    job = await put_running(store, extras=ONCE)
    await store.cancel(job.id)
    after = await end(store, job, "released", failure=STOPPED, cut_off=True)
    assert after is not None
    assert after.state is State.CANCELLED


async def test_others_that_were_lost_with_it_are_started_again(store: Store) -> None:
    once, plain = await start(store, *await put(store, new_job(extras=ONCE), new_job()))
    await store.deregister("n1")
    assert {job.id: job.state for job in await store.reap(10)} == {once.id: State.FAILED, plain.id: State.READY}
    await join(store, "n2")
    assert [job.id for job in await store.claim_due(10, node="n2", types=["mail"])] == [plain.id]


async def test_the_same_id_with_another_number_is_another_job(store: Store) -> None:
    new = new_job(extras=ONCE, chosen_id=True)
    await put(store, new)
    for other, same in ((new, True), (NewJob(id=new.id, type=new.type), False)):
        if same:
            await store.insert([other], whole=True)
        else:
            with pytest.raises(Exception, match=new.id):
                await store.insert([other], whole=True)
