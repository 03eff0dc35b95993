"""The contract, of queues of single nodes: that node alone may run their jobs, and when it is gone they are ended."""

from __future__ import annotations

import pytest

from tests.store.backends import START, join, new_id, new_job, put, told
from tickr.edits import Edit
from tickr.errors import NotEditable
from tickr.jobs import Failure, Job, State
from tickr.names import queue_of_node
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation
from tickr.reports import Outcome
from tickr.store.contract import Filter, Start, Store

MINE, THEIRS = queue_of_node("n1"), queue_of_node("n2")
WHY = Failure("retry_later", "429")


async def claim(store: Store, *jobs: Job, node: str) -> list[str]:
    claimed = await store.claim([job.id for job in jobs], node=node, types={"mail"})
    return [job.id for job in claimed]


async def test_only_its_node_may_have_it_whatever_way_it_asks(store: Store) -> None:
    await join(store, "n1")
    await join(store, "n2")
    mine, theirs, free = await put(store, *(new_job(run_at=START, queue=queue) for queue in (MINE, THEIRS, "default")))
    assert await claim(store, mine, theirs, node="n2") == [theirs.id]
    found = await store.claim_due(10, node="n2", types={"mail"})
    assert [job.id for job in found] == [free.id]
    assert await store.claim_due(10, node="n2", types={"mail"}, queues={MINE: 10}) == []
    found = await store.claim_due(10, node="n1", types={"mail"}, queues={MINE: 10, "default": 10})
    assert [job.id for job in found] == [mine.id]
    assert await store.reap(10) == []


async def test_it_starts_with_its_submission_at_its_own_node(store: Store) -> None:
    await join(store, "n1")
    new = new_job(queue=MINE)
    ((job, _),) = await store.insert([new], start=Start("n1", frozenset([new.id])))
    assert (job.state, job.node) == (State.RUNNING, "n1")


@pytest.mark.parametrize("ends", ["deregister", "expire"])
async def test_what_waits_for_a_node_that_is_gone_is_cancelled_and_its_queue_forgotten(store: Store, ends: str) -> None:
    await join(store, "n1")
    await join(store, "n2")
    jobs = await put(store, new_job(run_at=START, queue=MINE), new_job(run_at=START + 10**9, queue=MINE))
    await put(store, new_job(run_at=START, queue=THEIRS), new_job(run_at=START))
    if ends == "deregister":
        await store.deregister("n1")
    else:
        (node,) = [one for one in await store.nodes() if one.id == "n1"]
        assert node.lease_until is not None
        assert await store.expire("n1", lease_until=node.lease_until)
    assert {job.id for job in await store.reap(10)} == {job.id for job in jobs}
    for job in jobs:
        found = await store.get(job.id)
        assert found is not None
        assert (found.state, found.error) == (
            State.CANCELLED, Failure("node_gone", "Node n1, which alone was to run it, is gone."),
        )  # fmt: skip
    assert await store.reap(10) == []
    assert await store.queue_names() == sorted([THEIRS, "default"])
    assert [event.what for commit in await told(store) for event in commit].count("cancelled") == 2


async def test_a_few_at_a_time_and_what_comes_after_the_end_as_well(store: Store) -> None:
    jobs = await put(store, *(new_job(run_at=START + at, queue=MINE) for at in range(5)))
    counts = [len(await store.reap(2)) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    (late,) = await put(store, new_job(run_at=START, queue=MINE))
    assert [job.id for job in await store.reap(2)] == [late.id]
    assert {(await store.get(job.id)).state for job in jobs} == {State.CANCELLED}  # type: ignore[union-attr]


async def test_what_ran_there_is_taken_back_and_then_ended_and_runs_nowhere_else(store: Store) -> None:
    await join(store, "n1")
    await join(store, "n2")
    (job,) = await put(store, new_job(run_at=START, queue=MINE))
    assert await claim(store, job, node="n1") == [job.id]
    await store.deregister("n1")
    ended = [*await store.reap(10), *await store.reap(10)]
    assert [(one.id, one.state) for one in ended][-1] == (job.id, State.CANCELLED)
    assert await claim(store, job, node="n2") == []
    await store.reap(10)
    assert await store.queue_names() == []


async def test_an_attempt_neither_takes_it_elsewhere_nor_holds_it_up(store: Store) -> None:
    await join(store, "n1")
    (job,) = await put(store, new_job(run_at=START, queue=MINE))
    (claimed,) = await store.claim([job.id], node="n1", types={"mail"})
    (after,) = await store.finish([Outcome(job=claimed, kind="retried", failure=WHY, queue="slow", hold_us=10**6)])
    assert after is not None
    assert (after.queue, after.state) == (MINE, State.RETRYING)
    assert await store.standings() == []
    assert await claim(store, after, node="n1") == [job.id]


@pytest.mark.parametrize("action", ["edit", "retry"])
async def test_nobody_takes_it_from_its_node_by_changing_it(store: Store, action: str) -> None:
    await join(store, "n1")
    (job,) = await put(store, new_job(run_at=START, queue=MINE))
    state = State.READY
    change = store.edit
    if action == "retry":
        state, change = (await store.cancel(job.id)).state, store.redrive
    with pytest.raises(NotEditable, match="of a broadcast"):
        await change(job.id, edit=Edit(queue="default", priority=1))
    which = Filter(states=(state,))
    begun = await store.move_operation(Begin(Operation(id=new_id(), action=action, which=which, edit=Edit(queue="q"))))
    assert begun.after is not None
    moved = await store.move_operation(Step(begun.after.id, begun.after.version, (job.id,), None, last=True))
    assert moved.after is not None
    assert (moved.after.done, moved.after.skipped) == (0, 1)
    await change(job.id, edit=Edit(priority=1))
    found = await store.get(job.id)
    assert found is not None
    assert (found.queue, found.priority) == (MINE, 1)
    assert await claim(store, job, node="n1") == [job.id]
