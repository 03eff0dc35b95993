"""The handlers of the load tests: jobs that do nothing, jobs that say when they were started, and jobs without an end.

``tickr serve bench.noop:jobs``, from this folder's parent, is a node that commands with --url can be let loose on.
"""

from __future__ import annotations

import time

import trio

import tickr

jobs = tickr.Jobs()


@jobs.handler("noop")
async def noop(data: str = "") -> dict[str, bool]:
    """``data`` makes the payload as long as one likes."""
    return {"ok": True}


@jobs.handler("stamp")
async def stamp(sent_ns: int = 0, data: str = "") -> dict[str, int]:
    """Return when it was started: by the clock that all processes of this machine share, and by the wall clock."""
    return {"sent_ns": sent_ns, "started_ns": time.monotonic_ns(), "started_us": time.time_ns() // 1000}


@jobs.handler("endless")
async def endless() -> None:
    """Ends when it is cancelled."""
    await trio.sleep_forever()
