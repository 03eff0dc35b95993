"""Jobs for nodes that are frozen or die: some last as long as their node, one freezes its node itself.

``TickrProcess(app="tests.faults.lingering:jobs")`` runs these and those of the ledger, whose file they write.
"""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack

import trio

import tickr
from tests.faults import ledger
from tickr.failpoints import armed

STEP_S = 0.05
AWAY_S = 1.0
"""Whose steps take so much longer has been away."""

jobs = tickr.Jobs()
jobs.include(ledger.jobs)
_armed = ExitStack()


@jobs.handler("lingers")
async def lingers(job: tickr.Job, number: int) -> int:
    """Does not end by itself, the first time that the job is started."""
    with ledger.marked(job, number):
        if job.fence == 1:
            await trio.sleep_forever()
        return job.fence


@jobs.handler("lingers_in_thread")
def lingers_in_thread(job: tickr.Job, number: int) -> int:
    """The same in a thread, which asks now and then whether it shall go on."""
    with ledger.marked(job, number):
        while job.fence == 1:
            threading.Event().wait(STEP_S)
            trio.from_thread.check_cancelled()
        return job.fence


@jobs.handler("outlasts")
async def outlasts(job: tickr.Job, number: int, seconds: float = 0.0) -> int:
    """The first time it returns when its node has been frozen for a while and goes on; later after ``seconds``."""
    with ledger.marked(job, number):
        if job.fence > 1:
            await trio.sleep(seconds)
            return job.fence
        while True:
            before = trio.current_time()
            await trio.sleep(STEP_S)
            if trio.current_time() - before > AWAY_S:
                return job.fence


@jobs.handler("freezes")
async def freezes(job: tickr.Job, number: int) -> int:
    """The first time its node freezes in the transaction that stores its outcome, just before COMMIT."""
    with ledger.marked(job, number):
        if job.fence == 1:
            _armed.enter_context(armed("store.before_commit", _freeze))
        return job.fence


async def _freeze() -> None:
    _armed.close()
    os.kill(os.getpid(), signal.SIGSTOP)
