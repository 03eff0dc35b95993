"""Batches: many jobs of a type handed to one call of their handler, each with its own end."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.worker.attempts import Bench, claimed, running_pool
from tickr import jobs as records
from tickr.jobs import Failure
from tickr.reports import Outcome
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs


class Calls:
    """A handler that notes what it is called with, and when, in trio's time."""

    def __init__(self, answer: Any = None) -> None:
        self.sizes: list[int] = []
        self.at: list[float] = []
        self._answer = answer

    async def __call__(self, jobs: list[tickr.Job]) -> Any:
        self.sizes.append(len(jobs))
        self.at.append(trio.current_time())
        return self._answer(jobs) if callable(self._answer) else self._answer


def of(handler: Any, *, size: int = 3, within: float = 1.0, **options: Any) -> Jobs:
    jobs = Jobs()
    jobs.handler("t", batch=tickr.Batch(size=size, within=within), **options)(handler)
    jobs.handler("other")(trio.sleep_forever)
    return jobs


async def outcomes_of(bench: Bench, given: Sequence[records.Job]) -> list[Outcome]:
    """Return how they have ended, in the order of the jobs."""
    ended = [await bench.outcomes.next() for _ in given]
    return sorted(ended, key=lambda outcome: given.index(outcome.job))


def ends(outcomes: Sequence[Outcome]) -> list[tuple[str, str | None]]:
    return [(one.kind, one.failure and one.failure.kind) for one in outcomes]


def why(outcome: Outcome) -> Failure:
    assert outcome.failure is not None
    return outcome.failure


# -- how they come together -------------------------------------------------------------------------------------------


async def test_they_are_called_at_once_when_there_are_enough(autojump_clock: MockClock) -> None:
    calls = Calls(lambda jobs: [{"n": job.payload["n"], "of": len(jobs)} for job in jobs])
    async with running_pool(of(calls), slots=10) as bench:
        given = [claimed("t", {"n": n}) for n in range(6)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert [one.result for one in ended] == [f'{{"n":{n},"of":3}}' for n in range(6)]
    assert calls.sizes == [3, 3]
    assert calls.at == [calls.at[0]] * 2
    assert trio.current_time() - calls.at[0] < 1, "nobody waited for the clock"


async def test_the_clock_closes_what_does_not_fill(autojump_clock: MockClock) -> None:
    calls, began = Calls(), trio.current_time()
    async with running_pool(of(calls, size=5), slots=10) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given[:1])
        await trio.sleep(0.6)  # virtual
        bench.pool.start(given[1:])
        assert ends(await outcomes_of(bench, given)) == [("succeeded", None)] * 3
    assert calls.sizes == [3]
    assert calls.at == [began + 1.0], "a second after the first, not after the last"


async def test_a_full_pool_waits_for_nobody(autojump_clock: MockClock) -> None:
    calls, began = Calls(), trio.current_time()
    async with running_pool(of(calls, size=100), slots=4) as bench:
        given = [claimed("t") for _ in range(4)]
        bench.pool.start(given)
        await outcomes_of(bench, given)
        assert (calls.sizes, calls.at) == ([4], [began])
        busy = [claimed("other") for _ in range(2)]
        given = [claimed("t") for _ in range(2)]
        bench.pool.start([*busy[:1], *given])
        await trio.sleep(0.5)  # virtual
        assert calls.sizes == [4], "one slot is free, so another may come"
        bench.pool.start(busy[1:])
        await outcomes_of(bench, given)
        assert calls.at[1] == began + 0.5, "the last slot is taken by another"
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_who_was_claimed_ahead_goes_with_the_next(autojump_clock: MockClock) -> None:
    calls, began = Calls(), trio.current_time()
    async with running_pool(of(calls, size=100), slots=4) as bench:
        given = [claimed("t") for _ in range(10)]
        bench.pool.start(given)
        await outcomes_of(bench, given)
    assert sum(calls.sizes) == 10
    assert calls.sizes[0] == 4
    assert max(calls.at) <= began + 1.0


async def test_middleware_that_takes_its_time_makes_no_small_batches(autojump_clock: MockClock) -> None:
    calls = Calls(lambda jobs: [job.payload["n"] for job in jobs])
    seen: list[int] = []
    jobs = of(calls, size=100, within=5.0)

    @jobs.middleware
    @asynccontextmanager
    async def slow(job: tickr.Job) -> Any:
        await trio.sleep(0.1 * job.payload["n"])  # virtual
        yield
        seen.append(job.result)

    async with running_pool(jobs, slots=4) as bench:
        given = [claimed("t", {"n": n}) for n in range(1, 5)]
        bench.pool.start(given)
        assert [one.result for one in await outcomes_of(bench, given)] == ["1", "2", "3", "4"]
    assert calls.sizes == [4]
    assert sorted(seen) == [1, 2, 3, 4], "each has its own result"


async def test_one_that_middleware_ends_is_not_waited_for(autojump_clock: MockClock) -> None:
    calls, began = Calls(), trio.current_time()
    jobs = of(calls, size=100, within=5.0)

    @jobs.middleware
    @asynccontextmanager
    async def choosy(job: tickr.Job) -> Any:
        if job.payload:
            await trio.sleep(1)  # virtual
            raise tickr.GiveUp("not this one")
        yield

    async with running_pool(jobs, slots=3) as bench:
        given = [claimed("t"), claimed("t"), claimed("t", {"n": 1})]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
        assert ends(ended) == [("succeeded", None), ("succeeded", None), ("failed", "give_up")]
    assert (calls.sizes, calls.at) == ([2], [began + 1.0])


# -- how each ends ----------------------------------------------------------------------------------------------------


async def test_single_ones_may_fail_each_in_its_way(autojump_clock: MockClock) -> None:
    errors = [None, ValueError("the third"), tickr.GiveUp("never"), tickr.RetryLater(7), tickr.Snooze(9, "later")]
    calls = Calls(lambda jobs: [errors[job.payload["n"]] for job in jobs])
    async with running_pool(of(calls, size=5), slots=9) as bench:
        given = [claimed("t", {"n": n}) for n in range(5)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [
        ("succeeded", None),
        ("retried", "exception"),
        ("failed", "give_up"),
        ("retried", "retry_later"),
        ("released", "snoozed"),
    ]
    assert why(ended[1]).message == "ValueError: the third"
    assert [one.delay_us for one in ended[3:]] == [7_000_000, 9_000_000]


async def test_an_error_is_everybodys_and_each_goes_by_its_own_policy(autojump_clock: MockClock) -> None:
    error = ValueError("the index is away")

    async def broken(jobs: list[tickr.Job]) -> None:
        raise error

    async with running_pool(of(broken), slots=9) as bench:
        given = [claimed("t"), claimed("t", attempt=3), claimed("t", attempt=2)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("retried", "exception"), ("failed", "exception"), ("retried", "exception")]
    assert {why(one).message for one in ended} == {"ValueError: the index is away"}
    (trace,) = {why(one).traceback for one in ended}
    assert trace is not None
    assert "in broken" in trace
    ways = [frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)]
    assert ways.count("run_attempt") == 1, "it does not grow with each that it is raised for"


@pytest.mark.parametrize(
    ("returned", "said"),
    [(["one"], "1 of them"), ("abc", "str"), ({"a": 1}, "dict"), (range(4), "range")],
)
async def test_what_is_no_list_of_results_fails_all(returned: Any, said: str, autojump_clock: MockClock) -> None:
    async with running_pool(of(Calls(returned)), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("failed", "bad_result")] * 3
    assert why(ended[0]).message.endswith(f"This one returned {said}.")


async def test_a_bad_result_is_that_jobs_alone(autojump_clock: MockClock) -> None:
    async with running_pool(of(Calls([1, object(), 3])), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("succeeded", None), ("failed", "bad_result"), ("succeeded", None)]


async def test_each_says_and_keeps_for_itself(autojump_clock: MockClock) -> None:
    async def handler(jobs: list[tickr.Job]) -> None:
        for job in jobs:
            await job.progress(job.payload["n"] / 10)

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t", {"n": n}) for n in range(3)]
        bench.pool.start(given)
        await outcomes_of(bench, given)
        said = {one.job.id: one.fraction for one in bench.outcomes.in_line if not isinstance(one, Outcome)}  # type: ignore[union-attr]
    assert said == {job.id: n / 10 for n, job in enumerate(given)}


async def test_it_runs_in_a_thread_too() -> None:
    threads: list[int] = []

    def handler(jobs: list[tickr.Job]) -> list[Any]:
        threads.append(threading.get_ident())
        return [job.payload["n"] if job.payload["n"] else ValueError("none") for job in jobs]

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t", {"n": n}) for n in range(3)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert [one.result for one in ended] == [None, "1", "2"]
    assert ends(ended)[0] == ("retried", "exception")
    assert len(threads) == 1
    assert threads != [threading.get_ident()]


async def test_no_job_waits_for_its_children_in_company(autojump_clock: MockClock) -> None:
    said: list[str] = []

    async def handler(jobs: list[tickr.Job]) -> None:
        listener: Any = jobs[1]._listener
        with pytest.raises(RuntimeError, match="would end the whole batch") as refused:
            listener.await_children()
        said.append(str(refused.value))

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        assert ends(await outcomes_of(bench, given)) == [("succeeded", None)] * 3
    assert len(said) == 1


# -- what cannot be ---------------------------------------------------------------------------------------------------


def in_process(jobs: list[tickr.Job]) -> None: ...


def with_more(jobs: list[tickr.Job], url: str) -> None: ...


def of_one(job: tickr.Job) -> None: ...


def of_nothing() -> None: ...


def of_any(*jobs: tickr.Job) -> None: ...


BATCH = tickr.Batch(size=10)


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (in_process, {"run_in": "process"}, "not in other processes"),
        (with_more, {}, "takes the list of its jobs and nothing else"),
        (of_nothing, {}, "takes the list of its jobs and nothing else"),
        (of_any, {}, "takes the list of its jobs and nothing else"),
        (of_one, {}, "annotate it with list"),
        (in_process, {"batch": 100}, "takes a tickr.Batch"),
    ],
)
def test_what_could_not_be_called_is_refused_when_registered(function: Any, options: Any, said: str) -> None:
    with pytest.raises(TypeError, match="handler 't': ") as refused:
        Jobs().handler("t", **{"batch": BATCH, **options})(function)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    "fields",
    [{"size": 1}, {"size": 1_001}, {"size": 2.5}, {"size": True}]
    + [{"size": 2, "within": within} for within in (0, -1, 61, "1", True, float("nan"))],
)
def test_bad_sizes_and_times_are_refused(fields: Any) -> None:
    with pytest.raises(ValueError, match="Batch takes "):
        tickr.Batch(**fields)
