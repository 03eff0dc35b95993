"""The contract, of the order of queues: whoever asks a store for what should run next gets it in that order."""

from __future__ import annotations

import pytest

from tests.store.backends import SECOND, START, Backend, SteppedClock, end, join, new_job, put, told
from tests.store.test_contract_queues import claim, claim_due, numbered
from tickr.jobs import Job
from tickr.queues import Controls, JobOrder, Limits
from tickr.store.contract import Start, Store


async def next_ones(store: Store, count: int) -> list[str]:
    """Claim one after the other, from the store itself, and return the ids."""
    return [job.id for _ in range(count) for job in await claim_due(store, 1)]


def ids_of(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


async def test_an_order_is_kept_beside_the_rest_and_told(backend: Backend) -> None:
    async with backend.open() as store:
        assert await store.control("mail", order="newest") == Controls(order="newest")
        assert await store.control("mail", paused=True) == Controls(paused=True, order="newest")
        assert await store.control("mail", paused=False, limits=Limits(max_running=1)) == Controls(
            limits=Limits(max_running=1), order="newest"
        )
        await store.control("other", limits=Limits(max_running=1))
        assert await store.newest_first() == {"mail"}
        (mail, _) = await store.standings()
        assert (mail.name, mail.controls.order) == ("mail", "newest")
    if backend.durable:
        async with backend.open() as store:
            assert await store.newest_first() == {"mail"}
    async with backend.open() as store:
        if backend.durable:
            assert (await store.control("mail", limits=Limits(), order="oldest")).plain
            assert await store.newest_first() == frozenset()
            assert [one.name for one in await store.standings()] == ["other"]


async def test_what_changes_nothing_is_not_told(store: Store) -> None:
    orders: list[JobOrder] = ["oldest", "newest", "newest", "oldest"]
    for mark, order in enumerate(orders):
        await store.control("mail", order=order, mark=f"{mark}")
    events = [event for commit in await told(store) for event in commit]
    assert [event.what for event in events] == ["queue.changed", "queue.changed"]
    assert [b'"order":"newest"' in bytes(event.data) for event in events] == [True, False]  # type: ignore[attr-defined]


async def test_a_queue_that_is_taken_away_has_no_order_any_more(store: Store) -> None:
    await store.control("mail", order="newest")
    await store.drop_queue("mail")
    assert await store.newest_first() == frozenset()


async def test_claims_without_an_index_take_the_newest_of_a_priority(store: Store) -> None:
    await store.control("default", order="newest")
    plain = await put(store, *numbered(5))
    urgent = await put(store, *numbered(2, priority=1))
    wanted = [*ids_of(urgent)[::-1], *ids_of(plain)[::-1]]
    assert await next_ones(store, 4) == wanted[:4]
    assert {job.id for job in await claim_due(store, 2)} == set(wanted[4:6])
    await store.control("default", order="oldest")
    assert await next_ones(store, 2) == [wanted[6]]


async def test_a_job_that_is_tried_again_is_as_new_as_its_next_try(store: Store, clock: SteppedClock) -> None:
    await store.control("default", order="newest")
    old, new = await put(store, *numbered(2))
    (started,) = await claim(store, [old])
    await end(store, started, "retried")
    clock.advance(60)
    assert await next_ones(store, 2) == [old.id, new.id]


async def test_other_queues_go_by_their_own_order(store: Store) -> None:
    await store.control("new", order="newest")
    new, old = await put(store, *numbered(4, queue="new")), await put(store, *numbered(4, queue="old"))
    assert {job.id for job in await claim_due(store, 2, queues={"new": 2})} == set(ids_of(new[2:]))
    assert {job.id for job in await claim_due(store, 2, queues={"old": 2})} == set(ids_of(old[:2]))
    seen = await next_ones(store, 4)
    assert [one for one in seen if one in ids_of(new)] == ids_of(new[:2])[::-1]
    assert [one for one in seen if one in ids_of(old)] == ids_of(old[2:])


async def test_what_should_run_next_is_said_in_the_order(store: Store) -> None:
    await store.control("default", order="newest")
    jobs = await put(store, *numbered(5), new_job(run_at=START + SECOND))
    (retrying,) = await claim(store, jobs[:1])
    await end(store, retrying, "retried")
    (urgent,) = await put(store, *numbered(1, priority=0))
    assert [entry.id for entry in await store.due(4)] == [urgent.id, jobs[0].id, jobs[4].id, jobs[3].id]
    counts = [await store.ahead(job, count_to=10) for job in jobs[1:]]
    assert counts == [5, 4, 3, 2, 1], "and of what is not due nothing comes before another"
    assert await store.ahead(jobs[1], count_to=2) == 2


async def test_a_limit_lets_the_newest_in(store: Store) -> None:
    await store.control("default", order="newest", limits=Limits(max_running=2))
    jobs = await put(store, *numbered(5))
    assert {job.id for job in await claim(store, jobs)} == set(ids_of(jobs[3:]))


async def test_keys_that_are_full_are_passed_over(store: Store) -> None:
    await store.control("default", order="newest", limits=Limits(max_running_per_key=1))
    jobs = await put(store, *numbered(3, limit_key="a"), new_job(run_at=START - SECOND, limit_key="b"))
    assert await next_ones(store, 3) == [jobs[2].id, jobs[3].id]


@pytest.mark.parametrize("limits", [Limits(), Limits(max_running=9)])
async def test_an_order_alone_is_no_gate(store: Store, limits: Limits) -> None:
    """Who starts in the transaction that stores it may do so in such a queue; where there is a limit, nobody may."""
    await store.control("default", order="newest", limits=limits)
    await join(store, "n1")
    new = new_job()
    ((job, _),) = await store.insert([new], start=Start("n1", frozenset([new.id])))
    assert (job.node == "n1") == (limits == Limits())
