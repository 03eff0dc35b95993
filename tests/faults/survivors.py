"""Jobs that are killed with their node and started again, or not. Real processes: ``tests/faults/test_survivors.py``.

``TickrProcess(app="tests.faults.survivors:jobs")`` runs these. What they do is written to the ledger, whose file the
fleet names.
"""

from __future__ import annotations

import trio

import tickr
from tests.faults import ledger

jobs = tickr.Jobs()


@jobs.handler("pages")
async def pages(job: tickr.Job, number: int) -> list[int]:
    """The first time it keeps 1 to 3 and then waits for its end."""
    with ledger.marked(job, number):
        done = list(await job.resume(default=[]))
        while len(done) < 5:
            done.append(len(done) + 1)
            await job.checkpoint(done)
            if done == [1, 2, 3]:
                await job.progress(0.6, "three are kept")
                await trio.sleep_forever()
        return [job.fence, *done]


@jobs.handler("logs")
async def logs(job: tickr.Job, number: int) -> None:
    """The first time it logs 1 to 3 and then waits for its end."""
    with ledger.marked(job, number):
        for line in (1, 2, 3):
            await job.log(f"{job.fence}: {line}")
        if job.fence == 1:
            await trio.sleep_forever()


@jobs.handler("waits")
async def waits(job: tickr.Job, number: int) -> int:
    """Waits for its end, the first time."""
    with ledger.marked(job, number):
        if job.fence == 1:
            await trio.sleep_forever()
        return job.fence
