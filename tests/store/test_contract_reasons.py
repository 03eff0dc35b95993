"""The contract, for why a job was cancelled: who asks may say it, and it is kept until the job has ended."""

from __future__ import annotations

import msgspec
import pytest

from tests.store.backends import Backend, end, put_one, put_running, start, told
from tickr.jobs import Extras, Job, State
from tickr.reasons import CANCELLED_ON_REQUEST, Failure
from tickr.store.contract import Store

WHY = 'the order was "withdrawn" \\ é漢😀'
SAID = Failure("cancelled", f"Cancelled on request: {WHY}")
STUCK = Failure("unresponsive", "Asked to stop, it did not.", "where it hangs")


async def assert_told(store: Store, job: Job, error: Failure) -> None:
    """The job's error, its last event and, if it ran, its last attempt all say ``error``."""
    after = await store.get(job.id)
    assert after is not None
    assert (after.state, after.error, after.cancel_requested) == (State.CANCELLED, error, False)
    event = (await told(store))[-1][-1]
    assert (event.job, event.what, event.error) == (job.id, "cancelled", error)
    assert [one.error for one in await store.attempts(job.id)][-1:] == ([error] if after.fence else [])


async def test_of_a_job_that_waits_it_is_told_at_once(store: Store) -> None:
    job = await put_one(store)
    assert (await store.cancel(job.id, reason=WHY)).error == SAID
    await assert_told(store, job, SAID)


@pytest.mark.parametrize("kind", ["cancelled", "retried", "released"])
async def test_of_one_that_runs_it_is_told_when_it_has_stopped(store: Store, kind: str) -> None:
    job = await put_running(store)
    asked = await store.cancel(job.id, reason=WHY)
    assert (asked.state, asked.cancel_requested, asked.error, asked.version) == (State.RUNNING, True, None, job.version)
    assert len(await told(store)) == 2, "a request is no move"
    # The worker may have heard by bell only that it shall stop; its record is that of the claim.
    failure = CANCELLED_ON_REQUEST if kind == "cancelled" else Failure("exception", "no")
    await end(store, job, kind, failure=failure)
    await assert_told(store, job, SAID)


async def test_that_it_had_to_be_left_behind_is_told_as_well(store: Store) -> None:
    job = await put_running(store)
    await store.cancel(job.id, reason=WHY)
    await end(store, job, "cancelled", failure=STUCK)
    message = f"Asked to stop, it did not. Cancelled on request: {WHY}"
    await assert_told(store, job, Failure("unresponsive", message, "where it hangs"))


async def test_it_outlives_the_node(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        job = await put_running(store, extras=Extras(traceparent="t"))
        await store.cancel(job.id, reason=WHY)
    async with durable_backend.open() as store:
        await store.deregister("n1")
        (after,) = await store.reap(10)
        assert after.extras.traceparent == "t", "and nothing else is lost by it"
        await assert_told(store, job, SAID)


async def test_of_several_wishes_the_first_counts(store: Store) -> None:
    first, second = await put_running(store), await put_running(store)
    await store.cancel(first.id, reason=WHY)
    await store.cancel(first.id, reason="another")
    await store.cancel(second.id)
    await store.cancel(second.id, reason="another")
    await end(store, first, "cancelled", failure=CANCELLED_ON_REQUEST)
    await assert_told(store, first, SAID)
    await end(store, second, "cancelled", failure=CANCELLED_ON_REQUEST)
    await assert_told(store, second, CANCELLED_ON_REQUEST)


@pytest.mark.parametrize("kind", ["succeeded", "failed"])
async def test_it_is_not_told_of_a_job_that_ended_otherwise_and_forgotten_when_that_is_driven_again(
    store: Store, kind: str
) -> None:
    job = await put_running(store)
    await store.cancel(job.id, reason=WHY)
    after = await end(store, job, kind)
    assert after is not None
    assert WHY not in str(after.error)
    again = await store.redrive(job.id)
    assert again.extras.cancel_reason is None
    assert again == await store.get(job.id)
    (running,) = await start(store, again)
    await store.cancel(job.id)
    await end(store, running, "cancelled", failure=CANCELLED_ON_REQUEST)
    await assert_told(store, job, CANCELLED_ON_REQUEST)


async def test_a_plain_cancellation_leaves_nothing_behind(store: Store) -> None:
    job = await put_running(store)
    asked = await store.cancel(job.id)
    assert asked == msgspec.structs.replace(job, cancel_requested=True)
