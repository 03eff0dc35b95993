"""The ledger: what the jobs say of themselves, in a file outside Tickr, and the handlers that say it.

``TickrProcess(app="tests.faults.ledger:jobs", variables={"LEDGER": path})`` runs them. A line is one ``write`` to a
file opened for appending, so lines of several processes never mix, and a killed process leaves no half of one.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import trio

import tickr
from tests.faults.history import Mark

VARIABLE = "LEDGER"
SPIN_S = 0.05

jobs = tickr.Jobs()
SOON = tickr.Backoff("constant", base=0.2, jitter=0.5)


def now_us() -> int:
    return time.time_ns() // 1000


def way_of(number: int) -> dict[str, float]:
    """Return what sends every second job through index and claim: one due at once may start with its submission."""
    return {"delay": 0.001} if number % 2 else {}


@functools.cache
def _ledger() -> int:
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def mark(job: tickr.Job, number: int, what: str, *, pid: int | None = None) -> None:
    """Write one line for the attempt ``job``."""
    line = Mark(job.id, number, job.fence, job.attempt, what, now_us(), pid or os.getpid())  # type: ignore[arg-type]
    os.write(_ledger(), msgspec.json.encode(line) + b"\n")


def read(path: Path) -> list[Mark]:
    """Return all marks, in the order in which they were written.

    Of the last line, a reader may come to see a part: the kernel writes up to the end of a page and then the rest.
    """
    whole, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
    return [msgspec.json.decode(line, type=Mark) for line in whole.splitlines()]


@contextmanager
def marked(job: tickr.Job, number: int) -> Iterator[None]:
    """Mark the start of the attempt, and how its handler ends."""
    mark(job, number, "start")
    try:
        yield
    except trio.Cancelled:
        mark(job, number, "cancelled")
        raise
    except BaseException:
        mark(job, number, "failed")
        raise
    mark(job, number, "done")


@jobs.handler("quick")
async def quick(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        return number


@jobs.handler("slow")
async def slow(job: tickr.Job, number: int, seconds: float = 1.0) -> int:
    with marked(job, number):
        await trio.sleep(seconds)
        return number


@jobs.handler("flaky", max_attempts=3, backoff=SOON)
async def flaky(job: tickr.Job, number: int) -> int:
    """Fails the first time, as far as it knows: a hand-back or crash gives its attempt back."""
    with marked(job, number):
        if job.attempt == 1:
            raise ValueError("not yet")
        return number


@jobs.handler("broken", max_attempts=2, backoff=SOON)
async def broken(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        raise ValueError("never")


@jobs.handler("thread")
def in_thread(job: tickr.Job, number: int, seconds: float = 0.0) -> int:
    with marked(job, number):
        threading.Event().wait(seconds)
        return number


@jobs.handler("poison")
async def poison(job: tickr.Job, number: int) -> None:
    """Takes its node along, as a handler that makes the kernel's out-of-memory killer come does."""
    with marked(job, number):
        os.kill(os.getpid(), 9)


@jobs.handler("rude")
def rude(job: tickr.Job, number: int, seconds: float = 3600.0) -> None:
    """A thread that nothing stops."""
    with marked(job, number):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            threading.Event().wait(min(1.0, until - time.monotonic()))


@jobs.handler("chatty")
async def chatty(job: tickr.Job, number: int) -> int:
    """Says how far it is, and a line."""
    with marked(job, number):
        await job.progress(0.5, "half way")
        await job.log("so far, so good")
        return number


@jobs.handler("clinging")
async def clinging(job: tickr.Job, number: int) -> int:
    """Ignores every cancellation, the first time that the job is started."""
    with marked(job, number):
        while job.fence == 1:
            with suppress(trio.Cancelled):
                await trio.sleep_forever()
            with trio.CancelScope(shield=True):
                await trio.sleep(SPIN_S)
        return number
