"""Testing: try your handlers out, in virtual time: a month of delays and retries in less than a second.

A real node of Tickr (its intake, scheduler, worker, retries, feed) lives alone with a store in memory, on trio's
virtual clock, which jumps whenever everybody waits. The test submits, lets time pass, and looks at what happened; it
can have the node die at any failpoint, as by kill -9, and see the next one take over. See ``docs/testing.md``.

    from tickr.testing import running

    @running(jobs)
    async def test_a_charge_is_tried_again(app):
        job = await app.submit("charge", {"customer": 42, "cents": 1999})
        assert await app.result(job) == {"receipt": "42"}
        assert [run.outcome for run in app.runs("charge")] == ["retrying", "succeeded"]

    ways.py        the ways to begin: over a test, inside of trio, or ``run``
    app.py         what a test asks and sees; records.py is how it looks
    life.py        nodes one after the other (node.py), on one store (truth.py), in one time (virtual_time.py)
"""

from __future__ import annotations

from tickr.testing.app import App
from tickr.testing.records import Event, Job, Run
from tickr.testing.unfinished import NotSucceeded, Unfinished
from tickr.testing.ways import run, running

__all__ = ["App", "Event", "Job", "NotSucceeded", "Run", "Unfinished", "run", "running"]
