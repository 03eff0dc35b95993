"""The same test has the same order, each time, everywhere; another seed has another one."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
import trio

import tickr
from tickr.testing import App, run, virtual_time

SLEEPS = (1, 1, 0, 2, 0, 1, 3, 0)
"""What a job sleeps, by its number, in virtual seconds."""


def story(**options: Any) -> list[str]:
    """Run jobs that meet at the same instants, and return all that happened, in order."""
    jobs = tickr.Jobs()
    log: list[str] = []

    @jobs.handler("meet", max_attempts=2)
    async def meet(job: tickr.Job, number: int) -> None:
        async with trio.open_nursery() as nursery:
            for part in "abc":
                nursery.start_soon(step, f"{number}{part}", SLEEPS[number % len(SLEEPS)])
        if number % 5 == 0 and job.attempt == 1:
            raise ValueError

    async def step(name: str, seconds: float) -> None:
        await trio.sleep(seconds)
        log.append(name)

    async def scenario(app: App) -> None:
        app.crash_at("run.after_handler", 7)
        for number in range(30):
            await app.submit("meet", {"number": number}, delay=60 + number % 3)
        await app.drained()
        log.extend(repr(event) for event in app.events)
        await app.advance(timedelta(days=1))

    run(jobs, scenario, **options)
    return log


def test_the_same_seed_has_the_same_order() -> None:
    first = story()
    assert len(first) > 150
    assert all(story() == first for _ in range(5))


def test_another_seed_has_another_order() -> None:
    orders = {tuple(story(seed=seed)) for seed in range(5)}
    assert len(orders) > 1
    assert story(seed=3) == story(seed=3)


def test_real_time_has_no_say_in_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks at real time, in a thread, wakes the loop up; here all the time."""
    first = story()
    monkeypatch.setattr(virtual_time, "TICK_S", 0.0001)
    assert story(real_within=1000) == first


def test_the_process_has_no_say_in_the_order() -> None:
    program = "from tests.testing_kit.test_order import story; print(*story(), sep='\\n')"
    orders = []
    for seed in ("0", "1"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env)
        orders.append(ran.stdout.splitlines())
    assert orders[0] == orders[1] == story()
