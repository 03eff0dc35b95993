"""The contract, from outside: insert, cancel, redrive, get."""

from __future__ import annotations

import json

import msgspec
import pytest

from tests.store.backends import (
    OOPS,
    SECOND,
    START,
    Backend,
    SteppedClock,
    end,
    join,
    new_id,
    new_job,
    put,
    put_final,
    put_one,
    put_running,
    start,
    told,
    told_of,
)
from tickr.errors import IllegalTransition, JobNotFound, StoreError, VersionMismatch
from tickr.jobs import FINAL, NO_EXTRAS, Extras, Failure, State
from tickr.retry import Backoff
from tickr.store.contract import MAX_BATCH, Filter, Store


async def test_a_new_job_is_stored_as_it_was_described(store: Store) -> None:
    new = new_job(
        "thumbnail",
        queue="images",
        priority=2,
        payload='{"url": "x"}',
        max_attempts=7,
        timeout_us=1_500_000,
        backoff=Backoff(kind="linear", base=1.5, cap=9.0, jitter=0.0),
        labels='{"who":"me"}',
    )
    ((job, created),) = await store.insert([new])
    assert created
    assert (job.id, job.type, job.queue, job.priority) == (new.id, "thumbnail", "images", 2)
    assert (job.state, job.version, job.fence, job.attempt, job.crashes) == (State.READY, 1, 0, 0, 0)
    assert (job.run_at, job.created_at) == (START, START)
    assert (job.max_attempts, job.timeout_us, job.backoff, job.labels) == (7, 1_500_000, new.backoff, new.labels)
    assert (job.node, job.started_at, job.finished_at, job.result, job.error) == (None,) * 5
    assert await store.get(job.id) == job


async def test_what_few_jobs_have_comes_back_and_long_ones_too(store: Store) -> None:
    long = "k" * 128
    some = [
        new_job(limit_key="acme", extras=Extras(expires_at=START + SECOND)),
        new_job(limit_key=long, extras=Extras(tracestate="t" * 3_000)),
        new_job(),
    ]
    jobs = await put(store, *some)
    jobs += await put(store, new_job(limit_key="alone", extras=Extras(traceparent="00-1-2-01")))
    found = [await store.get(job.id) for job in jobs]
    assert found == jobs
    assert [(job.limit_key, job.extras) for job in jobs] == [
        ("acme", Extras(expires_at=START + SECOND)),
        (long, Extras(tracestate="t" * 3_000)),
        (None, NO_EXTRAS),
        ("alone", Extras(traceparent="00-1-2-01")),
    ]
    claimed = {job.id: job for job in await start(store, *jobs)}
    assert [(claimed[job.id].limit_key, claimed[job.id].extras) for job in jobs] == [
        (job.limit_key, job.extras) for job in jobs
    ]


async def test_delay_counts_from_the_stores_clock_and_run_at_wins_over_it(store: Store, clock: SteppedClock) -> None:
    clock.advance(10)
    later, fixed, past = await put(
        store,
        new_job(delay_us=3 * SECOND),
        new_job(delay_us=3 * SECOND, run_at=START + 5),
        new_job(run_at=0),
    )
    assert (later.run_at, fixed.run_at, past.run_at) == (START + 13 * SECOND, START + 5, 0)
    assert later.state is State.READY
    assert later.state_at(clock()) is State.SCHEDULED


async def test_an_id_that_is_stored_is_the_same_job_whatever_else_is_said(store: Store, clock: SteppedClock) -> None:
    first = await put_one(store, payload='{"a":1}')
    clock.advance(1)
    new = new_job()
    answers = await store.insert([new, new_job("other", id=first.id, payload='{"a":2}', queue="elsewhere")])
    assert [(job.id, created) for job, created in answers] == [(new.id, True), (first.id, False)]
    assert answers[1][0] == first == await store.get(first.id)
    assert "elsewhere" not in await store.queue_names()
    assert await told_of(store, first) == ["created"]


async def test_a_stored_id_is_answered_with_the_job_as_it_is_now(store: Store) -> None:
    running = await put_running(store)
    ((job, created),) = await store.insert([new_job(id=running.id)])
    assert (job, created) == (running, False)


async def test_an_id_twice_in_one_batch_is_stored_once(store: Store) -> None:
    new = new_job(payload="1")
    (first, created), (second, again) = await store.insert([new, new_job(id=new.id, payload="2")])
    assert (created, again) == (True, False)
    assert first == second
    assert first.payload == "1"
    assert [len(commit) for commit in await told(store)] == [1]


async def test_a_full_batch_is_answered_in_order(store: Store) -> None:
    new = [new_job(priority=number % 10, queue=f"q{number % 7}") for number in range(MAX_BATCH)]
    answers = await store.insert(new)
    assert [job.id for job, _ in answers] == [one.id for one in new]
    assert all(created for _, created in answers)
    assert await store.queue_names() == [f"q{number}" for number in range(7)]
    assert [len(commit) for commit in await told(store)] == [MAX_BATCH]
    assert await store.get(new[999].id) == answers[999][0]


async def test_nothing_new_makes_no_event_row(store: Store) -> None:
    job = await put_one(store)
    await store.insert([new_job(id=job.id)])
    assert len(await told(store)) == 1


ODD_TEXTS = [
    '{"a" :  1.0,"b":1e400, "a":2}',
    '{"big":12345678901234567890123456789}',
    '"\\u0000 \\u00e9 \\ud83d\\ude00 \\/ \\" \\\\"',
    '"é 漢字 😀 \U0010ffff \u2028 \x7f"',
    '"it\'s; -- /* %s %(x)s ? :x {} ` \\\\\' \\" */"',
    " [1,\n\t2 ] ",
    "null",
    '"  trailing  "  ',
]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
async def test_text_comes_back_exactly_as_it_was_given(store: Store, text: str) -> None:
    labels = json.dumps({"läbel": "it's 😀 \\ %s", "": ""}, ensure_ascii=False)
    job = await put_one(store, payload=text, labels=labels, type="a/b:c.d", queue="Q-1")
    await join(store, "n1")
    (running,) = await store.claim([job.id], node="n1", types=["a/b:c.d"])
    assert (running.payload, running.labels, running.type, running.queue, running.node) == (
        text, labels, "a/b:c.d", "Q-1", "n1",
    )  # fmt: skip
    retrying = await end(store, running, "retried", failure=Failure("exception", text, text))
    assert retrying is not None
    (running,) = await store.claim([job.id], node="n1", types=["a/b:c.d"])
    assert running.error == Failure("exception", text, text)
    after = await end(store, running, "succeeded", result=text)
    assert await store.get(job.id) == after
    assert after is not None
    assert (after.payload, after.result) == (text, text)
    assert (await store.attempts(job.id))[0].error == Failure("exception", text, text)
    assert (await told(store))[-1][0].result == text


async def test_a_large_payload_comes_back(store: Store) -> None:
    text = json.dumps("ä😀'\\" * 130_000, ensure_ascii=False)
    job = await put_one(store, payload=text)
    found = await store.get(job.id)
    assert found is not None
    assert found.payload == text


async def test_names_that_differ_in_case_are_different(store: Store) -> None:
    names = ["mail", "Mail", "MAIL", "mail_", "mail-"]
    jobs = await put(store, *(new_job(name, queue=name) for name in names))
    assert await store.queue_names() == sorted(names)
    await join(store, "n1")
    claimed = await store.claim_due(10, node="n1", types=["Mail", "mail%"])
    assert [job.id for job in claimed] == [jobs[1].id]
    assert [job.id for job in (await store.list_jobs(Filter(queues=("mail",)), limit=10)).jobs] == [jobs[0].id]


async def test_what_is_not_stored_is_none(store: Store) -> None:
    assert await store.get(new_id()) is None
    assert await store.get("nonsense") is None


# -- cancel -------------------------------------------------------------------------------------------------------


async def test_a_waiting_job_is_cancelled_at_once(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store, delay_us=5 * SECOND)
    clock.advance(1)
    after = await store.cancel(job.id)
    assert after == await store.get(job.id)
    assert (after.state, after.version, after.finished_at) == (State.CANCELLED, 2, START + SECOND)
    assert after.error is not None
    assert after.error.kind == "cancelled"
    clock.advance(100)
    await join(store, "n1")
    assert await store.claim([job.id], node="n1", types=["mail"]) == []
    assert await store.claim_due(10, node="n1", types=["mail"]) == []


async def test_a_job_that_waits_for_its_retry_is_cancelled(store: Store) -> None:
    job = await put_running(store)
    await end(store, job, "retried", delay_us=SECOND)
    assert (await store.cancel(job.id)).state is State.CANCELLED
    assert await told_of(store, job) == ["created", "started", "retrying", "cancelled"]


async def test_a_running_job_is_only_asked_to_stop(store: Store) -> None:
    job = await put_running(store)
    asked = await store.cancel(job.id)
    assert asked == msgspec.structs.replace(job, cancel_requested=True) == await store.get(job.id)
    assert await told_of(store, job) == ["created", "started"]
    assert await store.cancel(job.id) == asked


async def test_a_cancelled_job_is_cancelled_once(store: Store, clock: SteppedClock) -> None:
    job = await put_one(store)
    after = await store.cancel(job.id)
    clock.advance(1)
    assert await store.cancel(job.id) == after
    assert await told_of(store, job) == ["created", "cancelled"]


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED])
async def test_what_is_over_cannot_be_cancelled(store: Store, state: State) -> None:
    job = await put_final(store, state)
    with pytest.raises(IllegalTransition) as caught:
        await store.cancel(job.id)
    assert (caught.value.job_id, caught.value.state) == (job.id, state)
    assert await store.get(job.id) == job


@pytest.mark.parametrize("method", ["cancel", "redrive", "attempts"])
async def test_a_job_that_is_not_there_is_not_found(store: Store, method: str) -> None:
    missing = new_id()
    with pytest.raises(JobNotFound) as caught:
        await getattr(store, method)(missing)
    assert caught.value.job_id == missing


async def test_cancel_looks_at_the_version_first(store: Store) -> None:
    job = await put_one(store)
    with pytest.raises(VersionMismatch) as caught:
        await store.cancel(job.id, version=2)
    assert caught.value.version == 1
    assert (await store.get(job.id)) == job
    assert (await store.cancel(job.id, version=1)).version == 2
    with pytest.raises(VersionMismatch):
        await store.cancel(job.id, version=1)


# -- redrive ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", sorted(FINAL))
async def test_a_redriven_job_starts_afresh_and_keeps_its_history(
    store: Store, clock: SteppedClock, state: State
) -> None:
    over = await put_final(store, state)
    clock.advance(7)
    job = await store.redrive(over.id)
    assert job == await store.get(over.id)
    assert (job.state, job.attempt, job.crashes, job.run_at) == (State.READY, 0, 0, clock())
    assert (job.result, job.error, job.started_at, job.finished_at) == (None,) * 4
    assert (job.version, job.fence, job.created_at) == (over.version + 1, over.fence, over.created_at)
    (kept,) = await store.attempts(job.id)
    assert (kept.fence, kept.number, kept.outcome) == (1, 1, state.value)
    assert kept.finished_at == START
    await join(store, "n2")
    (again,) = await store.claim_due(1, node="n2", types=["mail"])
    assert (again.id, again.attempt, again.fence) == (job.id, 1, 2)
    assert [one.fence for one in await store.attempts(job.id)] == [1, 2]
    assert await told_of(store, job) == ["created", "started", state.value, "redriven", "started"]


async def test_what_is_not_over_cannot_be_redriven(store: Store) -> None:
    waiting, running = await put_one(store), await put_running(store)
    for job in (waiting, running):
        with pytest.raises(IllegalTransition):
            await store.redrive(job.id)
        assert await store.get(job.id) == job


async def test_redrive_looks_at_the_version_first(store: Store) -> None:
    job = await put_final(store, State.FAILED)
    with pytest.raises(VersionMismatch):
        await store.redrive(job.id, version=job.version - 1)
    assert (await store.redrive(job.id, version=job.version)).state is State.READY
    with pytest.raises(VersionMismatch):
        await store.redrive(job.id, version=job.version)


# -- whole or not at all --------------------------------------------------------------------------------------------


async def test_a_write_that_fails_in_the_middle_leaves_nothing(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        job, waiting = await put_running(store, node="gone"), await put_one(store)
        await store.deregister("gone")
        await join(store, "n1")
        new = new_job(queue="new")
        durable_backend.execute("ALTER TABLE events RENAME TO mislaid")
        for write in (
            lambda: store.insert([new]),
            lambda: end(store, job, "failed", failure=OOPS),
            lambda: store.claim([waiting.id], node="n1", types=["mail"]),
            lambda: store.cancel(waiting.id),
            lambda: store.reap(10),
        ):
            with pytest.raises(StoreError):
                await write()
        durable_backend.execute("ALTER TABLE mislaid RENAME TO events")
        assert await store.get(new.id) is None
        assert await store.queue_names() == ["default"]
        assert [await store.get(job.id), await store.get(waiting.id)] == [job, waiting]
        assert [one.outcome for one in await store.attempts(job.id)] == ["running"]
        await end(store, job, "succeeded")
        assert await told_of(store, job) == ["created", "started", "succeeded"]


async def test_what_was_stored_is_there_after_a_restart(durable_backend: Backend) -> None:
    async with durable_backend.open() as store:
        over, waiting = await put_final(store, State.FAILED), await put_one(store, queue="q")
        before = await told(store), await store.attempts(over.id), await store.epoch("e1")
    async with durable_backend.open() as store:
        assert [await store.get(over.id), await store.get(waiting.id)] == [over, waiting]
        assert (await told(store), await store.attempts(over.id), await store.epoch("e2")) == before
        assert await store.queue_names() == ["default", "q"]
        await store.cancel(waiting.id)
        assert len(await told(store)) == len(before[0]) + 1
