"""The contract, for ends that handlers write in transactions of their own: what they commit is how it has ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.store.backends import (
    OOPS,
    Backend,
    MysqlBackend,
    SteppedClock,
    end,
    new_id,
    new_job,
    put,
    put_running,
    start,
    told,
)
from tests.store.written import execute, outcome, rows_of, write_end
from tickr.errors import StoreError
from tickr.jobs import Job, State
from tickr.reports import Outcome
from tickr.store.changes import CHECKPOINT_LOOK_US
from tickr.store.contract import Store
from tickr.store.ended import statement
from tickr.store.memory import MemoryStore

RESULT = json.dumps({"paid": 'a "quoted" \\ line, 漢😀'}, ensure_ascii=False)


@pytest.fixture
def clock(durable_backend: Backend) -> SteppedClock:
    return durable_backend.clock


@pytest.fixture
async def store(durable_backend: Backend) -> AsyncIterator[Store]:
    async with durable_backend.open() as opened:
        yield opened


async def lose(store: Store, job: Job) -> Job:
    assert job.node is not None
    await store.deregister(job.node)
    (taken_back,) = await store.reap(10)
    assert await store.get(job.id) == taken_back
    return taken_back


async def test_what_was_committed_before_the_node_was_lost_has_succeeded(store: Store) -> None:
    job = await put_running(store)
    await write_end(store, job, RESULT)
    after = await lose(store, job)
    assert (after.state, after.result, after.attempt, after.crashes) == (State.SUCCEEDED, RESULT, 1, 0)
    assert after.finished_at is not None
    assert [event.what for commit in await told(store) for event in commit] == ["created", "started", "succeeded"]
    assert await rows_of(store) == 0


async def test_among_many_lost_ones_each_is_what_it_was(store: Store) -> None:
    running = await start(store, *await put(store, *(new_job() for _ in range(6))))
    for job in running[::2]:
        await write_end(store, job, '"done"')
    await store.deregister("n1")
    assert {job.id: (job.state, job.result) for job in await store.reap(10)} == {
        job.id: (State.SUCCEEDED, '"done"') if n % 2 == 0 else (State.READY, None) for n, job in enumerate(running)
    }


async def test_a_job_that_may_not_be_begun_twice_has_succeeded_all_the_same(store: Store) -> None:
    job = await put_running(store, max_attempts=1)
    await write_end(store, job)
    assert (await lose(store, job)).state is State.SUCCEEDED


async def test_one_that_was_taken_over_writes_nothing(store: Store) -> None:
    job = await put_running(store)
    assert (await lose(store, job)).state is State.READY
    with pytest.raises(StoreError, match="running_since"):
        await write_end(store, job)
    (again,) = await start(store, job, node="n2")
    with pytest.raises(StoreError, match="running_since"):
        await write_end(store, job)
    await write_end(store, again, "2")
    assert (await lose(store, again)).result == "2"


async def test_it_does_not_write_the_end_of_a_job_that_came_later_under_its_id(
    store: Store, clock: SteppedClock
) -> None:
    old = await put_running(store)
    assert (await lose(store, old)).state is State.READY
    await store.delete(old.id, cancel=True)
    clock.advance(1)
    (new,) = await start(store, *await put(store, new_job(id=old.id)), node="n2")
    assert new.fence == old.fence
    with pytest.raises(StoreError, match="running_since"):
        await write_end(store, old)
    await write_end(store, new)


@pytest.mark.parametrize("kind", ["succeeded", "retried", "failed", "cancelled", "released"])
async def test_after_its_end_it_writes_nothing(store: Store, kind: str) -> None:
    job = await put_running(store)
    await end(store, job, kind)
    with pytest.raises(StoreError, match="running_since"):
        await write_end(store, job)
    assert await rows_of(store) == 0


async def test_an_end_is_written_once(store: Store) -> None:
    job = await put_running(store)
    await write_end(store, job, "1")
    with pytest.raises(StoreError):
        await write_end(store, job, "2")


@pytest.mark.parametrize("kind", ["retried", "failed", "cancelled", "released", "awaiting"])
async def test_whatever_its_worker_says_after_it_the_job_has_succeeded(store: Store, kind: Any) -> None:
    job = await put_running(store)
    await write_end(store, job, RESULT)
    (after,) = await store.finish([outcome(job, kind, failure=OOPS, delay_us=5, cut_off=kind == "released")])
    assert after is not None
    assert (after.state, after.result, after.error, after.attempt) == (State.SUCCEEDED, RESULT, None, 1)
    assert await store.get(job.id) == after
    assert [event.what for commit in await told(store) for event in commit] == ["created", "started", "succeeded"]
    assert await rows_of(store) == 0


@pytest.mark.parametrize(("returned", "stands"), [(None, "1"), ("2", "2")])
async def test_what_the_handler_returns_goes_before(store: Store, returned: str | None, stands: str) -> None:
    job = await put_running(store)
    await write_end(store, job, "1")
    (after,) = await store.finish([outcome(job, "succeeded", result=returned)])
    assert after is not None
    assert (after.state, after.result) == (State.SUCCEEDED, stands)
    assert (await rows_of(store), await store.get(job.id)) == (0, after)


async def test_a_statement_that_was_not_used_changes_nothing(store: Store) -> None:
    first, second, third = await start(store, *await put(store, new_job(), new_job(), new_job()))
    await write_end(store, third, "3")
    made = [
        outcome(first, "retried", failure=OOPS),
        outcome(second, "succeeded", result="2"),
        outcome(third, "succeeded"),
    ]
    after = [job and (job.state, job.result) for job in await store.finish(made)]
    assert after == [(State.RETRYING, None), (State.SUCCEEDED, "2"), (State.SUCCEEDED, "3")]


async def test_others_of_the_same_commit_end_as_ever(store: Store) -> None:
    running = await start(store, *await put(store, *(new_job() for _ in range(4))))
    await write_end(store, running[1], "1")
    await store.cancel(running[3].id)
    made = [
        Outcome(job=running[0], kind="succeeded", result="0"),
        outcome(running[1], "failed", failure=OOPS),
        Outcome(job=running[2], kind="failed", failure=OOPS),
        Outcome(job=running[3], kind="retried", failure=OOPS),
    ]
    after = await store.finish(made)
    assert [job and job.state for job in after] == [
        State.SUCCEEDED,
        State.SUCCEEDED,
        State.FAILED,
        State.CANCELLED,
    ]
    assert after == [await store.get(job.id) for job in running]


async def test_a_late_outcome_leaves_alone_what_the_next_attempt_has_written(store: Store) -> None:
    job = await put_running(store)
    await lose(store, job)
    (again,) = await start(store, job, node="n2")
    await write_end(store, again, "2")
    assert await store.finish([outcome(job, "succeeded", result="1")]) == [None]
    assert (await lose(store, again)).result == "2"


async def test_a_cancellation_that_came_too_late_is_none(store: Store) -> None:
    job = await put_running(store)
    await write_end(store, job)
    await store.cancel(job.id)
    assert (await lose(store, job)).state is State.SUCCEEDED


async def test_a_row_does_not_speak_for_a_job_that_came_later_under_the_same_id(
    store: Store, clock: SteppedClock
) -> None:
    job = await put_running(store, id=new_id())
    await write_end(store, job, '"old"')
    await store.finish([Outcome(job=job, kind="succeeded")])  # by one who does not know of it
    assert await rows_of(store) == 1
    clock.advance(60)
    assert (await store.prune_jobs(State.SUCCEEDED, clock.now, 10)).deleted == 1
    again = await put_running(store, id=job.id)
    assert again.fence == job.fence
    assert (await lose(store, again)).state is State.READY


async def test_rows_that_stand_for_nothing_are_deleted_and_others_stay(store: Store, clock: SteppedClock) -> None:
    over, running = await start(store, *await put(store, new_job(), new_job()))
    await write_end(store, over)
    await write_end(store, running, "7")
    await store.finish([Outcome(job=over, kind="succeeded")])
    clock.advance(CHECKPOINT_LOOK_US / 1_000_000)
    await store.prune_checkpoints(10)
    assert await rows_of(store) == 1
    assert (await lose(store, running)).result == "7"


@pytest.mark.parametrize("result", ["no JSON", "", "{", '"' + "x" * 1024 * 1024 + '"'], ids=len)
async def test_what_cannot_be_a_result_is_not_taken(store: Store, result: str) -> None:
    job = await put_running(store)
    with pytest.raises(StoreError):
        await write_end(store, job, result)
    assert await rows_of(store) == 0


async def test_its_length_may_be_what_it_may_be(store: Store) -> None:
    job = await put_running(store)
    result = '"' + "x" * (1024 * 1024 - 2) + '"'
    await write_end(store, job, result)
    assert (await lose(store, job)).result == result


@pytest.mark.slow
async def test_mysql_puts_the_end_and_the_takeover_in_an_order(mysql_url: str) -> None:
    """While the handler's transaction is open, its job is taken over by nobody."""
    backend = MysqlBackend(mysql_url)
    async with backend.open() as other, backend.open() as store:
        first, second = await start(store, *await put(store, new_job(), new_job()))
        await store.deregister("n1")

        async def handler(tx: Any) -> None:
            sql, parameters = statement("mysql", first, "1")
            await tx.run(sql, *parameters)
            assert [job.id for job in await store.reap(10)] == [second.id], "the first is locked, and passed over"

        await other._transactions.run(handler, within_s=10)  # type: ignore[attr-defined]
        assert [(job.id, job.state, job.result) for job in await store.reap(10)] == [(first.id, State.SUCCEEDED, "1")]


@pytest.mark.slow
async def test_mysql_an_outcome_waits_for_the_transaction_that_is_open(mysql_url: str) -> None:
    backend = MysqlBackend(mysql_url)
    async with backend.open() as other, backend.open() as store:
        job = await put_running(store)
        after: list[Job | None] = []

        async def finish() -> None:
            after.extend(await store.finish([outcome(job, "released", failure=OOPS)]))

        async with trio.open_nursery() as nursery:

            async def handler(tx: Any) -> None:
                sql, parameters = statement("mysql", job, "1")
                await tx.run(sql, *parameters)
                nursery.start_soon(finish)
                with trio.move_on_after(0.2):
                    await trio.sleep_forever()
                assert after == []

            await other._transactions.run(handler, within_s=10)  # type: ignore[attr-defined]
        assert [one and (one.state, one.result) for one in after] == [(State.SUCCEEDED, "1")]


def test_a_store_in_memory_has_no_database_to_share() -> None:
    with pytest.raises(RuntimeError, match="a store in memory has no database"):
        statement(MemoryStore.name, new_running(), None)


def new_running() -> Job:
    return Job(id=new_id(), type="t", payload="{}", state=State.RUNNING, run_at=0, created_at=0)


async def test_the_tables_may_be_elsewhere(store: Store) -> None:
    job = await put_running(store)
    schema = "main"
    if store.name == "mysql":
        ((schema,),) = await execute(store, "SELECT DATABASE()")
        schema = schema.decode() if isinstance(schema, bytes) else schema
    sql, parameters = statement(store.name, job, "1", schema)
    assert f" {schema}.ended " in sql
    await execute(store, sql, *parameters)
    assert (await lose(store, job)).result == "1"


def test_mysql_is_asked_to_lock_the_job() -> None:
    """MariaDB 10.11 and MySQL 9.7 lock what an INSERT reads in any case, as far as was tried; neither promises it."""
    assert "LOCK IN SHARE MODE))" in statement("mysql", new_running(), None).sql
