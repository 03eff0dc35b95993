"""The time of an attempt, wherever its handler runs; and what a handler can see of why it is stopped."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any, Literal

import pytest
import trio
import trio.testing

from tests.worker.attempts import Bench, claimed, outcome_of, running_pool
from tickr import retry
from tickr.reports import Outcome
from tickr.worker.attempt import StopReason
from tickr.worker.handlers import Jobs

TIMEOUT_US = 150_000


async def in_loop() -> None:
    await trio.sleep_forever()


def in_thread() -> None:
    while True:
        trio.from_thread.check_cancelled()


def in_process(path: str) -> None:
    Path(path).write_text(str(os.getpid()))
    threading.Event().wait()


PLACES: dict[str, tuple[Any, Literal["process"] | None]] = {
    "loop": (in_loop, None),
    "thread": (in_thread, None),
    "process": (in_process, "process"),
}


def some_jobs() -> Jobs:
    jobs = Jobs()
    for name, (function, run_in) in PLACES.items():
        jobs.handler(name, run_in=run_in)(function)
    return jobs


async def run(bench: Bench, place: str, folder: Path, **fields: Any) -> Outcome:
    payload = {"path": str(folder / "pid")} if place == "process" else {}
    return await bench.run(claimed(place, payload, timeout_us=TIMEOUT_US, **fields))


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
async def test_an_attempt_that_takes_too_long_is_spent_wherever_it_runs(place: str, tmp_path: Path) -> None:
    async with running_pool(some_jobs()) as bench:
        for attempt, kind in ((1, "retried"), (2, "retried"), (3, "failed")):
            began = trio.current_time()
            outcome = await run(bench, place, tmp_path, attempt=attempt, backoff=retry.Backoff("linear", base=7))
            assert trio.current_time() - began >= TIMEOUT_US / 1e6, "each attempt has all of its time"
            assert outcome.failure is not None
            assert (outcome.kind, outcome.failure.kind) == (kind, "timeout")
            assert outcome.failure.message == "Not done within 0.15 s."
            assert outcome.delay_us == (attempt * 7_000_000 if kind == "retried" else 0)
            assert bench.pool.zombies == []
            # One that was stopped at its very start has written nothing, or an empty file.
            if place == "process" and (path := tmp_path / "pid").exists() and (pid := path.read_text()):
                with pytest.raises(ProcessLookupError):
                    os.kill(int(pid), 0)


async def test_a_handler_that_returns_although_its_time_is_over_has_succeeded(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def just_done() -> str:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            return "just done"
        raise AssertionError

    assert (await outcome_of(just_done, timeout_us=TIMEOUT_US)).result == '"just done"'


async def test_so_has_a_thread() -> None:
    asked = threading.Event()

    def just_done() -> str:
        try:
            in_thread()
        except trio.Cancelled:
            asked.set()
        return "just done"

    assert (await outcome_of(just_done, timeout_us=TIMEOUT_US)).result == '"just done"'
    assert asked.is_set()


@pytest.mark.parametrize("reason", [one for one in StopReason if one is not StopReason.TIMEOUT])
async def test_the_cancellation_itself_says_why(reason: StopReason, autojump_clock: trio.testing.MockClock) -> None:
    seen: list[trio.Cancelled] = []

    async def handler() -> None:
        try:
            await trio.sleep_forever()
        except trio.Cancelled as cancelled:
            seen.append(cancelled)
            raise

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs) as bench:
        job = claimed("t")
        bench.pool.start([job])
        await trio.testing.wait_all_tasks_blocked()
        bench.pool.stop(job.id, reason)
        await bench.outcomes.next()
    assert f"job {job.id}: {reason.value}" in str(seen[0])
