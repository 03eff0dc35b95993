"""Nodes that are frozen beyond their lease, that die elsewhere, that their jobs kill, or that cannot stop their jobs.

Most of the time of these trials is waiting for a lease to end. So they are played all at once, each with nodes and a
store of its own, and then each of them is a test.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import outcome
import pytest
import trio

from tests.faults.fleet import Fleet, Place, fleet, said, until_ended
from tests.faults.history import Mark
from tests.faults.trials import Case, name_of, play_trials
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.store.mysql_pool import SILENT_S
from tickr.worker.worker import PATIENCE_S

pytestmark = pytest.mark.slow

LINGERING = "tests.faults.lingering:jobs"
LEASE_S, DEFAULT_LEASE_S = 3.0, 15.0
ELSEWHERE_WITHIN_S = 17.0
"""With the default lease, from ``kill -9`` to the start on another node."""
GRACE_S = 1.0
LASTS_S = 3.0
CRASHED_WITHIN_S = 40.0
ATTEMPTS = (
    "SELECT outcome, json_extract(error, '$.kind'), json_extract(error, '$.traceback') FROM attempts "
    "ORDER BY finished_at"
)


def by(node: TickrProcess) -> Callable[[Mark], bool]:
    pid = node.pid
    return lambda mark: mark.pid == pid


# -- frozen beyond the lease ------------------------------------------------------------------------------------------


async def a_frozen_node(folder: Path, place: Place | None) -> None:
    """Its late writes change nothing, its handlers are cancelled, its jobs succeed elsewhere, it works on anew."""
    async with fleet(folder, place, lease_s=LEASE_S, app=LINGERING) as on:
        (frozen,) = on.nodes
        ids = [await on.submit(type) for type in ("lingers", "lingers_in_thread")]
        ids.append(late := await on.submit("outlasts", seconds=LASTS_S))
        await on.marked(ids, "start")
        (other,) = await on.start()
        async with on.frozen(frozen):
            await on.marked(ids[:2], "done", by(other))
            await on.marked([late], "start", by(other))  # still runs there when the first node tells of its success
        await on.marked(ids[:2], "cancelled", by(frozen))
        await on.marked([late], "done", by(frozen))
        assert await voids(frozen, len(ids)) == dict(zip(ids, ["released", "released", "succeeded"], strict=True))
        await until_it_works_on(on, frozen)
        await on.all_final()
        for job_id in ids:
            job = await on.get(job_id, at=other)
            assert (job["state"], job["result"], job["attempt"], job["crashes"]) == ("succeeded", 2, 1, 1)
            assert [one["outcome"] for one in await on.attempts(job_id, at=other)] == ["released", "succeeded"]
        await on.verdict()


async def a_node_frozen_in_a_transaction(folder: Path, place: Place | None) -> None:
    """MySQL waits for a word of it no longer than ``SILENT_S``; then its locks are gone and its job is others'."""
    async with fleet(folder, place, nodes=2, lease_s=LEASE_S, app=LINGERING) as on:
        job_id = await on.submit("freezes")
        (start,) = await on.marked([job_id], "start")
        frozen, other = sorted(on.nodes, key=lambda node: node.pid != start.pid)
        await eventually(lambda: is_stopped(frozen))
        async with on.frozen(frozen):
            await on.marked([job_id], "done", by(other), within_s=SILENT_S + LEASE_S + 5)
        assert await voids(frozen, 1) == {job_id: "succeeded"}
        await until_it_works_on(on, frozen)
        await on.all_final()
        await on.verdict()


async def is_stopped(node: TickrProcess) -> bool:
    return " T " in await trio.Path(f"/proc/{node.pid}/stat").read_text()


async def voids(node: TickrProcess, count: int) -> dict[str, str]:
    """Return the outcomes that the store did not take from ``node``, by job, once there are so many."""

    async def look() -> dict[str, str] | None:
        found = {line["job"]: line["outcome"] for line in said(node, "job.outcome_void")}
        return found if len(found) >= count else None

    return await eventually(look)


async def until_it_works_on(on: Fleet, node: TickrProcess) -> None:
    """Return when ``node`` has registered under a new id and run a job under it."""

    async def ids() -> list[str] | None:
        found = [line["node"] for line in said(node, "node.registered")]
        return found if len(found) > 1 else None

    old, new = await eventually(ids)
    assert old != new

    async def runs_jobs() -> bool:
        job_id = await on.submit("slow", at=node, seconds=0.1)
        await on.marked([job_id], "done")
        if (await on.get(job_id, at=node))["node"] != new:
            return False
        assert [line["node"] for line in said(node, "job.started") if line["job"] == job_id] == [new]
        return True

    await eventually(runs_jobs)


# -- killed elsewhere ------------------------------------------------------------------------------------------------


async def a_node_killed_elsewhere(folder: Path, place: Place | None) -> None:
    """Nobody starts it again, so only the end of its lease tells the other node that it is gone."""
    async with fleet(folder, place, lease_s=DEFAULT_LEASE_S, app=LINGERING) as on:
        (doomed,) = on.nodes
        ids = [await on.submit(type) for type in ("lingers", "lingers_in_thread", "outlasts") * 3]
        await on.marked(ids, "start")
        (other,) = await on.start()
        killed_at = on.kill(doomed)
        again = await on.marked(ids, "start", by(other), within_s=ELSEWHERE_WITHIN_S + 10)
        assert max(mark.at for mark in again) - killed_at <= ELSEWHERE_WITHIN_S * 1e6
        await on.all_final()
        assert (await on.verdict()).table.longest_recovery_s <= ELSEWHERE_WITHIN_S


# -- poison and rude jobs ----------------------------------------------------------------------------------------------


async def a_poison_job(folder: Path, place: Place | None) -> None:
    """It kills its worker each time: three times. What runs beside it every time succeeds all the same."""
    async with fleet(folder, place, nodes=2 if place else 1, lease_s=LEASE_S) as on, trio.open_nursery() as keeping:
        neighbours = [await on.submit("slow", seconds=1.5) for _ in range(8)]
        for node in on.nodes:
            keeping.start_soon(on.keep, node)
        poison = await on.submit("poison", ends=["failed"], crashes_it=True)
        await on.marked(neighbours, "done", within_s=CRASHED_WITHIN_S)
        await on.all_final()
        keeping.cancel_scope.cancel()
        assert len([mark for mark in on.marks() if mark.job == poison]) == 3
        verdict = await on.verdict()
        assert (verdict.table.quarantined, verdict.table.succeeded) == (1, len(neighbours))


async def a_rude_job(folder: Path, place: Place | None) -> None:
    """A thread that ignores its cancellation is told of, with its stack, and a stop waits for it no longer."""
    async with fleet(folder, place, arguments=["--grace", f"{GRACE_S:g}"]) as on:
        (node,) = on.nodes
        late = await on.submit("rude", options={"timeout": 0.2, "max_attempts": 1})
        running = await on.submit("rude")
        await on.marked([late, running], "start")

        async def given_up() -> bool:
            return (await on.get(late, at=node))["state"] == "failed"

        await eventually(given_up)
        began = time.monotonic()
        node.terminate()
        await until_ended(node)
        assert time.monotonic() - began < GRACE_S + PATIENCE_S + 3
        assert node.wait() == 0
        assert [line["job"] for line in said(node, "job.left_behind")] == [late, running]
        assert on.place.sqlite
        with closing(sqlite3.connect(on.place.sqlite)) as db:
            (first, second) = db.execute(ATTEMPTS).fetchall()
            states = db.execute("SELECT state, attempt FROM jobs ORDER BY id").fetchall()
        assert (first[:2], second[:2]) == (("failed", "unresponsive"), ("released", "unresponsive"))
        assert all("in rude" in stack for *_, stack in (first, second))
        assert states == [(6, 1), (1, 0)]


# -- all of it at once -------------------------------------------------------------------------------------------------


CASES = [
    *(Case(trial, "mysql+redis") for trial in (a_node_killed_elsewhere, a_node_frozen_in_a_transaction)),
    *(Case(trial, "mysql+redis") for trial in (a_frozen_node, a_poison_job)),
    *(Case(trial, "sqlite+heap") for trial in (a_node_killed_elsewhere, a_frozen_node, a_poison_job, a_rude_job)),
]


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[Case, outcome.Outcome[None]]:
    return play_trials(request, tmp_path_factory, CASES)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_what_is_lost_with_a_node(case: Case, played: dict[Case, outcome.Outcome[None]]) -> None:
    played[case].unwrap()
