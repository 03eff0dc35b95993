"""The contract, for lists and for the index: list_jobs, queues, due, waiting_after, still_waiting, epoch."""

from __future__ import annotations

import json

import pytest

from tests.store.backends import (
    SECOND,
    START,
    Backend,
    SteppedClock,
    end,
    new_id,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
)
from tickr.jobs import Entry, Job, State
from tickr.store import answers, mysql_reads
from tickr.store.contract import COUNT_TO, LOOK_AT, Filter, Place, QueueDepth, Store

# -- lists --------------------------------------------------------------------------------------------------------


async def all_pages(store: Store, which: Filter, limit: int, look_at: int = LOOK_AT) -> list[Job]:
    found: list[Job] = []
    after: Place | None = None
    while True:
        jobs, place = await store.list_jobs(which, limit=limit, before=after, look_at=look_at)
        assert len(jobs) <= limit
        found += jobs
        if place is None:
            return found
        assert jobs or not which.empty
        assert after is None or place < after
        after = place


async def test_lists_go_from_the_newest_and_page_without_gap_or_double(store: Store, clock: SteppedClock) -> None:
    jobs: list[Job] = []
    for size in (1, 3, 2):  # several of one instant: the id decides
        clock.advance(1)
        jobs += await put(store, *(new_job() for _ in range(size)))
    expected = sorted(jobs, key=lambda job: (job.created_at, job.id), reverse=True)
    for limit in (1, 2, 4, 6, 100):
        assert await all_pages(store, Filter(), limit) == expected
    assert await store.list_jobs(Filter(), limit=6) == (expected, None)
    assert await store.list_jobs(Filter(), limit=2, before=(0, "")) == ([], None)


@pytest.fixture
async def zoo(store: Store) -> list[Job]:
    """Jobs in every state, of several types, queues and labels, as they are stored."""
    jobs = [
        await put_one(store, "mail", queue="a", labels='{"who":"me","n":"1"}'),
        await put_one(store, "mail", queue="b", delay_us=SECOND),
        await put_one(store, "web", queue="a", labels='{"who":"you"}'),
        await put_running(store, "web", queue="b", labels='{"who":"me"}'),
        await put_final(store, State.SUCCEEDED, queue="a"),
        await put_final(store, State.FAILED, queue="b", labels='{"it\'s \\"odd\\" 😀.$[0]":"%s \\\\ \\u00e9"}'),
        await put_final(store, State.CANCELLED, queue="a"),
    ]
    retrying = await end(store, await put_running(store, "web"), "retried", delay_us=2 * SECOND)
    assert retrying is not None
    return [*jobs, retrying]


LABELS = [("who", None), ("who", "me"), ("n", "1"), ("n", "me"), ('it\'s "odd" 😀.$[0]', "%s \\ é"), ("wh", None)]


@pytest.mark.parametrize(
    "which",
    [
        *(Filter(states=(state,)) for state in State),
        Filter(states=(State.SCHEDULED, State.READY)),
        Filter(states=(State.SCHEDULED, State.RUNNING, State.FAILED)),
        Filter(states=(State.READY, State.RETRYING)),
        Filter(types=("mail",)),
        Filter(types=("mail", "web"), queues=("b",)),
        Filter(queues=("nowhere",)),
        *(Filter(labels=(label,)) for label in LABELS),
        Filter(labels=(("who", "me"), ("n", None))),
        Filter(states=(State.READY,), types=("web",), queues=("a",), labels=(("who", "you"),)),
    ],
    ids=str,
)
async def test_a_filter_holds_back_what_does_not_fit(
    store: Store, clock: SteppedClock, zoo: list[Job], which: Filter
) -> None:
    for _ in range(2):  # now, and when what was scheduled is due
        expected = {job.id for job in zoo if fits(job, which, clock())}
        for limit, look_at in ((1, LOOK_AT), (3, LOOK_AT), (100, LOOK_AT), (2, 1), (1, 2), (100, 3)):
            found = await all_pages(store, which, limit, look_at)
            assert [job for job in found if job not in zoo] == []
            assert sorted(job.id for job in found) == sorted(expected)
        clock.advance(5)


def fits(job: Job, which: Filter, now: int) -> bool:
    labels = json.loads(job.labels or "{}")
    return (
        (not which.states or job.state_at(now) in which.states)
        and (not which.types or job.type in which.types)
        and (not which.queues or job.queue in which.queues)
        and all(labels.get(name, value and "no") == (value or labels.get(name)) for name, value in which.labels)
        and all(name in labels for name, _ in which.labels)
    )


# -- queues -------------------------------------------------------------------------------------------------------


async def test_queues_tell_how_deep_they_are(store: Store, clock: SteppedClock, zoo: list[Job]) -> None:
    def depth(name: str, ready: int, scheduled: int, retrying: int, running: int, oldest: int | None) -> QueueDepth:
        return QueueDepth(
            name=name,
            ready=ready,
            scheduled=scheduled,
            retrying=retrying,
            running=running,
            oldest_due_at=oldest,
            counted_to=COUNT_TO,
        )

    assert await store.queues() == [
        depth("a", 2, 0, 0, 0, START),
        depth("b", 0, 1, 0, 1, None),
        depth("default", 0, 0, 1, 0, None),
    ]
    clock.advance(1.5)
    assert (await store.queues())[1:] == [depth("b", 1, 0, 0, 1, START + SECOND), depth("default", 0, 0, 1, 0, None)]
    clock.advance(0.5)
    assert (await store.queues())[2] == depth("default", 0, 0, 1, 0, START + 2 * SECOND)
    assert await store.queue_names() == ["a", "b", "default"]


async def test_what_is_deep_is_counted_to_a_bound(
    store: Store, clock: SteppedClock, zoo: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mysql_reads, "FEW_HELD", 5)
    for queue, priority, delay_s in (("a", 1, 0), ("b", 5, 60), ("b", 7, 60)):
        await put(store, *(new_job(queue=queue, priority=priority, delay_us=delay_s * SECOND) for _ in range(3)))
    for count_to in (1, 2, 4, 100):
        a, b, default = await store.queues(count_to=count_to)
        assert {a.counted_to, b.counted_to, default.counted_to} == {count_to}
        assert (a.ready, a.scheduled, a.oldest_due_at) == (min(5, count_to), 0, START)
        assert (b.ready, b.scheduled, b.running, b.oldest_due_at) == (0, min(7, count_to), 1, None)
        assert (default.ready, default.retrying, default.oldest_due_at) == (0, 1, None)
    clock.advance(60)
    (_, b, default) = await store.queues(count_to=100)
    assert (b.ready, b.scheduled, b.oldest_due_at) == (7, 0, START + SECOND)
    assert default.oldest_due_at == START + 2 * SECOND


async def test_many_ranges_are_counted_less_far(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.name == "memory":
        pytest.skip("counts everything it has")
    monkeypatch.setattr(mysql_reads, "FEW_HELD", 5)
    monkeypatch.setattr(answers, "MOST_COUNTED", 240)
    await put(store, *(new_job(queue=f"q{n % 60:02}") for n in range(300)))
    far = {one.counted_to for one in await store.queues()}
    assert far in ({2}, {4})
    assert [one.ready for one in await store.queues()] == [*far] * 60


async def test_one_that_is_deep_among_many_is_counted_far(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.name == "memory":
        pytest.skip("counts everything it has")
    monkeypatch.setattr(mysql_reads, "FEW_HELD", 5)
    monkeypatch.setattr(answers, "MOST_COUNTED", 400)
    await put(store, *(new_job(queue=f"q{n:02}") for n in range(50)), *(new_job(queue="deep") for _ in range(150)))
    depths = {one.name: one for one in await store.queues(count_to=90)}
    assert {one.counted_to for one in depths.values()} == {90}
    assert depths.pop("deep").ready == 90
    assert {one.ready for one in depths.values()} == {1}


async def test_a_list_looks_at_no_more_jobs_than_it_may(store: Store, clock: SteppedClock) -> None:
    odd = await put_one(store, "odd")
    clock.advance(1)
    await put(store, *(new_job() for _ in range(400)))
    nothing = await store.list_jobs(Filter(types=("odd",)), limit=5, look_at=150)
    assert nothing.jobs == []
    assert nothing.after is not None
    assert await all_pages(store, Filter(types=("odd",)), 5, 150) == [odd]
    assert await store.list_jobs(Filter(types=("odd",)), limit=1) == ([odd], None)


async def test_a_queue_stays_known_when_it_is_empty(store: Store) -> None:
    assert await store.queues() == []
    await put_final(store, State.FAILED, queue="once")
    assert [(one.name, one.ready, one.running) for one in await store.queues()] == [("once", 0, 0)]


# -- for the index --------------------------------------------------------------------------------------------------


async def test_due_gives_each_queue_its_best_first(store: Store, clock: SteppedClock) -> None:
    jobs = await put(
        store,
        *(
            new_job(queue=queue, priority=priority, run_at=START + at)
            for queue in ("a", "b")
            for priority in (5, 0)
            for at in (3, -4, 0)
        ),
    )
    retried = await end(store, (await start(store, jobs[1]))[0], "retried", delay_us=0)
    assert retried is not None
    await put_running(store, queue="a")
    waits = [job for job in [retried, *jobs] if job.run_at <= START and job != jobs[1]]
    for limit in (1, 2, 3, 100):
        found = await store.due(limit)
        for queue in ("a", "b"):
            best = sorted((job.priority, job.run_at) for job in waits if job.queue == queue)[:limit]
            assert [(one.priority, one.run_at) for one in found if one.queue == queue] == best
        assert {entry.queue for entry in found} == {"a", "b"}
        assert set(found) <= {job.entry() for job in waits}


async def test_the_scan_sees_everything_that_waits_exactly_once(store: Store, zoo: list[Job]) -> None:
    more = await put(
        store,
        *(
            new_job(queue=queue, priority=priority, delay_us=delay)
            for queue in ("a", "b", "Z", "A")
            for priority in (0, 5, 9)
            for delay in (0, 0, 7, SECOND)
        ),
    )
    waits = [job for job in [*zoo, *more] if job.state in (State.READY, State.RETRYING)]
    for limit in (1, 2, 3, 7, len(waits), 1000):
        found: list[Entry] = []
        position = None
        while True:
            page, position = await store.waiting_after(position, limit)
            found += page
            assert len(page) <= limit
            if position is None:
                break
            assert page
        assert sorted(found) == sorted(job.entry() for job in waits)


async def test_an_empty_store_scans_to_its_end_at_once(store: Store) -> None:
    assert await store.waiting_after(None, 10) == ([], None)
    assert await store.due(10) == []


async def test_get_many_gives_those_that_are_stored_in_whatever_state(store: Store, zoo: list[Job]) -> None:
    ids = [job.id for job in zoo]
    found = await store.get_many([*ids, new_id(), ids[0], "nonsense", ""])
    assert {job.id: job for job in found} == {job.id: await store.get(job.id) for job in zoo}
    assert len(found) == len(zoo)
    assert await store.get_many([]) == []


async def test_still_waiting_keeps_what_waits(store: Store, zoo: list[Job]) -> None:
    ids = [job.id for job in zoo] + [new_id(), "nonsense", zoo[0].id]
    found = await store.still_waiting(ids)
    expected = [job for job in zoo if job.state in (State.READY, State.RETRYING)]
    assert sorted(found, key=lambda job: job.id) == sorted(expected, key=lambda job: job.id)
    assert await store.still_waiting([]) == []


async def test_the_first_epoch_stays(store: Store) -> None:
    assert await store.epoch("first") == "first"
    assert await store.epoch("second") == "first"


# -- clock and health -------------------------------------------------------------------------------------------------


async def test_a_fresh_store_answers_and_is_well(backend: Backend, store: Store) -> None:
    await store.ping()
    checks = await store.diagnose()
    assert checks
    assert [check for check in checks if check.level not in ("ok", "warn")] == []
    assert all(check.advice for check in checks if check.level != "ok")
    assert store.name in backend.url


async def test_the_stores_clock_can_be_read_without_asking_it(store: Store, clock: SteppedClock) -> None:
    await put_one(store)
    assert abs(store.now_us() - clock()) < SECOND
