"""Handlers for the proof of batches: they say in a file with what they are called and what they have done."""

from __future__ import annotations

import os

import trio

import tickr

VARIABLE = "MARKS"

jobs = tickr.Jobs()


def mark(text: str) -> None:
    with open(os.environ[VARIABLE], "ab", buffering=0) as file:
        file.write(f"{text}\n".encode())


@jobs.handler("index", batch=tickr.Batch(size=20, within=0.3))
async def index(batch: list[tickr.Job]) -> list[int]:
    numbers = [job.payload["n"] for job in batch]
    mark(f"begun {numbers}")
    await trio.sleep(batch[0].payload["seconds"])
    mark(f"done {numbers}")
    return numbers
