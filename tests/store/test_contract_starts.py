"""The contract, for jobs that start in the transaction that stores them: as if stored, and then claimed at once."""

from __future__ import annotations

import pytest

from tests.store.backends import (
    SECOND,
    START,
    SteppedClock,
    assert_lawful,
    end,
    join,
    new_job,
    put_one,
    start,
    told,
    told_of,
)
from tickr.errors import DuplicateJob
from tickr.jobs import NewJob, State
from tickr.store.contract import Start, Store


def all_of(*new: NewJob, node: str = "n1") -> Start:
    return Start(node, frozenset([one.id for one in new]))


async def test_it_is_what_an_insert_and_a_claim_would_have_made_of_it(store: Store) -> None:
    new = new_job(payload='{"a":1}', labels='{"who":"me"}', priority=3, queue="q", timeout_us=SECOND)
    twin = await put_one(
        store, **{f: getattr(new, f) for f in ("payload", "labels", "priority", "queue", "timeout_us")}
    )
    (claimed,) = await start(store, twin)
    ((job, created),) = await store.insert([new], start=all_of(new))
    assert created
    assert job == await store.get(new.id)
    for field in job.__struct_fields__:
        if field != "id":
            assert getattr(job, field) == getattr(claimed, field), field
    assert (job.state, job.version, job.fence, job.attempt, job.node) == (State.RUNNING, 2, 1, 1, "n1")
    (attempt,) = await store.attempts(job.id)
    assert (attempt.fence, attempt.number, attempt.node, attempt.started_at) == (1, 1, "n1", START)
    commits = await told(store)
    assert [event.what for event in commits[-1]] == ["created", "started"], "both in the commit that stored it"
    assert_lawful(commits)
    assert "q" in await store.queue_names()


async def test_only_those_asked_for_start_and_the_others_wait(store: Store) -> None:
    await join(store, "n1")
    first, second, third = new_job(), new_job(), new_job()
    answers = await store.insert([first, second, third], start=all_of(second))
    assert [job.state for job, _ in answers] == [State.READY, State.RUNNING, State.READY]
    assert [job.id for job, _ in answers] == [first.id, second.id, third.id]
    assert {entry.id for entry in await store.due(10)} == {first.id, third.id}
    assert [held.id for held in await store.heartbeat("n1", lease_s=15) or []] == [second.id]


async def test_what_is_not_due_does_not_start(store: Store, clock: SteppedClock) -> None:
    await join(store, "n1")
    delayed, later, past = new_job(delay_us=1), new_job(run_at=START + 1), new_job(run_at=START - SECOND)
    answers = await store.insert([delayed, later, past], start=all_of(delayed, later, past))
    assert [job.state for job, _ in answers] == [State.READY, State.READY, State.RUNNING]


async def test_for_a_node_without_a_row_nothing_starts(store: Store) -> None:
    new = new_job()
    ((job, created),) = await store.insert([new], start=all_of(new, node="gone"))
    assert (job.state, job.version, job.node, created) == (State.READY, 1, None, True)
    assert await told_of(store, job) == ["created"]


async def test_what_is_stored_already_is_not_started(store: Store) -> None:
    await join(store, "n1")
    stored, other = await put_one(store), new_job()
    again = new_job(id=stored.id)
    answers = await store.insert([again, other], start=all_of(again, other))
    assert [(job.state, created) for job, created in answers] == [(State.READY, False), (State.RUNNING, True)]
    repeated = await store.insert([other, other], start=all_of(other))
    assert [(job.fence, job.state, created) for job, created in repeated] == [(1, State.RUNNING, False)] * 2


async def test_an_id_twice_in_a_batch_starts_once(store: Store) -> None:
    await join(store, "n1")
    new = new_job()
    answers = await store.insert([new, new], start=all_of(new))
    assert [(job.state, job.fence, created) for job, created in answers] == [
        (State.RUNNING, 1, True),
        (State.RUNNING, 1, False),
    ]
    assert await told_of(store, answers[0][0]) == ["created", "started"]


async def test_a_whole_that_is_refused_starts_nothing(store: Store) -> None:
    await join(store, "n1")
    stored, new = await put_one(store, payload='{"a":1}'), new_job()
    with pytest.raises(DuplicateJob):
        await store.insert([new, new_job(id=stored.id, payload="2")], whole=True, start=all_of(new))
    assert await store.get(new.id) is None
    assert await store.heartbeat("n1", lease_s=15) == []


async def test_it_ends_and_is_reaped_like_any_other(store: Store) -> None:
    await join(store, "n1")
    ends, lost = new_job(), new_job()
    (ending, _), _ = await store.insert([ends, lost], start=all_of(ends, lost))
    done = await end(store, ending, "succeeded", result="7")
    assert done is not None
    assert (done.state, done.result, done.version) == (State.SUCCEEDED, "7", 3)
    await store.deregister("n1")
    (reaped,) = await store.reap(10)
    assert (reaped.id, reaped.state, reaped.crashes, reaped.attempt) == (lost.id, State.READY, 1, 0)
    assert_lawful(await told(store))
