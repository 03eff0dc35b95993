"""Plain handlers with a breakpoint, and one that may have none."""

from __future__ import annotations

import tickr

jobs = tickr.Jobs()


def _add(number: int) -> int:
    total = number + 1
    tickr.breakpoint(30)
    numbers = [number, total]
    return max(numbers)


@jobs.handler("thread", max_attempts=1)
def in_thread(number: int) -> int:
    return _add(number)


@jobs.handler("process", max_attempts=1, run_in="process")
def in_process(number: int) -> int:
    return _add(number)


@jobs.handler("loop", max_attempts=1)
async def in_loop() -> None:
    tickr.breakpoint()


@jobs.handler("impatient", max_attempts=1)
def impatient() -> str:
    tickr.breakpoint(0.1)
    return "nobody came"
