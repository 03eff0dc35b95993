"""The contract, of attempts that put their job into another queue, or give it another priority, for the next one."""

from __future__ import annotations

import pytest

from tests.store.backends import SECOND, START, SteppedClock, join, new_job, put, told
from tests.store.keyed import requested
from tickr.jobs import Failure, Job, NewJob, State
from tickr.queues import Limits
from tickr.reports import Outcome
from tickr.store.contract import Filter, Keyed, Store

WHY = Failure("retry_later", "not here")


async def claim(store: Store, *jobs: Job, node: str = "n1") -> list[Job]:
    await join(store, node)
    return await store.claim([job.id for job in jobs], node=node, types={"mail"})


async def run(store: Store, new: NewJob | None = None) -> Job:
    (job,) = await put(store, new or new_job(run_at=START))
    (claimed,) = await claim(store, job)
    return claimed


def moved(job: Job, kind: str = "retried", delay_s: float = 0.0, **where: object) -> Outcome:
    return Outcome(job=job, kind=kind, failure=WHY, delay_us=int(delay_s * SECOND), **where)  # type: ignore[arg-type]


@pytest.mark.parametrize(("kind", "state"), [("retried", State.RETRYING), ("released", State.READY)])
async def test_it_waits_where_the_outcome_says(store: Store, kind: str, state: State) -> None:
    job = await run(store)
    beside = await run(store)
    after, other = await store.finish(
        [moved(job, kind, 5, queue="slow", priority=1), moved(beside, kind, 5, priority=9)]
    )
    assert after is not None
    assert other is not None
    assert (after.queue, after.priority, after.state, after.run_at) == ("slow", 1, state, START + 5 * SECOND)
    assert (other.queue, other.priority) == ("default", 9)
    assert await store.get(job.id) == after
    assert await store.queue_names() == ["default", "slow"]
    assert {depth.name: depth.ready + depth.scheduled + depth.retrying for depth in await store.queues()} == {
        "default": 1, "slow": 1,
    }  # fmt: skip
    page = await store.list_jobs(Filter(queues=("slow",)), limit=5)
    assert [one.id for one in page.jobs] == [job.id]
    last = [event for commit in await told(store) for event in commit if event.job == job.id][-1]
    assert (last.what, last.queue, last.priority) == ("retrying" if kind == "retried" else "released", "slow", 1)  # type: ignore[union-attr]


async def test_it_counts_in_its_new_queue(store: Store, clock: SteppedClock) -> None:
    await store.control("slow", limits=Limits(max_running=1, max_running_per_key=1))
    job = await run(store, new_job(run_at=START, limit_key="acme"))
    (after,) = await store.finish([moved(job, queue="slow")])
    assert after is not None
    (rival,) = await put(store, new_job(run_at=START, queue="slow", limit_key="acme"))
    assert [one.id for one in await claim(store, after)] == [job.id]
    (standing,) = await store.standings()
    assert (standing.name, standing.running, standing.keys) == ("slow", 1, {"acme": 1})
    assert await claim(store, rival) == []
    assert [entry.queue for entry in await store.due(5)] == ["slow"]


async def test_the_same_submission_is_still_the_same_job(store: Store) -> None:
    new = new_job(run_at=START, chosen_id=True)
    job = await run(store, new)
    (after,) = await store.finish([moved(job, queue="slow", priority=1)])
    ((again, created),) = await store.insert([new], whole=True)
    assert (again, created) == (after, False)
    assert again.extras.submitted_to == ("default", 5)


async def test_its_request_is_answered_as_the_first_time(store: Store) -> None:
    job = await run(store, requested("k", run_at=START))
    await store.finish([moved(job, queue="slow", priority=1)])
    (answer,) = await store.insert([requested("k", run_at=START)])
    assert isinstance(answer, Keyed)
    assert answer.replayed
    assert (answer[0].id, answer[0].queue, answer[0].priority) == (job.id, "default", 5)


async def test_what_ends_or_expires_stays_where_it_was(store: Store, clock: SteppedClock) -> None:
    cancelled = await run(store)
    await store.cancel(cancelled.id)
    void = await run(store)
    await store.finish([Outcome(job=void, kind="released", failure=WHY)])
    after = await store.finish([moved(cancelled, queue="slow"), moved(void, queue="slow")])
    assert after[1] is None
    assert after[0] is not None
    assert (after[0].state, after[0].queue) == (State.CANCELLED, "default")
    found = await store.get(void.id)
    assert found is not None
    assert (found.state, found.queue) == (State.READY, "default")
    assert "slow" not in await store.queue_names()


async def test_it_is_claimed_straight_from_the_store_in_its_new_queue(store: Store) -> None:
    job = await run(store)
    await store.finish([moved(job, queue="slow")])
    await join(store, "n1")
    options = {"node": "n1", "types": {"mail"}}
    assert await store.claim_due(5, queues={"default": 5}, **options) == []  # type: ignore[arg-type]
    (claimed,) = await store.claim_due(5, queues={"slow": 5}, **options)  # type: ignore[arg-type]
    assert (claimed.id, claimed.attempt) == (job.id, 2)
