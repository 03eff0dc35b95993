"""The contract, for suspects: jobs that one more lost node would end come no more at once than the claimer wants."""

from __future__ import annotations

import pytest

from tests.store.backends import SteppedClock, join, new_job, put
from tickr.jobs import MAX_CRASHES, Job, State
from tickr.store.contract import Store

MAIL = frozenset({"mail"})


async def put_jobs(store: Store, count: int) -> list[Job]:
    return await put(store, *(new_job("mail") for _ in range(count)))


async def crash(store: Store, count: int, times: int) -> list[Job]:
    """Store ``count`` jobs whose node has been lost so often."""
    jobs = await put_jobs(store, count)
    for _ in range(times):
        await join(store, "dead")
        await store.claim([job.id for job in jobs], node="dead", types=MAIL)
        await store.deregister("dead")
        jobs = await store.reap(count)
    return jobs


@pytest.mark.parametrize("straight", [False, True], ids=["by their ids", "straight from the store"])
async def test_suspects_are_claimed_as_many_at_once_as_wanted(
    store: Store, clock: SteppedClock, straight: bool
) -> None:
    suspects = await crash(store, 3, MAX_CRASHES - 1)
    others = [*await crash(store, 1, MAX_CRASHES - 2), *await put_jobs(store, 1)]
    clock.advance(1)
    await join(store, "n1")

    async def claim(most: int | None) -> list[Job]:
        if straight:
            return await store.claim_due(2, node="n1", types=MAIL, suspects=most)
        ids = [job.id for job in [*suspects, *others]]
        return await store.claim(ids, node="n1", types=MAIL, suspects=most)

    assert {job.id for job in await claim(0)} == {job.id for job in others}, "they keep nobody waiting"
    for _ in range(2):
        (one,) = await claim(1)
        assert one.suspect
    (last,) = await claim(None)
    assert last.suspect
    assert [(await store.get(job.id)).state for job in suspects] == [State.RUNNING] * 3  # type: ignore[union-attr]


async def test_a_suspect_is_cleared_when_it_is_started_over(store: Store, clock: SteppedClock) -> None:
    (job,) = await crash(store, 1, MAX_CRASHES - 1)
    assert job.suspect
    await store.cancel(job.id)
    assert not (await store.redrive(job.id)).suspect
