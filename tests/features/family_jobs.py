"""Handlers for the proof of families: a parent, its children, and theirs, which say in a file when they run."""

from __future__ import annotations

import os

import trio

import tickr

VARIABLE = "MARKS"

jobs = tickr.Jobs()


def mark(text: str) -> None:
    with open(os.environ[VARIABLE], "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


@jobs.handler("leaf")
async def leaf(number: int, seconds: float) -> int:
    mark(f"leaf {number}")
    await trio.sleep(seconds)
    return number


@jobs.handler("branch")
async def branch(job: tickr.Job, number: int, seconds: float) -> int:
    for leaf_number in (10 * number, 10 * number + 1):
        await job.submit("leaf", {"number": leaf_number, "seconds": seconds})
    return sum(end.result for end in await job.children())


@jobs.handler("root")
async def root(job: tickr.Job, branches: int, seconds: float) -> int:
    mark("root")
    for number in range(1, branches + 1):
        await job.submit("branch", {"number": number, "seconds": seconds})
    return sum(end.result for end in await job.children())
