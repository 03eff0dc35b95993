"""Batches and stops: nobody's job has ended before the handler, and who was not meant comes again at no cost."""

from __future__ import annotations

import threading
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.worker.attempts import claimed, running_pool
from tests.worker.test_batches import Calls, ends, of, outcomes_of, why
from tickr.worker.attempt import StopReason
from tickr.worker.failures import HandlerBlocked

MEMBERS = pytest.mark.parametrize("member", [0, 1, 2], ids=["leader", "second", "last"])


class Slow:
    """A handler that takes two seconds to end when it is asked to."""

    def __init__(self) -> None:
        self.calls = 0
        self.left_at = 0.0

    async def __call__(self, jobs: list[tickr.Job]) -> None:
        self.calls += 1
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(2)  # virtual
            self.left_at = trio.current_time()


@MEMBERS
async def test_one_that_is_cancelled_ends_with_the_handler(member: int, autojump_clock: MockClock) -> None:
    slow = Slow()
    async with running_pool(of(slow), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        await wait_all_tasks_blocked()
        bench.pool.stop(given[member].id, StopReason.CANCELLED)
        first = await bench.outcomes.next()
        assert trio.current_time() >= slow.left_at > 0, "no outcome before the handler has ended"
        rest = [await bench.outcomes.next() for _ in range(2)]
        ended = sorted([first, *rest], key=lambda one: given.index(one.job))
    expected: list[Any] = [("released", "batch_stopped")] * 3
    expected[member] = ("cancelled", "cancelled")
    assert ends(ended) == expected
    assert slow.calls == 1


@MEMBERS
async def test_one_that_takes_too_long_spends_its_own_attempt_alone(member: int, autojump_clock: MockClock) -> None:
    slow = Slow()
    async with running_pool(of(slow), slots=9) as bench:
        given = [claimed("t", timeout_us=1_500_000 if n == member else 60_000_000) for n in range(3)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    expected: list[Any] = [("released", "batch_stopped")] * 3
    expected[member] = ("retried", "timeout")
    assert ends(ended) == expected


@MEMBERS
async def test_the_handler_is_stopped_the_moment_that_ones_time_is_over(member: int, autojump_clock: MockClock) -> None:
    began = trio.current_time()

    async def handler(jobs: list[tickr.Job]) -> None:
        await trio.sleep_forever()

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t", timeout_us=1_500_000 if n == member else 60_000_000) for n in range(3)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
        assert trio.current_time() == began + 1.5
    assert [why(one).kind == "timeout" for one in ended] == [n == member for n in range(3)]
    assert {why(one).kind for one in ended} == {"timeout", "batch_stopped"}


async def test_a_stop_after_the_call_is_that_jobs_alone(autojump_clock: MockClock) -> None:
    jobs = of(Calls([1, 2, 3]))

    @jobs.middleware
    @asynccontextmanager
    async def slow_to_leave(job: tickr.Job) -> Any:
        yield
        await trio.sleep(1)  # virtual

    async with running_pool(jobs, slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        await trio.sleep(0.5)  # virtual
        bench.pool.stop(given[1].id, StopReason.CANCELLED)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("succeeded", None), ("cancelled", "cancelled"), ("succeeded", None)]


async def test_a_batch_that_takes_too_long_spends_an_attempt_of_each(autojump_clock: MockClock) -> None:
    slow, began = Slow(), trio.current_time()
    async with running_pool(of(slow, within=1.0), slots=9) as bench:
        given = [claimed("t", timeout_us=3_000_000) for _ in range(2)]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("retried", "timeout")] * 2
    assert slow.left_at == began + 1 + 3 + 2, "the time to come together does not count"


async def test_with_middleware_the_time_to_come_together_counts(autojump_clock: MockClock) -> None:
    jobs = of(calls := Calls(), within=5.0)

    @jobs.middleware
    @asynccontextmanager
    async def nothing(job: tickr.Job) -> Any:
        yield

    async with running_pool(jobs, slots=9) as bench:
        given = [claimed("t", timeout_us=1_000_000), claimed("t")]
        bench.pool.start(given)
        assert ends(await outcomes_of(bench, given)) == [("retried", "timeout"), ("succeeded", None)]
    assert calls.sizes == [1]


@pytest.mark.parametrize("reason", [StopReason.SHUTDOWN, StopReason.LEASE_LOST])
async def test_what_concerns_the_node_is_the_reason_of_all(reason: StopReason, autojump_clock: MockClock) -> None:
    async with running_pool(of(Slow()), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        await wait_all_tasks_blocked()
        bench.pool.stop_all(reason)
        assert ends(await outcomes_of(bench, given)) == [("released", reason.value)] * 3


async def test_a_success_in_spite_of_a_stop_is_one_for_all(autojump_clock: MockClock) -> None:
    reasons: list[Any] = []

    async def handler(jobs: list[tickr.Job]) -> list[int]:
        with trio.CancelScope(shield=True):
            await trio.sleep(2)  # virtual
        reasons.extend(job.stop_reason for job in jobs)
        return [1, 2, 3]

    async with running_pool(of(handler), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        await wait_all_tasks_blocked()
        bench.pool.stop(given[1].id, StopReason.CANCELLED)
        assert [one.result for one in await outcomes_of(bench, given)] == ["1", "2", "3"]
    assert reasons == ["batch_stopped", "cancelled", "batch_stopped"]


@MEMBERS
async def test_who_is_stopped_before_the_call_leaves_alone(member: int, autojump_clock: MockClock) -> None:
    calls, began = Calls(lambda jobs: [job.payload["n"] for job in jobs]), trio.current_time()
    async with running_pool(of(calls, size=4), slots=9) as bench:
        given = [claimed("t", {"n": n}) for n in range(3)]
        bench.pool.start(given)
        await trio.sleep(0.5)  # virtual
        bench.pool.stop(given[member].id, StopReason.CANCELLED)
        ended = await outcomes_of(bench, given)
    assert [one.kind == "cancelled" for one in ended] == [n == member for n in range(3)]
    assert [one.result for one in ended if one.kind == "succeeded"] == [str(n) for n in range(3) if n != member]
    assert (calls.sizes, calls.at) == ([2], [began + 1.0])


async def test_the_last_to_leave_leaves_nothing_open(autojump_clock: MockClock) -> None:
    calls = Calls()
    async with running_pool(of(calls), slots=9) as bench:
        alone = claimed("t")
        bench.pool.start([alone])
        await trio.sleep(0.9)  # virtual
        bench.pool.stop(alone.id, StopReason.CANCELLED)
        await bench.outcomes.next()
        began = trio.current_time()
        bench.pool.start([claimed("t")])
        await bench.outcomes.next()
    assert calls.at == [began + 1.0], "it has a second of its own"


async def test_who_is_stopped_in_the_moment_of_the_call_is_not_in_it(autojump_clock: MockClock) -> None:
    calls = Calls()
    async with running_pool(of(calls, size=3), slots=9) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given[:2])
        await wait_all_tasks_blocked()
        bench.pool.stop(given[0].id, StopReason.CANCELLED)
        bench.pool.start(given[2:])  # both in one turn of the loop: it is full before the first has gone
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("cancelled", "cancelled"), ("succeeded", None), ("succeeded", None)]
    assert calls.sizes == [2]


@pytest.mark.parametrize("seed", range(10))  # trio shuffles what is ready at the same instant
async def test_whose_time_is_over_in_the_moment_of_the_call_is_not_in_it(seed: int, autojump_clock: MockClock) -> None:
    jobs = of(calls := Calls(), within=5.0)

    @jobs.middleware
    @asynccontextmanager
    async def waiting(job: tickr.Job) -> Any:
        await trio.sleep(job.payload["for"])
        yield

    async with running_pool(jobs, slots=9) as bench:
        given = [claimed("t", {"for": 0}, timeout_us=1_000_000), *(claimed("t", {"for": 1}) for _ in range(2))]
        bench.pool.start(given)
        ended = await outcomes_of(bench, given)
    assert ends(ended) == [("retried", "timeout"), ("succeeded", None), ("succeeded", None)]
    assert calls.sizes == [2]


@MEMBERS
async def test_a_handler_that_does_not_stop_is_left_behind_once(member: int, autojump_clock: MockClock) -> None:
    free = trio.Event()

    async def deaf(jobs: list[tickr.Job]) -> None:
        with trio.CancelScope(shield=True):
            await free.wait()

    async with running_pool(of(deaf), slots=4, unresponsive_after_s=5) as bench:
        with capture_logs() as logs:
            given = [claimed("t") for _ in range(3)]
            bench.pool.start(given)
            await wait_all_tasks_blocked()
            bench.pool.stop(given[member].id, StopReason.CANCELLED)
            ended = await outcomes_of(bench, given)
        expected = [("released", "unresponsive")] * 3
        expected[member] = ("cancelled", "unresponsive")
        assert ends(ended) == expected
        assert all("in deaf" in (why(one).traceback or "") for one in ended)
        assert len([line for line in logs if line["event"] == "job.left_behind"]) == 1
        assert [zombie.job_id for zombie in bench.pool.zombies] == [given[0].id]
        assert bench.pool.free == 4, "its task is made up for"
        free.set()


async def test_a_thread_that_does_not_stop_is_left_behind_once() -> None:
    free = threading.Event()

    def deaf(jobs: list[tickr.Job]) -> None:
        free.wait(30)

    async with running_pool(of(deaf), slots=4, unresponsive_after_s=0.1) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        while not bench.pool.elsewhere.at_work:
            await trio.lowlevel.checkpoint()
        bench.pool.stop(given[1].id, StopReason.CANCELLED)
        ended = await outcomes_of(bench, given)
        assert ends(ended) == [
            ("released", "unresponsive"),
            ("cancelled", "unresponsive"),
            ("released", "unresponsive"),
        ]
        assert len(bench.pool.zombies) == 1
        free.set()


async def test_what_blocks_the_loop_costs_an_attempt_of_each(autojump_clock: MockClock) -> None:
    async def blocking(jobs: list[tickr.Job]) -> None:
        raise HandlerBlocked("as the watchdog does")

    async with running_pool(of(blocking), slots=4) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        assert ends(await outcomes_of(bench, given)) == [("retried", "blocked")] * 3


async def test_the_stack_of_each_is_where_the_handler_stands(autojump_clock: MockClock) -> None:
    async def stands_here(jobs: list[tickr.Job]) -> None:
        await trio.sleep_forever()

    async with running_pool(of(stands_here), slots=4) as bench:
        given = [claimed("t") for _ in range(3)]
        bench.pool.start(given)
        await wait_all_tasks_blocked()
        assert all("in stands_here" in bench.pool.stack(job.id) for job in given)
        bench.pool.stop_all(StopReason.SHUTDOWN)


async def test_cancelled_from_outside_goes_on_without_an_outcome(autojump_clock: MockClock) -> None:
    slow = Slow()
    async with running_pool(of(slow), slots=9) as bench:
        bench.pool.start([claimed("t") for _ in range(3)])
        await wait_all_tasks_blocked()
        bench.tasks.cancel_scope.cancel()
    assert slow.left_at
    assert bench.outcomes.all == []


async def test_a_storm_of_stops_gives_each_one_outcome(autojump_clock: MockClock) -> None:
    """Whoever is stopped whenever: one outcome for each, none while its handler runs, and nothing is left open."""
    inside: set[str] = set()

    async def handler(jobs: list[tickr.Job]) -> None:
        ids = {job.id for job in jobs}
        assert not ids & inside
        inside.update(ids)
        try:
            await trio.sleep(0.3)  # virtual
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.1)  # virtual
            inside.difference_update(ids)

    async with running_pool(of(handler, size=4, within=0.2), slots=12) as bench:
        given = [claimed("t", timeout_us=200_000 + 50_000 * (n % 7)) for n in range(200)]
        ended: list[str] = []

        async def listen() -> None:
            for _ in given:
                outcome = await bench.outcomes.next()
                assert outcome.job.id not in inside
                ended.append(outcome.job.id)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            for n, job in enumerate(given):
                await bench.pool.wait_free()
                bench.pool.start([job])
                await trio.sleep(0.01 * (n % 5))  # virtual
                if n % 3 == 0:
                    bench.pool.stop(given[n * 7 % (n + 1)].id, StopReason.CANCELLED)
        assert sorted(ended) == sorted(job.id for job in given)
        assert not bench.pool._gatherings._open
        assert not bench.pool._gatherings.waiting
