"""The contract, for jobs that expire: none is started from that instant on, and each that waits then is cancelled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest
import trio

from tests.store.backends import (
    OOPS,
    SECOND,
    START,
    Backend,
    SteppedClock,
    assert_lawful,
    end,
    join,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tickr.jobs import Extras, Job, NewJob, State
from tickr.reasons import Failure
from tickr.store.contract import Expired, Start, Store

AT = START + 10 * SECOND
WHEN = "2027-01-15T08:00:10.000000Z"
SOON = Extras(expires_at=AT)
UNSTARTED = Failure("expired", f"Expired at {WHEN}, before it was started.")
NOT_AGAIN = Failure("expired", f"Expired at {WHEN}, before it was started again.")


def assert_expired(job: Job | None, error: Failure, at: int = AT) -> None:
    assert job is not None
    assert (job.state, job.error, job.finished_at, job.cancel_requested) == (State.CANCELLED, error, at, False)


async def claim(store: Store, *jobs: Job) -> list[Job]:
    await join(store, "n1")
    return await store.claim([job.id for job in jobs], node="n1", types=["mail"])


# -- when it expires --------------------------------------------------------------------------------------------------


async def test_the_instant_is_kept_and_a_span_counts_from_the_stores_now(store: Store, clock: SteppedClock) -> None:
    clock.advance(1)
    at, span, never = await put(
        store, new_job(extras=SOON), new_job(expires_in_us=9 * SECOND), new_job(extras=Extras(traceparent="t"))
    )
    assert [job.extras for job in (at, span, never)] == [SOON, SOON, Extras(traceparent="t")]
    assert [await store.get(job.id) for job in (at, span, never)] == [at, span, never]


async def test_an_instant_is_no_content_so_a_repetition_is_the_same_job(store: Store) -> None:
    new = new_job(expires_in_us=SECOND)
    (job,) = await put(store, new)
    ((again, created),) = await store.insert([msgspec.structs.replace(new, expires_in_us=5 * SECOND)], whole=True)
    assert (again, created) == (job, False)


# -- the claim --------------------------------------------------------------------------------------------------------


async def test_it_is_started_up_to_the_last_microsecond_and_not_at_its_instant(
    store: Store, clock: SteppedClock
) -> None:
    early, late = await put(store, new_job(extras=SOON), new_job(extras=SOON))
    clock.now = AT - 1
    assert [job.id for job in await claim(store, early)] == [early.id]
    clock.now = AT
    assert await claim(store, late) == []
    assert_expired(await store.get(late.id), UNSTARTED)
    assert await told_of(store, late) == ["created", "cancelled"]
    assert await store.attempts(late.id) == []


async def test_a_claim_starts_the_others_and_tells_of_all_in_one_commit(store: Store, clock: SteppedClock) -> None:
    late, fine = await put(store, new_job(extras=SOON, priority=0), new_job())
    clock.now = AT
    assert [job.id for job in await claim(store, late, fine)] == [fine.id]
    last = (await told(store))[-1]
    assert {(event.job, event.what) for event in last} == {(late.id, "cancelled"), (fine.id, "started")}
    assert [event.error for event in last if event.job == late.id] == [UNSTARTED]
    assert_lawful(await told(store))


async def test_a_claim_without_an_index_starts_none_either(store: Store, clock: SteppedClock) -> None:
    late, fine = await put(store, new_job(extras=SOON, priority=0), new_job())
    clock.now = AT
    await join(store, "n1")
    found = [job.id for _ in range(2) for job in await store.claim_due(1, node="n1", types=["mail"])]
    assert found == [fine.id]
    assert_expired(await store.get(late.id), UNSTARTED)


async def test_a_claim_for_nobody_ends_nothing(store: Store, clock: SteppedClock) -> None:
    late = await put_one(store, extras=SOON)
    clock.now = AT
    assert await store.claim([late.id], node="gone", types=["mail"]) == []
    assert await store.get(late.id) == late


async def test_nothing_that_has_expired_starts_with_the_commit_that_stores_it(store: Store) -> None:
    await join(store, "n1")
    late, fine = new_job(extras=Extras(expires_at=START)), new_job(extras=SOON)
    answers = await store.insert([late, fine], start=Start("n1", frozenset([late.id, fine.id])))
    assert [job.state for job, _ in answers] == [State.READY, State.RUNNING]
    assert [job.id for job in (await store.end_expired(10)).jobs] == [late.id]


# -- the end on time --------------------------------------------------------------------------------------------------


async def test_those_that_wait_are_ended_whatever_they_wait_for(store: Store, clock: SteppedClock) -> None:
    ready, scheduled, elsewhere, unhandled, fine = await put(
        store,
        new_job(extras=SOON),
        new_job(extras=SOON, delay_us=9 * SECOND),
        new_job(extras=SOON, queue="nobody's"),
        new_job("unknown", extras=SOON),
        new_job(extras=Extras(expires_at=AT + 1)),
    )
    retrying = await end(store, await put_running(store, extras=SOON), "retried", delay_us=60 * SECOND)
    assert retrying is not None
    clock.now = AT - 1
    assert await store.end_expired(100) == Expired([], AT)
    clock.now = AT
    ended, next_at = await store.end_expired(100)
    waited = (ready, scheduled, elsewhere, unhandled, retrying)
    assert sorted(job.id for job in ended) == sorted(job.id for job in waited)
    assert next_at == AT + 1
    for job in waited:
        assert_expired(await store.get(job.id), NOT_AGAIN if job is retrying else UNSTARTED)
    assert await store.get(fine.id) == fine
    assert (await told_of(store, retrying))[-1] == "cancelled"
    assert [one.error for one in await store.attempts(retrying.id)] == [OOPS], "why it failed is kept"
    assert_lawful(await told(store))


async def test_one_that_is_blocked_is_ended(backend: Backend) -> None:
    if not backend.durable:
        pytest.skip("no job comes into this state by a method yet, and a dict is no table to write it into")
    async with backend.open() as store:
        job = await put_one(store, extras=SOON)
        backend.execute("UPDATE jobs SET state = 3")
        backend.clock.now = AT
        assert [one.id for one in (await store.end_expired(10)).jobs] == [job.id]
        assert_expired(await store.get(job.id), UNSTARTED)


async def test_the_first_are_ended_first_and_no_more_than_asked_for(store: Store, clock: SteppedClock) -> None:
    jobs = await put(store, *(new_job(extras=Extras(expires_at=AT - n)) for n in range(5)))
    clock.now = AT
    ended, next_at = await store.end_expired(3)
    assert sorted(job.id for job in ended) == sorted(job.id for job in jobs[2:])
    assert next_at is not None
    assert next_at <= AT, "there is more to do already"
    assert len((await store.end_expired(3)).jobs) == 2
    assert await store.end_expired(3) == Expired([], None)


async def test_several_at_once_end_each_job_once(store: Store, clock: SteppedClock) -> None:
    jobs = await put(store, *(new_job(extras=SOON) for _ in range(60)))
    clock.now = AT
    await join(store, "n1")
    ended: list[Job] = []

    async def sweep() -> None:
        while True:
            some, next_at = await store.end_expired(7)
            ended.extend(some)
            if next_at is None:
                return

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(sweep)
        assert await store.claim([job.id for job in jobs[::2]], node="n1", types=["mail"]) == []
    for job in jobs:
        assert_expired(await store.get(job.id), UNSTARTED)
        assert await told_of(store, job) == ["created", "cancelled"]
    assert len({job.id for job in ended}) == len(ended) <= 60


# -- what runs --------------------------------------------------------------------------------------------------------


async def test_a_running_attempt_is_not_touched(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store, extras=SOON)
    clock.now = AT + SECOND
    assert await store.end_expired(10) == Expired([], None)
    assert await store.get(running.id) == running
    done = await end(store, running, "succeeded", result="1")
    assert done is not None
    assert (done.state, done.result) == (State.SUCCEEDED, "1")


Again = Callable[[Store, Job], Awaitable[Job | None]]


async def lose(store: Store, job: Job) -> Job | None:
    await store.deregister("n1")
    (after,) = await store.reap(10)
    return after


AGAIN: list[tuple[str, Again, str]] = [
    ("a retry", lambda store, job: end(store, job, "retried"), "exception: It did not work."),
    ("a hand-back", lambda store, job: end(store, job, "released"), "exception: It did not work."),
    ("a lost node", lose, "lease_lost: The node that ran it was lost."),
]


@pytest.mark.parametrize(("again", "why"), [one[1:] for one in AGAIN], ids=[one[0] for one in AGAIN])
async def test_an_attempt_that_outlives_it_is_the_last(
    store: Store, clock: SteppedClock, again: Again, why: str
) -> None:
    running = await put_running(store, extras=SOON)
    clock.now = AT
    after = await again(store, running)
    assert_expired(after, Failure("expired", f"{NOT_AGAIN.message} Its last attempt: {why}"))
    assert await store.get(running.id) == after
    assert await told_of(store, running) == ["created", "started", "cancelled"]
    assert [one.outcome for one in await store.attempts(running.id)] == ["cancelled"]
    assert await store.end_expired(10) == Expired([], None)


@pytest.mark.parametrize("again", [one[1] for one in AGAIN], ids=[one[0] for one in AGAIN])
async def test_one_that_waits_again_in_time_is_ended_on_time(store: Store, clock: SteppedClock, again: Again) -> None:
    running = await put_running(store, extras=SOON)
    after = await again(store, running)
    assert after is not None
    assert after.state in (State.READY, State.RETRYING)
    assert await store.end_expired(10) == Expired([], AT)
    clock.now = AT
    (ended,) = (await store.end_expired(10)).jobs
    assert_expired(ended, NOT_AGAIN if after.attempt else UNSTARTED)


async def test_the_traceback_of_the_last_attempt_is_kept(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store, extras=SOON)
    clock.now = AT
    after = await end(store, running, "retried", failure=Failure("exception", "é" * 4000, "Traceback …"))
    assert after is not None
    assert after.error is not None
    assert after.error.traceback == "Traceback …"
    assert len(after.error.message.encode()) < 4096


async def test_a_cancellation_that_was_requested_is_what_counts(store: Store, clock: SteppedClock) -> None:
    running = await put_running(store, extras=SOON)
    await store.cancel(running.id)
    clock.now = AT
    after = await end(store, running, "retried")
    assert after is not None
    assert after.error is not None
    assert after.error.kind == "cancelled"


async def test_the_last_loss_of_a_node_is_what_counts(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, extras=SOON)
    for last in (False, False, True):
        (running,) = await start(store, job)
        clock.now = AT if last else clock.now
        job = await lose(store, running)  # type: ignore[assignment]
    assert job.error is not None
    assert (job.state, job.error.kind) == (State.FAILED, "crashed")


# -- driven again -----------------------------------------------------------------------------------------------------


async def test_driven_again_after_it_has_expired_it_never_expires_again(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, extras=Extras(expires_at=AT, traceparent="t"))
    clock.now = AT
    await store.end_expired(10)
    again = await store.redrive(job.id)
    assert (again.state, again.error, again.extras.expires_at) == (State.READY, None, None)
    assert again.extras.traceparent == "t"
    assert await store.get(job.id) == again
    assert await store.end_expired(10) == Expired([], None)
    clock.advance(10**6)
    assert len(await claim(store, again)) == 1


async def test_driven_again_in_time_it_still_expires(store: Store, clock: SteppedClock) -> None:
    job = await put_final(store, State.FAILED, extras=SOON)
    assert await store.end_expired(10) == Expired([], None)
    again = await store.redrive(job.id)
    assert again.extras.expires_at == AT
    assert await store.end_expired(10) == Expired([], AT)
    clock.now = AT
    assert await claim(store, again) == []
    assert_expired(await store.get(job.id), UNSTARTED)


# -- the rows beside the jobs -----------------------------------------------------------------------------------------


async def test_a_row_is_there_while_its_job_waits_and_no_longer(backend: Backend) -> None:
    async with backend.open() as store:
        new: NewJob = new_job(extras=SOON)
        job, _ = await put(store, new, new_job())
        row = [(AT, job.id)]
        assert backend.expiries(store) == row, "none for the plain job"
        (running,) = await start(store, job)
        assert backend.expiries(store) == []
        assert (await end(store, running, "retried")) is not None
        assert backend.expiries(store) == row
        (running,) = await start(store, job)
        await end(store, running, "released")
        assert backend.expiries(store) == row
        await store.cancel(job.id)
        assert backend.expiries(store) == []
        await store.redrive(job.id)
        assert backend.expiries(store) == row
        backend.clock.now = AT
        await claim(store, job)
        assert backend.expiries(store) == []


async def test_one_that_starts_with_the_commit_that_stores_it_never_has_a_row(backend: Backend) -> None:
    async with backend.open() as store:
        await join(store, "n1")
        started, waits = new_job(extras=SOON), new_job(extras=SOON)
        await store.insert([started, waits], start=Start("n1", frozenset([started.id])))
        assert backend.expiries(store) == [(AT, waits.id)]


async def test_a_row_without_a_job_that_waits_is_deleted_and_in_nobodys_way(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        late, running, gone = await put(store, *(new_job(extras=SOON) for _ in range(3)))
        await start(store, running)
        clock, strays = durable_backend.clock, [(AT - 1, running.id), (AT - 2, gone.id), (AT - 3, late.id)]
        for at, job_id in strays:
            durable_backend.execute(f"INSERT INTO expiries VALUES ({at}, x'{job_id.replace('-', '')}')")
        durable_backend.execute(f"DELETE FROM jobs WHERE id = x'{gone.id.replace('-', '')}'")
        clock.now = AT - 1
        for _ in strays:
            await store.end_expired(1)
        assert await store.get(late.id) == late, "not before its own instant"
        clock.now = AT
        ended, next_at = await store.end_expired(10)
        assert ([job.id for job in ended], next_at) == ([late.id], None)
        assert durable_backend.expiries(store) == []
