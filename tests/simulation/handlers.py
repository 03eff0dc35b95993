"""What the jobs of a simulation do, and the ledger they keep: who ran what when, whatever the store says.

State: ``Ledger`` is filled by the handlers, of nodes that live, and read when the run is over.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

import tickr
from tests.faults.history import Mark
from tests.simulation.weather import RUNNING_IN
from tickr.worker.handlers import Jobs

if TYPE_CHECKING:
    from tests.simulation.process import Process

PATIENT_S = 1.5
"""How long a stubborn job goes on after it was cancelled, in seconds; less than is tolerated."""


class Ledger:
    """Attributes:
    marks: what attempts said, in order.
    wrong: attempts that began while another one of the same job was at work on a node that should have known better, or
      where there was no free slot.
    """

    def __init__(self) -> None:
        self.marks: list[Mark] = []
        self.wrong: list[str] = []
        self._at_work: dict[tuple[str, int], Process] = {}

    def mark(self, job: tickr.Job, number: int, what: str, process: Process) -> None:
        if process.dead:
            return
        weather = process.world.weather
        weather.say(f"{process} job {number}.{job.fence} {what}")
        at = weather.true_now_us()
        self.marks.append(Mark(job.id, number, job.fence, job.attempt, what, at, process.number))  # type: ignore[arg-type]
        if what != "start":
            self._at_work.pop((job.id, job.fence), None)
            return
        for (other_id, fence), other in self._at_work.items():
            if other_id == job.id and not (other.stood_still or process.stood_still) and job.type != "stubborn":
                self.wrong.append(f"attempt {job.fence} of job {number} began on {process} during {fence} on {other}")
        self._at_work[job.id, job.fence] = process
        if self.count(process) > process.plan.slots:
            self.wrong.append(f"I10: {self.count(process)} attempts at once on {process}: {process.plan.slots} slots")

    def count(self, process: Process) -> int:
        """Return how many attempts are at work there."""
        return sum(other is process for other in self._at_work.values())

    def forget(self, process: Process) -> None:
        """Its attempts have ended with it."""
        self._at_work = {attempt: other for attempt, other in self._at_work.items() if other is not process}


def here() -> Process:
    process = RUNNING_IN.get()
    assert process is not None
    return process


@contextmanager
def marked(job: tickr.Job, number: int) -> Iterator[Process]:
    """Mark the start of the attempt, and how its handler ends."""
    process = here()
    mark = functools.partial(process.world.ledger.mark, job, number, process=process)
    mark("start")
    try:
        yield process
    except trio.Cancelled:
        mark("cancelled")
        raise
    except BaseException:
        mark("failed")
        raise
    mark("done")


jobs = tickr.Jobs()


@functools.cache
def some(types: frozenset[str]) -> Jobs:
    """Return the handlers of ``types``."""
    kept = Jobs()
    for name in sorted(types):
        handler = jobs.get(name)
        assert handler is not None
        kept._handlers[name] = handler
    return kept


@jobs.handler("quick")
async def quick(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        return number


@jobs.handler("slow")
async def slow(job: tickr.Job, number: int, seconds: float = 1.0) -> int:
    with marked(job, number):
        await trio.sleep(seconds)
        return number


@jobs.handler("flaky")
async def flaky(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        if job.attempt == 1:
            raise ValueError("not yet")
        return number


@jobs.handler("broken")
async def broken(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        await trio.sleep(0.1)  # virtual
        raise ValueError("never")


@jobs.handler("later")
async def later(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        if job.fence == 1:
            raise tickr.Snooze(0.3)
        if job.attempt == 1:
            raise tickr.RetryLater(0.7)
        return number


@jobs.handler("hopeless")
async def hopeless(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        raise tickr.GiveUp("it will never work")


@jobs.handler("late")
async def late(job: tickr.Job, number: int) -> None:
    with marked(job, number):
        await trio.sleep(5)  # virtual


@jobs.handler("stubborn")
async def stubborn(job: tickr.Job, number: int) -> int:
    """Does not listen to its cancellation at once."""
    with marked(job, number), trio.CancelScope(shield=True):
        await trio.sleep(PATIENT_S)
        return number


@jobs.handler("talking")
async def talking(job: tickr.Job, number: int) -> int:
    with marked(job, number):
        for step in range(4):
            await job.progress(step / 4, "on the way")
            await job.log("a line")
            await trio.sleep(0.2)  # virtual
        return number


@jobs.handler("poison")
async def poison(job: tickr.Job, number: int) -> None:
    """Takes its node along."""
    with marked(job, number) as process:
        process.kill()
        await trio.sleep_forever()
