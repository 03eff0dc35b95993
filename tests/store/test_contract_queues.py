"""The contract, of queues: what is set on them holds for every way in which a job can start."""

from __future__ import annotations

import trio

from tests.store.backends import SECOND, START, Backend, SteppedClock, end, join, new_job, put, told
from tickr.jobs import Job, NewJob
from tickr.queues import NO_LIMITS, Controls, Limits, Rate
from tickr.store.contract import Start, Store

ONE_AT_A_TIME = Limits(max_running=1)


async def claim(store: Store, jobs: list[Job], *, node: str = "n1") -> list[Job]:
    await join(store, node)
    return await store.claim([job.id for job in jobs], node=node, types={"mail"})


async def claim_due(store: Store, limit: int = 100, **options: object) -> list[Job]:
    await join(store, "n1")
    return await store.claim_due(limit, node="n1", types={"mail"}, **options)  # type: ignore[arg-type]


def numbered(count: int, **fields: object) -> list[NewJob]:
    """Return jobs that should run in their order."""
    return [new_job(run_at=START - 1_000 + at, **fields) for at in range(count)]


async def test_what_is_set_on_a_queue_is_kept_part_by_part(backend: Backend) -> None:
    limits = Limits(max_running=3, max_running_per_key=1, rate=Rate(10, 60 * SECOND))
    async with backend.open() as store:
        assert await store.control("mail", paused=True) == Controls(paused=True)
        assert await store.control("mail", limits=limits) == Controls(paused=True, limits=limits)
        (standing,) = await store.standings()
        assert (standing.name, standing.controls, standing.running) == ("mail", Controls(paused=True, limits=limits), 0)
        assert await store.queue_names() == ["mail"]
        assert await store.control("mail", paused=False) == Controls(limits=limits)
    if backend.durable:
        async with backend.open() as store:
            assert [one.controls for one in await store.standings(["mail", "other"])] == [Controls(limits=limits)]


async def test_what_is_set_on_a_queue_is_told_and_what_changes_nothing_is_not(store: Store) -> None:
    await put(store, new_job(queue="mail"))
    rate = Limits(max_running=3, rate=Rate(10, 90 * SECOND))
    wishes = {"paused": True}, {"paused": True}, {"limits": rate}, {}, {"paused": False, "limits": NO_LIMITS}
    for mark, wish in enumerate(wishes):
        await store.control("mail", mark=f"{mark}", **wish)  # type: ignore[arg-type]
    _, *commits = await told(store)
    news = [event for commit in commits for event in commit]
    assert [event.what for event in news] == ["queue.paused", "queue.changed", "queue.resumed", "queue.changed"]
    assert [len(commit) for commit in commits] == [1, 1, 2], "those of one change are told together"
    assert {(event.name, event.queue, event.job, event.time) for event in news} == {("mail", "mail", "", START)}  # type: ignore[attr-defined]
    assert len({event.id for event in news}) == 4
    limited = b'"max_running":3,"max_running_per_key":null,"rate":{"starts":10,"period":90.0}}}'
    assert bytes(news[1].data) == b'{"queue":{"name":"mail","paused":true,"paused_until":null,' + limited  # type: ignore[attr-defined]
    plain = b'{"queue":{"name":"mail","paused":false,"paused_until":null,"max_running":null,'
    plain += b'"max_running_per_key":null,"rate":null}}'
    assert bytes(news[3].data) == bytes(news[2].data) == plain  # type: ignore[attr-defined]


async def test_a_queue_that_is_plain_again_has_no_standing(store: Store) -> None:
    await store.control("mail", paused=True, limits=ONE_AT_A_TIME)
    await store.control("mail", limits=NO_LIMITS)
    assert (await store.control("mail", paused=False)).plain
    assert await store.standings() == []
    assert await store.control("mail") == Controls()
    assert await store.standings(["mail"]) == []


async def test_nothing_of_a_paused_queue_is_claimed(store: Store) -> None:
    jobs = await put(store, *numbered(2, queue="slow"), new_job(queue="fast", run_at=START))
    await store.control("slow", paused=True)
    assert [job.queue for job in await claim(store, jobs)] == ["fast"]
    assert await claim_due(store) == []
    await store.control("slow", paused=False)
    assert [job.id for job in await claim(store, jobs)] == [job.id for job in jobs[:2]]


async def test_no_more_run_at_once_than_may(store: Store) -> None:
    jobs = await put(store, *numbered(5))
    await store.control("default", limits=Limits(max_running=2))
    first = await claim(store, jobs)
    assert [job.id for job in first] == [job.id for job in jobs[:2]]
    assert await claim(store, jobs, node="n2") == []
    assert await claim_due(store) == []
    await end(store, first[0], "succeeded")
    assert [job.id for job in await claim_due(store)] == [jobs[2].id]
    (standing,) = await store.standings()
    assert standing.running == 2


async def test_a_lost_job_counts_until_it_is_taken_back(store: Store) -> None:
    jobs = await put(store, *numbered(2))
    await store.control("default", limits=ONE_AT_A_TIME)
    (lost,) = await claim(store, jobs, node="n1")
    await store.deregister("n1")
    assert await claim(store, jobs, node="n2") == []
    assert [job.id for job in await store.reap(10)] == [lost.id]
    assert [job.id for job in await claim(store, jobs, node="n2")] == [lost.id]


async def test_no_more_of_a_key_run_at_once_than_may_and_others_pass_them(store: Store) -> None:
    jobs = await put(store, *numbered(3, limit_key="a"), *numbered(2, limit_key="b"), *numbered(2))
    await store.control("default", limits=Limits(max_running_per_key=1))
    started = await claim(store, jobs)
    assert sorted(str(job.limit_key) for job in started) == ["None", "None", "a", "b"]
    (standing,) = await store.standings()
    assert (standing.running, standing.keys) == (4, {"a": 1, "b": 1})
    assert await claim_due(store) == []
    await end(store, next(job for job in started if job.limit_key == "b"), "failed")
    assert [job.limit_key for job in await claim_due(store)] == ["b"]


async def test_a_key_that_is_full_does_not_keep_the_rest_of_a_long_line(store: Store) -> None:
    await put(store, *numbered(50, limit_key="a"))
    (behind,) = await put(store, new_job(limit_key="b", run_at=START))
    await store.control("default", limits=Limits(max_running_per_key=1))
    claimed = [job for _ in range(2) for job in await claim_due(store, 2)]  # at once, or one after the other
    assert [job.limit_key for job in claimed] == ["a", "b"]
    assert claimed[1].id == behind.id


async def test_no_period_sees_more_starts_than_it_may(store: Store, clock: SteppedClock) -> None:
    jobs = await put(store, *numbered(10))
    await store.control("default", limits=Limits(rate=Rate(3, 60 * SECOND)))
    assert len(await claim(store, jobs[:2])) == 2
    clock.advance(30)
    assert len(await claim(store, jobs)) == 1
    assert await claim_due(store) == []
    clock.advance(29.9)
    assert await claim(store, jobs) == []
    clock.advance(1.2)
    assert len(await claim_due(store)) == 2
    clock.advance(30)
    assert len(await claim_due(store)) == 1


async def test_jobs_of_queues_that_are_not_plain_do_not_start_with_their_submission(store: Store) -> None:
    await store.control("slow", limits=ONE_AT_A_TIME)
    await join(store, "n1")
    new = [new_job(queue="slow"), new_job(queue="fast")]
    answers = await store.insert(new, start=Start("n1", frozenset(one.id for one in new)))
    assert [(job.queue, job.state) for job, _ in answers] == [("slow", "ready"), ("fast", "running")]
    (alone,) = [new_job(queue="slow")]
    ((job, created),) = await store.insert([alone], start=Start("n1", frozenset([alone.id])))
    assert (job.state, created) == ("ready", True)


async def test_straight_from_the_store_only_queues_that_were_asked_for(store: Store) -> None:
    jobs = await put(store, *(one for queue in ("a", "b", "c") for one in numbered(4, queue=queue)))
    claimed = await claim_due(store, queues={"a": 2, "c": 100, "unknown": 5})
    assert sorted(job.queue for job in claimed) == ["a", "a", "c", "c", "c", "c"]
    assert await claim_due(store, queues={}) == []
    assert await claim_due(store, 1, queues={"a": 5}) != []
    assert {job.id for job in claimed} < {job.id for job in jobs}


async def test_many_claims_at_once_do_not_pass_a_limit_together(backend: Backend) -> None:
    async with backend.open() as store:
        jobs = await put(store, *numbered(40))
        await store.control("default", limits=Limits(max_running=7))
        for n in range(4):
            await join(store, f"n{n}")
        started: list[Job] = []

        async def rival(n: int) -> None:
            mine = jobs[n::4]
            for at in range(0, len(mine), 2):
                ids = [job.id for job in mine[at : at + 2]]
                started.extend(await store.claim(ids, node=f"n{n}", types={"mail"}))
                started.extend(await store.claim_due(1, node=f"n{n}", types={"mail"}))

        async with trio.open_nursery() as nursery:
            for n in range(4):
                nursery.start_soon(rival, n)
        assert len(started) == 7
        assert (await store.standings())[0].running == 7


async def test_what_waits_tells_its_key(store: Store) -> None:
    jobs = await put(
        store, new_job(limit_key="a", run_at=START), new_job(run_at=START), new_job(limit_key="b", delay_us=9)
    )
    page, _ = await store.waiting_after(None, 10)
    assert {entry.id: entry.limit_key for entry in page} == {job.id: job.limit_key for job in jobs}
    assert {entry.limit_key for entry in await store.due(10)} == {"a", None}
    assert {job.entry() for job in jobs} == set(page)


async def test_what_comes_before_a_job_is_counted_and_only_that(store: Store) -> None:
    low, high = numbered(4), numbered(2, priority=1)
    later = new_job(priority=0, delay_us=9 * SECOND)
    jobs = await put(store, *low, *high, later, *numbered(3, queue="other"), *numbered(2, priority=7))
    third = jobs[2]
    assert await store.ahead(third, count_to=100) == 2 + 2
    assert await store.ahead(third, count_to=3) == 3
    assert await store.ahead(jobs[4], count_to=100) == 0
    assert await store.ahead(jobs[6], count_to=100) == 0
    await join(store, "n1")
    await store.claim([jobs[0].id, jobs[4].id], node="n1", types={"mail"})
    assert await store.ahead(third, count_to=100) == 2
