"""The statement by which a handler writes its job's end: who gets it, and what is known of it when the attempt ends."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs
from trio.testing import MockClock

import tickr
from tests.worker.attempts import claimed, outcome_of, running_pool
from tests.worker.test_batches import of, outcomes_of
from tickr import jobs as records
from tickr.announce import Announcer
from tickr.bell import LocalBell
from tickr.index.heap import HeapIndex
from tickr.jobs import Extras, State
from tickr.reports import Outcome
from tickr.store.contract import Clock
from tickr.store.memory import MemoryStore
from tickr.testing import running
from tickr.worker.handlers import Jobs
from tickr.worker.outcomes import Outcomes
from tickr.worker.view import MAX_END_BYTES, Job


async def test_a_handler_gets_it_with_its_own_id_and_fence(autojump_clock: MockClock) -> None:
    got: list[Any] = []

    async def handler(job: tickr.Job) -> None:
        got.append(job.end_statement({"a": 1}))
        got.append(job.end_statement(schema="tickr"))

    outcome = await outcome_of(handler, fence=7)
    (sql, parameters), (elsewhere, without) = got
    assert sql.count("?") == len(parameters) == 6
    assert (parameters[1], parameters[2], parameters[4]) == (7, '{"a":1}', 7)
    assert parameters[0] == parameters[3] == bytes.fromhex(outcome.job.id.replace("-", ""))
    assert "INSERT INTO tickr.ended " in elsewhere
    assert "FROM tickr.jobs " in elsewhere
    assert without[2] is None


async def test_a_thread_gets_it_too() -> None:
    def handler(job: tickr.Job) -> int:
        return len(job.end_statement())

    assert (await outcome_of(handler)).result == "2"


async def test_each_job_of_a_batch_has_its_own(autojump_clock: MockClock) -> None:
    async def handler(jobs: list[tickr.Job]) -> list[str]:
        return [bytes(job.end_statement().parameters[0]).hex() for job in jobs]  # type: ignore[arg-type]

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        assert [one.result for one in await outcomes_of(bench, given)] == [
            f'"{job.id.replace("-", "")}"' for job in given
        ]


@pytest.mark.parametrize("result", [object(), float("nan"), "x" * MAX_END_BYTES], ids=["object", "nan", "long"])
async def test_what_cannot_be_a_result_is_refused(result: Any, autojump_clock: MockClock) -> None:
    async def handler(job: tickr.Job) -> None:
        with pytest.raises(ValueError, match="result"):
            job.end_statement(result)

    assert (await outcome_of(handler)).kind == "succeeded"


async def test_the_name_of_a_database_is_a_name(autojump_clock: MockClock) -> None:
    async def handler(job: tickr.Job) -> None:
        with pytest.raises(ValueError, match="is not the name of a database"):
            job.end_statement(schema="tickr.jobs; DROP TABLE jobs; --")

    assert (await outcome_of(handler)).kind == "succeeded"


def test_another_process_gets_none() -> None:
    mute = pickle.loads(pickle.dumps(Job(claimed("t"))))
    with pytest.raises(RuntimeError, match="not for other processes"):
        mute.end_statement()


async def test_the_result_of_an_encrypted_job_is_not_written_in_the_clear(autojump_clock: MockClock) -> None:
    sealed = Job(claimed("t", extras=Extras(sealed="key")), Refusing())
    with pytest.raises(ValueError, match="in the clear"):
        sealed.end_statement("secret")
    with pytest.raises(LookupError):
        sealed.end_statement()


class Refusing:
    """A listener that takes nothing."""

    def __getattr__(self, name: str) -> Any:
        raise LookupError(name)


async def test_after_the_end_of_the_attempt_there_is_none(autojump_clock: MockClock) -> None:
    kept: list[tickr.Job] = []

    async def handler(job: tickr.Job) -> None:
        kept.append(job)

    await outcome_of(handler)
    with pytest.raises(RuntimeError, match="this attempt has ended"):
        kept[0].end_statement()


# -- what becomes of it -----------------------------------------------------------------------------------------------


class Told(MemoryStore):
    """Takes outcomes as SQLite would, where the handler has written each end that it may have written."""

    name = "sqlite"

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock=clock)
        self.finished: list[Outcome] = []

    async def finish(self, outcomes: Any) -> list[records.Job | None]:
        await trio.lowlevel.checkpoint()
        self.finished.extend(outcomes)
        return [
            claimed("t", state=State.SUCCEEDED if one.may_have_ended else State.FAILED, finished_at=1)
            for one in outcomes
        ]


@asynccontextmanager
async def line() -> AsyncIterator[tuple[Outcomes, Told]]:
    store = Told(lambda: 0)
    outcomes = Outcomes(store, Announcer(store, HeapIndex(), LocalBell()), None, in_flight=2)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcomes.run)
        yield outcomes, store
        outcomes.close()


async def test_an_end_is_looked_for_where_the_statement_was_given_and_nowhere_else(autojump_clock: MockClock) -> None:
    async with line() as (outcomes, store):
        plain, asked = (claimed("t") for _ in range(2))
        outcomes.end_statement(asked, None, None)
        why = records.Failure("exception", "no")
        with capture_logs() as logs:
            outcomes.put(Outcome(job=plain, kind="failed", failure=why))
            outcomes.put(Outcome(job=asked, kind="failed", failure=why))
            await trio.testing.wait_all_tasks_blocked()
        assert [one.may_have_ended for one in store.finished] == [False, True]
        assert [line["outcome"] for line in logs if line["event"] == "job.end_found"] == ["failed"]
        assert not outcomes._writing_ends


async def test_a_memory_store_has_none_to_give(autojump_clock: MockClock) -> None:
    jobs = Jobs()
    said: list[str] = []

    @jobs.handler("t")
    async def handler(job: tickr.Job) -> None:
        try:
            job.end_statement()
        except RuntimeError as error:
            said.append(str(error))

    async with running(jobs) as app:
        await app.result(await app.submit("t"))
    assert said == ["a store in memory has no database in which a handler could write the end of its job"]
