"""Two real nodes on one store, and a ``kill -9`` between: what the next attempt knows of the one before, and whether
there is a next one at all.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fleet import Fleet, fleet
from tests.faults.history import Mark
from tests.processes import TickrProcess
from tests.waiting import eventually

pytestmark = pytest.mark.slow

LEASE_S = 1.0


async def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    async with fleet(tmp_path, lease_s=LEASE_S, app="tests.faults.survivors:jobs") as on:
        (doomed,) = on.nodes
        pages = await on.submit("pages", options={"max_attempts": 1})

        async def three_are_kept() -> bool:
            return (await on.get(pages, at=doomed))["progress_message"] == "three are kept"

        await eventually(three_are_kept)
        (other,) = await on.start()
        on.kill(doomed)
        await on.marked([pages], "done", lambda mark: mark.pid == other.pid)
        job = await final(on, pages, other)
        assert (job["state"], job["crashes"], job["attempt"]) == ("succeeded", 1, 1)
        assert job["result"] == [2, 1, 2, 3, 4, 5]


async def test_what_a_killed_job_had_logged_stays_with_it(tmp_path: Path) -> None:
    async with fleet(tmp_path, lease_s=LEASE_S, app="tests.faults.survivors:jobs") as on:
        (doomed,) = on.nodes
        job = await on.submit("logs")

        async def logged(at: TickrProcess) -> list[str]:
            return [line["message"] for line in (await on.get(f"{job}/log", at=at))["items"]]

        async def three_are_kept() -> bool:
            return len(await logged(doomed)) == 3

        await eventually(three_are_kept)
        (other,) = await on.start()
        on.kill(doomed)
        await on.marked([job], "done", lambda mark: mark.pid == other.pid)
        await final(on, job, other)
        assert await logged(other) == ["1: 1", "1: 2", "1: 3", "2: 1", "2: 2", "2: 3"]


async def test_a_killed_job_that_outlives_no_crash_is_never_begun_again(tmp_path: Path) -> None:
    async with fleet(tmp_path, lease_s=LEASE_S, app="tests.faults.survivors:jobs") as on:
        (doomed,) = on.nodes
        once, again = [await on.submit("waits", options=options) for options in ({"max_crashes": 0}, {})]
        await on.marked([once, again], "start")
        (other,) = await on.start()
        on.kill(doomed)
        await on.marked([again], "done", lambda mark: mark.pid == other.pid)
        job = await final(on, once, other)
        assert (job["state"], job["crashes"], job["attempt"], job["max_crashes"]) == ("failed", 1, 0, 0)
        assert job["error"] == {"kind": "crashed", "message": "The node running it was lost.", "traceback": None}
        assert [mark.pid for mark in starts(on, once)] == [doomed.pid]
        assert [one["outcome"] for one in await on.attempts(once, at=other)] == ["failed"]


async def final(on: Fleet, job_id: str, at: TickrProcess) -> dict[str, object]:
    async def look() -> dict[str, object] | None:
        job = await on.get(job_id, at=at)
        return job if job["finished_at"] else None

    return await eventually(look)


def starts(on: Fleet, job_id: str) -> list[Mark]:
    return on.marks(lambda mark: mark.job == job_id and mark.what == "start")
