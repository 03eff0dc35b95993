"""Polls in virtual time: who gets which job when, and what becomes of one whose answer was lost."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from tests.remote.conftest import LEASE_S, Site, held
from tickr.errors import LeaseLost, LeaseMismatch, Overloaded, StoreUnavailable
from tickr.jobs import Job, State
from tickr.queues import Limits
from tickr.remote import leases
from tickr.remote.leases import Taken
from tickr.remote.settle import Report
from tickr.store.contract import Node

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_poll_brings_what_is_due_at_once_the_most_urgent_first(site: Site, autojump_clock: MockClock) -> None:
    late, _, urgent = [(await site.submit(priority=priority))[0] for priority in (5, 9, 1)]
    taken = await site.poll(most=2, wait=30)
    assert taken.created
    assert [job.id for job in taken.jobs] == [urgent.id, late.id]
    assert [(job.state, job.attempt, job.fence, job.node) for job in taken.jobs] == [
        (State.RUNNING, 1, 1, taken.lease)
    ] * 2
    assert trio.current_time() == 0


async def test_a_poll_waits_for_a_job_and_is_woken_by_it(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    async with trio.open_nursery() as nursery:

        async def submit() -> None:
            await trio.sleep(7.3)  # virtual
            await site.submit()

        nursery.start_soon(submit)
        taken = await site.poll(lease, wait=60)
    assert len(taken.jobs) == 1
    assert trio.current_time() == pytest.approx(7.3)


async def test_a_delayed_job_comes_at_its_instant_and_never_before(site: Site, autojump_clock: MockClock) -> None:
    await site.submit(delay_us=2_345_678)
    lease = await site.session()
    (job,) = (await site.poll(lease, wait=60)).jobs
    assert job.started_at is not None
    assert job.run_at <= job.started_at <= job.run_at + 1_000
    await site.submit(delay_us=1_111_111)
    (later,) = (await site.poll(lease, wait=60, held=(held(job),))).jobs
    assert later.started_at is not None
    assert later.run_at <= later.started_at <= later.run_at + 1_000


async def test_an_empty_list_when_the_time_is_over(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    await site.submit(type="other")
    assert (await site.poll(lease, wait=42)).jobs == []
    assert trio.current_time() == 42


async def test_a_lease_gets_its_own_types_and_queues_alone(site: Site, autojump_clock: MockClock) -> None:
    await site.submit(type="other", queue="mail")
    await site.submit(type="noop", queue="rest")
    (mine,) = await site.submit(type="noop", queue="mail")
    lease = await site.session("noop", queues=("mail",))
    assert [job.id for job in (await site.poll(lease, most=10)).jobs] == [mine.id]


async def test_many_who_wait_get_different_jobs(site: Site, autojump_clock: MockClock) -> None:
    taken: list[Taken] = []

    async def wait() -> None:
        taken.append(await site.poll(wait=30))

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        before = site.store.calls["claim_due"]
        await site.submit(20)
        await wait_all_tasks_blocked()
        assert len(taken) == 20
        assert site.store.calls["claim_due"] - before < 30
        await site.submit(30)
    assert len({job.id for one in taken for job in one.jobs}) == 50


async def test_limits_and_pauses_hold_for_remote_workers(site: Site, autojump_clock: MockClock) -> None:
    await site.store.control("default", limits=Limits(max_running=1))
    await site.submit(3)
    lease = await site.session()
    (first,) = (await site.poll(lease, most=3)).jobs
    assert (await site.poll(lease, most=3, wait=3, held=(held(first),))).jobs == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(succeed_later, site, lease, first, 2.5)
        began = trio.current_time()
        (second,) = (await site.poll(lease, most=3, wait=30, held=(held(first),))).jobs
        assert trio.current_time() - began == pytest.approx(2.5)
    await site.store.control("default", paused=True, limits=Limits())
    assert (await site.poll(lease, most=3, wait=3, held=(held(second),))).jobs == []
    await site.store.control("default", paused=False)
    assert len((await site.poll(lease, most=3, held=(held(second),))).jobs) == 1


async def succeed_later(site: Site, lease: str, job: Job, seconds: float) -> None:
    await trio.sleep(seconds)  # virtual
    (settled,) = await site.leases.settle(lease, [Report(job.id, job.fence, "succeeded")])
    assert settled.status == "done"


async def test_a_job_whose_answer_was_lost_is_told_with_the_next_poll(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    await site.submit(2)
    (lost,) = (await site.poll(lease)).jobs
    again = await site.poll(lease, most=5, wait=30, on=site.another_node())
    assert again.jobs == [lost]
    (other,) = (await site.poll(lease, most=5, wait=30, held=(held(lost),))).jobs
    assert other.id != lost.id


async def test_heartbeats_do_not_keep_a_job_for_ever_that_was_never_delivered(
    site: Site, autojump_clock: MockClock
) -> None:
    lease = await site.session()
    await site.submit(2)
    known, lost = (await site.poll(lease, most=2)).jobs
    assert (await site.leases.heartbeat(lease, [held(known)])).jobs == []  # its answer may be on its way
    await trio.sleep(5)  # virtual
    beat = await site.another_node().heartbeat(lease, [held(known)])
    assert beat.jobs == [lost]
    assert beat.stop == []
    assert (await site.leases.heartbeat(lease, [held(known), held(lost)])).jobs == []


async def test_what_was_never_delivered_in_its_time_is_handed_back_for_free(
    site: Site, autojump_clock: MockClock
) -> None:
    lease = await site.session()
    (slow, cancelled) = await site.submit(timeout_us=4_000_000), await site.submit()
    assert len((await site.poll(lease, most=2)).jobs) == 2
    await site.store.cancel(cancelled[0].id)
    await trio.sleep(5)  # virtual
    assert (await site.leases.heartbeat(lease, [])).jobs == []
    back = await site.get(slow[0])
    assert (back.state, back.attempt, back.crashes) == (State.READY, 0, 0)
    assert (await site.get(cancelled[0])).state is State.CANCELLED


async def test_what_is_claimed_for_a_poll_that_has_gone_is_handed_back(site: Site, autojump_clock: MockClock) -> None:
    claim_due = site.store.port.claim_due

    async def slow(*args: object, **how: object) -> list[Job]:
        claimed: list[Job] = await claim_due(*args, **how)
        await trio.sleep(1)  # virtual
        return claimed

    site.store.port.claim_due = slow
    lease = await site.session()
    (job,) = await site.submit()
    with trio.move_on_after(0.5):
        await site.poll(lease, wait=30)
    assert (await site.get(job)).state is State.RUNNING
    await trio.sleep(1)  # virtual
    back = await site.get(job)
    assert (back.state, back.attempt, back.crashes) == (State.READY, 0, 0)


async def test_a_new_lease_whose_poll_has_gone_is_forgotten(site: Site, autojump_clock: MockClock) -> None:
    with trio.move_on_after(3):
        await site.poll(wait=30)
    assert await site.store.nodes() == []


async def test_a_poll_that_waits_keeps_a_lease_without_jobs(site: Site, autojump_clock: MockClock) -> None:
    taken = await site.poll(wait=55)
    assert taken.jobs == []
    assert [node.id for node in await site.store.nodes()] == [taken.lease]


async def test_a_poll_that_waits_does_not_keep_the_lease_of_a_worker_with_jobs(
    site: Site, autojump_clock: MockClock
) -> None:
    lease = await site.session()
    await site.submit()
    (job,) = (await site.poll(lease)).jobs
    with pytest.raises(LeaseLost):
        await site.poll(lease, wait=60, held=(held(job),))
    lost = await site.get(job)
    assert (lost.state, lost.crashes) == (State.READY, 1)


async def test_a_silent_worker_loses_its_jobs_within_a_lease_and_a_sweep(site: Site, autojump_clock: MockClock) -> None:
    lease, other = await site.session(), await site.session()
    (job,) = await site.submit()
    assert len((await site.poll(lease)).jobs) == 1
    began = trio.current_time()
    (again,) = (await site.poll(other, wait=60)).jobs
    assert again.id == job.id
    assert again.fence == 2
    assert LEASE_S <= trio.current_time() - began <= LEASE_S + 2
    for call in (site.poll(lease), site.leases.heartbeat(lease, [])):
        with pytest.raises(LeaseLost):
            await call


async def test_a_newer_poll_of_a_lease_ends_the_older(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    answers: list[Taken] = []

    async def older() -> None:
        answers.append(await site.poll(lease, wait=60))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(older)
        await wait_all_tasks_blocked()
        newer = await site.poll(lease, wait=1)
    assert [one.jobs for one in answers] == [[]]
    assert newer.jobs == []
    assert trio.current_time() == 1


async def test_a_stop_answers_those_who_wait(site: Site, autojump_clock: MockClock) -> None:
    lease, idle = await site.session(), await site.session()
    async with trio.open_nursery() as nursery:
        for one, most in ((lease, 1), (idle, 0)):
            nursery.start_soon(partial(site.poll, one, most=most, wait=60))
        await trio.sleep(2)  # virtual
        site.stopping.set()
    assert trio.current_time() == 2


async def test_a_lease_is_for_the_same_to_its_end(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session("a", "b")
    poll = leases.Poll(lease, frozenset({"a"}), None, 1, trio.current_time())
    with pytest.raises(LeaseMismatch):
        await site.leases.poll(poll)
    assert (await site.leases.poll(poll._replace(types=frozenset({"b", "a"})))).jobs == []


async def test_the_row_of_a_node_is_no_lease(site: Site, autojump_clock: MockClock) -> None:
    node = "22222222-2222-7222-8222-222222222222"
    (job,) = await site.submit()
    await site.run_elsewhere(job, node)
    for call in (
        site.poll(node),
        site.leases.heartbeat(node, []),
        site.leases.settle(node, [Report(job.id, 1, "succeeded")]),
    ):
        with pytest.raises(LeaseLost):
            await call
    assert await site.leases.end(node) == []
    assert [one.id for one in await site.store.nodes()] == [node]


async def test_leases_are_bounded(site: Site, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MAX_LEASES", 2)
    await site.store.register(Node(id="a-node", host="h", pid=1, version="0", roles=("worker",)), lease_s=15)
    for _ in range(2):
        await site.session()
    with pytest.raises(Overloaded):
        await site.session()


async def test_suspects_are_started_singly(site: Site, autojump_clock: MockClock) -> None:
    jobs = await site.submit(3)
    for number in range(2):
        node = f"{number}3333333-3333-7333-8333-333333333333"
        await site.register(node, types=("noop",))
        await site.store.claim([job.id for job in jobs], node=node, types={"noop"})
        await site.store.deregister(node)
        await trio.sleep(2)  # virtual
    lease = await site.session()
    (first,) = (await site.poll(lease, most=3)).jobs
    assert first.suspect
    assert (await site.poll(lease, most=3, wait=3, held=(held(first),))).jobs == []


async def test_a_store_that_is_away_is_outlasted(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    claim_due, failures = site.store.port.claim_due, [StoreUnavailable("away")] * 3

    async def away(*args: object, **how: object) -> list[Job]:
        if failures:
            raise failures.pop()
        claimed: list[Job] = await claim_due(*args, **how)
        return claimed

    site.store.port.claim_due = away
    await site.submit()
    assert len((await site.poll(lease, wait=30)).jobs) == 1
    assert trio.current_time() <= 5


async def test_nothing_asks_the_store_while_nobody_polls(site: Site, autojump_clock: MockClock) -> None:
    lease = await site.session()
    await site.poll(lease, wait=1)
    await trio.sleep(60)  # virtual
    before = dict(site.store.calls)
    await trio.sleep(60)  # virtual
    asked = {name for name, count in site.store.calls.items() if count > before.get(name, 0)}
    assert asked <= {"nodes", "reap"}  # those are the reaper's
