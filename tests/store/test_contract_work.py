"""The contract, for workers: claim and finish."""

from __future__ import annotations

import pytest
import trio

from tests.store.backends import (
    OOPS,
    SECOND,
    START,
    SteppedClock,
    assert_lawful,
    end,
    join,
    logged,
    new_id,
    new_job,
    noted,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tests.store.linked import child_of
from tickr.errors import AttemptOver
from tickr.jobs import CANCELLED_ON_REQUEST, MAX_CRASHES, Failure, Job, State
from tickr.reports import Checkpoint, Outcome
from tickr.store import written
from tickr.store.contract import MAX_BATCH, Store

MAIL = frozenset({"mail"})


# -- claim --------------------------------------------------------------------------------------------------------


async def test_a_claim_starts_an_attempt(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store)
    await join(store, "n1")
    clock.advance(2)
    (running,) = await store.claim([job.id], node="n1", types=MAIL)
    assert running == await store.get(job.id)
    assert (running.state, running.node, running.started_at) == (State.RUNNING, "n1", START + 2 * SECOND)
    assert (running.attempt, running.fence, running.version) == (1, 1, 2)
    (attempt,) = await store.attempts(job.id)
    assert (attempt.fence, attempt.number, attempt.node, attempt.outcome) == (1, 1, "n1", "running")
    assert (attempt.started_at, attempt.finished_at) == (START + 2 * SECOND, None)


async def test_nothing_starts_early(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, delay_us=5 * SECOND)
    await join(store, "n1")
    clock.now = job.run_at - 1
    assert await store.claim([job.id], node="n1", types=MAIL) == []
    assert await store.claim_due(10, node="n1", types=MAIL) == []
    assert await store.due(10) == []
    clock.now = job.run_at
    assert [entry.id for entry in await store.due(10)] == [job.id]
    assert len(await store.claim([job.id], node="n1", types=MAIL)) == 1


async def test_a_retry_does_not_start_early_either(store: Store, clock: SteppedClock) -> None:
    job = await end(store, await put_running(store), "retried", delay_us=3 * SECOND)
    assert job is not None
    clock.now = job.run_at - 1
    assert await store.claim([job.id], node="n1", types=MAIL) == []
    assert await store.claim_due(10, node="n1", types=MAIL) == []
    clock.now = job.run_at
    (again,) = await store.claim_due(10, node="n1", types=MAIL)
    assert (again.attempt, again.fence) == (2, 2)


async def test_claiming_skips_what_cannot_be_claimed(store: Store) -> None:
    good, other, late = await put(store, new_job(), new_job("other"), new_job(delay_us=SECOND))
    running, over = await put_running(store), await put_final(store, State.FAILED)
    ids = [good.id, new_id(), good.id, other.id, late.id, running.id, over.id, "nonsense", "", "ab", "00" * 40]
    ids += [late.id, "cd"]
    assert [job.id for job in await store.claim(ids, node="n1", types=MAIL)] == [good.id]
    assert await store.get(running.id) == running
    assert await store.claim([], node="n1", types=MAIL) == []
    assert await store.claim([other.id], node="n1", types=()) == []
    assert await store.claim_due(10, node="n1", types=()) == []


async def test_claims_come_in_the_order_in_which_they_should_run(store: Store, clock: SteppedClock) -> None:
    places = [(priority, at) for priority in (5, 0, 9) for at in (2, 0, 1, 0)]  # some are alike: the id decides
    jobs = await put(store, *(new_job(priority=priority, run_at=START + at) for priority, at in places))
    clock.advance(1)
    await join(store, "n1")
    claimed = await store.claim([job.id for job in jobs], node="n1", types=MAIL)
    assert [job.id for job in claimed] == [job.id for job in sorted(jobs, key=lambda j: (j.priority, j.run_at, j.id))]


async def test_a_full_batch_is_claimed_and_finished_in_one_commit_each(store: Store) -> None:
    jobs = await put(store, *(new_job() for _ in range(MAX_BATCH)))
    running = await start(store, *jobs)
    after = await store.finish([Outcome(job=job, kind="succeeded", result=f"{n}") for n, job in enumerate(running)])
    assert [job and job.result for job in after] == [f"{n}" for n in range(MAX_BATCH)]
    assert [len(commit) for commit in await told(store)] == [MAX_BATCH] * 3


async def test_claim_due_takes_the_best_first_across_queues_and_states(store: Store, clock: SteppedClock) -> None:
    jobs = await put(
        store,
        *(
            new_job(queue=queue, priority=priority, run_at=START - at)
            for queue in ("a", "b", "c")
            for priority in (7, 1, 4)
            for at in (1, 5, 3)
        ),
    )
    retried = await end(store, (await start(store, jobs[0]))[0], "retried", delay_us=0)
    assert retried is not None
    everything = sorted([retried, *jobs[1:]], key=lambda job: (job.priority, job.run_at))
    seen: list[tuple[int, int]] = []
    for size in (4, 1, 10, 50):
        claimed = await store.claim_due(size, node="n1", types=MAIL)
        assert len(claimed) == min(size, len(jobs) - len(seen))
        seen += [(job.priority, job.run_at) for job in claimed]
    assert seen == [(job.priority, job.run_at) for job in everything]
    assert await store.claim_due(10, node="n1", types=MAIL) == []


async def test_claim_due_looks_past_jobs_it_cannot_run(store: Store) -> None:
    await put(store, *(new_job("other", priority=0) for _ in range(20)))
    await put(store, *(new_job(priority=0, delay_us=SECOND) for _ in range(20)))
    job = await put_one(store, priority=9)
    await join(store, "n1")
    assert [one.id for one in await store.claim_due(3, node="n1", types=MAIL)] == [job.id]


async def test_claims_at_the_same_time_share_nothing(store: Store) -> None:
    jobs = await put(store, *(new_job(priority=number % 3) for number in range(120)))
    ids = [job.id for job in jobs]
    await join(store, "a0", "a1", "a2", "b0", "b1", "b2")
    taken: list[str] = []

    async def by_id(node: str) -> None:
        for at in range(0, 120, 20):
            taken.extend(job.id for job in await store.claim(ids[at : at + 30], node=node, types=MAIL))

    async def straight(node: str) -> None:
        while claimed := await store.claim_due(7, node=node, types=MAIL):
            assert {job.node for job in claimed} == {node}
            taken.extend(job.id for job in claimed)

    async with trio.open_nursery() as nursery:
        for number in range(3):
            nursery.start_soon(by_id, f"a{number}")
            nursery.start_soon(straight, f"b{number}")
    assert sorted(taken) == sorted(ids)
    assert_lawful(await told(store))


# -- finish -------------------------------------------------------------------------------------------------------


async def test_success(store: Store, clock: SteppedClock) -> None:
    job = await put_running(store)
    clock.advance(4)
    after = await end(store, job, "succeeded", result='{"n": 1}')
    assert after is not None
    assert after == await store.get(job.id)
    assert (after.state, after.result, after.error) == (State.SUCCEEDED, '{"n": 1}', None)
    assert (after.started_at, after.finished_at, after.version) == (START, START + 4 * SECOND, 3)
    (attempt,) = await store.attempts(job.id)
    assert (attempt.outcome, attempt.finished_at, attempt.error) == ("succeeded", START + 4 * SECOND, None)


async def test_retry(store: Store, clock: SteppedClock) -> None:
    job = await put_running(store)
    clock.advance(1)
    after = await end(store, job, "retried", delay_us=9 * SECOND)
    assert after is not None
    assert after == await store.get(job.id)
    assert (after.state, after.attempt, after.error) == (State.RETRYING, 1, OOPS)
    assert after.run_at == clock() + 9 * SECOND
    (attempt,) = await store.attempts(job.id)
    assert (attempt.outcome, attempt.number, attempt.node, attempt.error) == ("retrying", 1, "n1", OOPS)
    assert (attempt.started_at, attempt.finished_at) == (START, clock())


@pytest.mark.parametrize("kind", ["failed", "cancelled"])
async def test_an_end_without_success(store: Store, clock: SteppedClock, kind: str) -> None:
    job = await put_running(store)
    clock.advance(1)
    after = await end(store, job, kind)
    assert after is not None
    assert after == await store.get(job.id)
    assert (after.state, after.error, after.finished_at) == (State(kind), OOPS, clock())
    (attempt,) = await store.attempts(job.id)
    assert (attempt.outcome, attempt.error) == (kind, OOPS)
    assert await told_of(store, job) == ["created", "started", kind]


async def test_a_job_handed_back_has_spent_nothing(store: Store, clock: SteppedClock) -> None:
    job = await put_running(store)
    clock.advance(1)
    shutdown = Failure("shutdown", "The node stopped.")
    after = await end(store, job, "released", failure=shutdown)
    assert after is not None
    assert after == await store.get(job.id)
    assert (after.state, after.attempt, after.fence, after.run_at) == (State.READY, 0, 1, START)
    (attempt,) = await store.attempts(job.id)
    assert (attempt.outcome, attempt.number, attempt.error) == ("released", 1, shutdown)
    ((event,),) = (await told(store))[2:]
    assert (event.what, event.error) == ("released", shutdown)
    await join(store, "n2")
    (again,) = await store.claim_due(1, node="n2", types=MAIL)
    assert (again.attempt, again.fence) == (1, 2)


async def test_an_old_fence_changes_nothing(store: Store) -> None:
    old = await put_running(store)
    await end(store, old, "released")
    await join(store, "n2")
    (new,) = await store.claim_due(1, node="n2", types=MAIL)
    before = await told(store), await store.attempts(old.id)
    for kind in ("succeeded", "retried", "failed", "cancelled", "released"):
        assert await end(store, old, kind) is None
    assert await store.get(old.id) == new
    assert (await told(store), await store.attempts(old.id)) == before


@pytest.mark.parametrize("count", [1, 10])
async def test_what_comes_late_is_not_of_a_job_that_came_later_under_its_id(
    store: Store, clock: SteppedClock, count: int
) -> None:
    """Its node was lost, it was deleted, submitted again and started: fence and version are the same."""
    await join(store, "n1", "n2")
    jobs = await put(store, *(new_job() for _ in range(count)))
    old = await store.claim_due(count, node="n1", types=MAIL)
    await store.deregister("n1")
    await store.reap(count)
    for job in jobs:
        await store.delete(job.id, cancel=True)
    clock.advance(1)
    await put(store, *(new_job(id=job.id) for job in jobs))
    new = await store.claim_due(count, node="n2", types=MAIL)
    assert {(job.id, job.fence, job.version) for job in new} == {(job.id, job.fence, job.version) for job in old}
    for kind in ("succeeded", "retried", "failed", "cancelled", "released"):
        why = None if kind == "succeeded" else OOPS
        late = [Outcome(job=job, kind=kind, failure=why) for job in old]
        assert await store.finish(late) == [None] * count
    assert await store.note([noted(job, 1, fraction=0.5) for job in old]) == 0
    assert await store.keep_log([logged(job, 1) for job in old], bound=10) == 0
    with pytest.raises(AttemptOver):
        await store.spawn(old[0], [child_of(old[0])])
    assert await store.keep_checkpoints([Checkpoint(job=job, value="1") for job in old]) == 0
    assert {job.id: job for job in await store.get_many([job.id for job in new])} == {job.id: job for job in new}


async def test_an_attempt_ends_once(store: Store) -> None:
    job = await put_running(store)
    after = await end(store, job, "succeeded", result="1")
    for kind in ("succeeded", "failed", "released"):
        assert await end(store, job, kind) is None
    assert await store.get(job.id) == after
    assert await told_of(store, job) == ["created", "started", "succeeded"]


async def test_an_outcome_of_a_job_that_is_not_stored_is_none(store: Store) -> None:
    assert await end(store, Job(id=new_id(), type="mail", run_at=0, created_at=0, fence=1), "succeeded") is None
    assert await told(store) == []


@pytest.mark.parametrize("kind", ["retried", "released"])
async def test_a_cancellation_that_was_requested_wins_over_running_again(store: Store, kind: str) -> None:
    job = await put_running(store)
    await store.cancel(job.id)
    after = await end(store, job, kind, delay_us=SECOND)
    assert after is not None
    assert (after.state, after.error, after.cancel_requested) == (State.CANCELLED, CANCELLED_ON_REQUEST, False)
    assert await told_of(store, job) == ["created", "started", "cancelled"]
    assert [one.outcome for one in await store.attempts(job.id)] == ["cancelled"]


@pytest.mark.parametrize(("kind", "state"), [("succeeded", State.SUCCEEDED), ("failed", State.FAILED)])
async def test_an_end_wins_over_a_cancellation_that_came_too_late(store: Store, kind: str, state: State) -> None:
    job = await put_running(store)
    await store.cancel(job.id)
    after = await end(store, job, kind)
    assert after is not None
    assert (after.state, after.cancel_requested) == (state, False)


async def test_one_batch_may_hold_all_kinds_and_stale_ones(store: Store) -> None:
    stale, *running = await start(store, *await put(store, *(new_job() for _ in range(6))))
    await end(store, stale, "released")
    kinds = ["succeeded", "retried", "failed", "cancelled", "released"]
    outcomes = [
        Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)
        for job, kind in zip(running, kinds, strict=True)
    ]
    commits = len(await told(store))
    after = await store.finish([*outcomes[:2], Outcome(job=stale, kind="failed", failure=OOPS), *outcomes[2:]])
    states = [State.SUCCEEDED, State.RETRYING, None, State.FAILED, State.CANCELLED, State.READY]
    assert [job and job.state for job in after] == states
    assert [job and await store.get(job.id) for job in after] == after
    (commit,) = (await told(store))[commits:]
    assert [event.job for event in commit] == [job.id for job in running]


async def test_of_very_many_attempts_the_last_are_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(written, "MAX_KEPT", 3)
    job, other = await put_one(store, max_attempts=9), await put_one(store)
    await join(store, "n")
    for kind in ("retried", "released", "retried", "released", "failed"):
        (running,) = await start(store, job, node="n")
        await end(store, running, kind)
    await end(store, (await start(store, other, node="n"))[0], "failed")
    assert [one.fence for one in await store.attempts(job.id)] == [3, 4, 5]
    assert [one.fence for one in await store.attempts(other.id)] == [1]


async def test_every_attempt_stays_on_record(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, max_attempts=9)
    for kind in ("retried", "released", "retried", "succeeded"):
        clock.advance(1)
        await join(store, f"n-{kind}", "last")
        (running,) = await store.claim_due(1, node=f"n-{kind}", types=MAIL)
        await end(store, running, kind)
    await store.redrive(job.id)
    (running,) = await store.claim_due(1, node="last", types=MAIL)
    found = await store.attempts(job.id)
    await end(store, running, "failed")
    ended = await store.attempts(job.id)
    assert [one.fence for one in ended] == [1, 2, 3, 4, 5]
    assert ended[-1].outcome == "failed"
    assert [(one.fence, one.number, one.outcome) for one in found] == [
        (1, 1, "retrying"),
        (2, 2, "released"),
        (3, 2, "retrying"),
        (4, 3, "succeeded"),
        (5, 1, "running"),
    ]
    assert found[-1].node == "last"
    await store.redrive(job.id)
    (running,) = await store.claim_due(1, node="last", types=MAIL)
    await end(store, running, "failed")
    assert ended[:] == (await store.attempts(job.id))[:-1]  # what was given out stays as it was
    assert await store.attempts((await put_one(store)).id) == []


async def test_a_poison_job_is_failed_after_so_many_crashes(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store)
    for crashes in range(1, MAX_CRASHES + 1):
        clock.advance(1)
        await join(store, "dead")
        (running,) = await store.claim_due(1, node="dead", types=MAIL)
        assert running.attempt == 1
        await store.deregister("dead")
        (after,) = await store.reap(10)
        assert (after.crashes, after.attempt, after.fence) == (crashes, 0, crashes)
    assert after == await store.get(job.id)
    assert (after.state, after.finished_at) == (State.FAILED, clock())
    assert after.error is not None
    assert after.error.kind == "crashed"
    assert await told_of(store, job) == ["created", *["started", "released"] * (MAX_CRASHES - 1), "started", "failed"]
    outcomes = [(one.outcome, one.error and one.error.kind) for one in await store.attempts(job.id)]
    assert outcomes == [("released", "lease_lost")] * (MAX_CRASHES - 1) + [("failed", "crashed")]
    assert (await store.redrive(job.id)).crashes == 0
