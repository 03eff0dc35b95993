"""Handlers for the proof of how attempts are stopped: each writes into a file when it has really ended.

``TickrProcess(app="tests.features.stopping_jobs:jobs", variables={"MARKS": path})`` runs them. A line is one ``write``.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import trio

import tickr

VARIABLE = "MARKS"
CLEANS_UP_S = 0.25
STEP_S = 0.01
CLOCKS_S = 0.05
"""How much what a node takes for the store's time may differ from the wall clock, in seconds: half a round trip, which
takes a while on a busy machine. Well below what it takes to clean up."""

jobs = tickr.Jobs()


def mark(job: tickr.Job, what: str) -> None:
    """Say what has just happened, by the wall clock, microseconds."""
    with open(os.environ[VARIABLE], "ab", buffering=0) as file:
        file.write(f"{job.id} {job.attempt} {what} {time.time_ns() // 1000} {os.getpid()}\n".encode())


def marks(path: Path, job_id: str, what: str) -> list[tuple[int, int, int]]:
    """Return (attempt, instant in microseconds, pid) of each such mark of a job."""
    lines = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(attempt), int(at), int(pid)) for id_, attempt, said, at, pid in lines if (id_, said) == (job_id, what)]


@jobs.handler("loop")
async def in_loop(job: tickr.Job) -> None:
    mark(job, "began")
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await trio.sleep(CLEANS_UP_S)
        mark(job, "left")


@jobs.handler("prompt")
async def prompt(job: tickr.Job) -> None:
    try:
        await trio.sleep_forever()
    finally:
        mark(job, "left")


@jobs.handler("thread")
def in_thread(job: tickr.Job) -> None:
    mark(job, "began")
    try:
        while True:
            time.sleep(STEP_S)
            trio.from_thread.check_cancelled()
    finally:
        mark(job, "left")


@jobs.handler("deaf")
def deaf_thread(job: tickr.Job, seconds: float = 3600.0) -> str:
    """Never asks."""
    mark(job, "began")
    threading.Event().wait(seconds)
    return "in the end"


@jobs.handler("process", run_in="process")
def in_process(job: tickr.Job) -> None:
    mark(job, "began")
    threading.Event().wait(3600)


@jobs.handler("fails")
async def fails(job: tickr.Job) -> None:
    raise ConnectionError("the carrier does not answer")


@jobs.handler("takes")
async def takes(job: tickr.Job, seconds: float) -> str:
    mark(job, "began")
    await trio.sleep(seconds)
    return "done"
