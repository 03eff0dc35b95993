"""MySQL away for longer than everything that waits for it: killed, and frozen, each under a node that goes on.

Every submission meanwhile is answered in time; once MySQL is back, what ran, what waited and what was delayed goes on
by itself, and the checker finds nothing lost, doubled or early.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx2
import msgspec
import pytest
import trio

from tests.conftest import do_without
from tests.faults import collect, ledger
from tests.faults.asking import ANSWERED_WITHIN_S, MARGIN_S, YES, Askers, assert_told_in_time
from tests.faults.checker import check
from tests.faults.history import Fault, History, Submission
from tests.faults.ledger import now_us
from tests.processes import TickrProcess
from tests.servers import MariaDB, missing_for_mysql
from tests.waiting import eventually

pytestmark = pytest.mark.slow

AWAY_S = float(os.environ.get("TICKR_TEST_AWAY_S", "30"))
"""With 12 it shows the same: longer than the lease, than any time limit of the store (8 s) and than the server waits
for a silent client (10 s). Nothing is counted from then on but tries."""
LEASE_S = AWAY_S / 2
WORKS_ON_WITHIN_S = 5.0
BUSY_S = 15.0
"""How much longer it may take beside all the other tests."""
WORKERS = 8
ASKERS = 3
TRICKLE_S = 0.25
"""From an answer to the next submission."""


class Outage:
    """One server, one node, and the client that goes on asking while the server is away."""

    def __init__(self, server: MariaDB, folder: Path) -> None:
        folder.mkdir()
        self._server = server
        self._ledger = folder / "ledger"
        self._node = TickrProcess(
            store=server.url,
            workers=WORKERS,
            app="tests.faults.lingering:jobs",
            arguments=["--lease", str(LEASE_S)],
            variables={ledger.VARIABLE: str(self._ledger)},
        )
        self._submissions: dict[str, Submission] = {}

    async def go_through(self, kind: Literal["kill", "freeze"]) -> None:
        try:
            await trio.to_thread.run_sync(self._node.start)
            async with httpx2.AsyncClient(base_url=self._node.url, timeout=10) as http:
                self._http, self._askers = http, Askers(http)
                fault = await self._live_through(kind)
                await self._until_done()
            await self._check(fault)
        finally:
            self._node.close()

    async def _live_through(self, kind: Literal["kill", "freeze"]) -> Fault:
        lingering = [await self._submit("lingers") for _ in range(WORKERS // 2)]
        slow = [await self._submit("slow", {"seconds": LEASE_S / 4}) for _ in range(WORKERS // 2)]
        await self._start_of(lingering + slow)
        waiting = [await self._submit("quick") for _ in range(WORKERS)]
        waiting += [await self._submit("quick", delay=AWAY_S * share) for share in (0.2, 0.5, 0.9)]
        await self._submit("quick", delay=AWAY_S + WORKS_ON_WITHIN_S)

        began, away_at = now_us(), trio.current_time()
        await trio.to_thread.run_sync(self._server.kill if kind == "kill" else self._server.stop)
        with trio.move_on_after(AWAY_S):
            async with trio.open_nursery() as nursery:
                for _ in range(ASKERS):
                    nursery.start_soon(self._trickle)
        refused = self._askers.since(away_at)
        assert len(refused) >= ASKERS * AWAY_S / (ANSWERED_WITHIN_S + MARGIN_S + TRICKLE_S)
        assert {answer.status for answer in refused} == {503}
        assert_told_in_time(refused)
        await trio.to_thread.run_sync(self._server.start if kind == "kill" else self._server.cont)
        fault = Fault(kind, "mysql", began, now_us())

        with trio.fail_after(WORKS_ON_WITHIN_S + BUSY_S):
            waiting += [await self._submit_again(answer.job) for answer in refused[:ASKERS]]
            await self._start_of(waiting)
            await self._start_of(lingering, after=fault.ended)  # their lease was lost meanwhile
        await self._start_of([await self._submit_again(answer.job) for answer in refused[ASKERS:]])
        # Who was cut off while asking does not know: on a busy machine MySQL is back too late for the last of them.
        cut = [one.id for one in self._submissions.values() if one.answer == "unknown"]
        await self._start_of([await self._submit_again(job_id) for job_id in cut])
        return fault

    # -- the client ---------------------------------------------------------------------------------------------------

    async def _submit(self, type: str, payload: dict[str, Any] | None = None, *, delay: float = 0.0) -> str:
        """Submit one job, once. Returns its id, whatever the answer was."""
        number, job_id, asked_at = len(self._submissions) + 1, str(uuid.uuid4()), now_us()
        run_at = asked_at + round(delay * 1e6) if delay else None
        # Until somebody says yes.
        self._submissions[job_id] = Submission(job_id, number, type, asked_at, asked_at, "unknown", run_at)
        await self._ask(job_id, type=type, payload={"number": number, **(payload or {})}, delay=delay)
        return job_id

    async def _submit_again(self, job_id: str) -> str:
        again = partial(self._ask, job_id, type="quick", payload={"number": self._submissions[job_id].number})
        await eventually(again)
        return job_id

    async def _ask(self, job_id: str, **fields: Any) -> bool:
        """Ask once, and note whether the answer was a yes."""
        answer = await self._askers.submit(job_id, **fields)
        if answer.status in YES:
            known = msgspec.structs.replace(self._submissions[job_id], answered_at=now_us(), answer="ok")
            self._submissions[job_id] = known
        return answer.status in YES

    async def _trickle(self) -> None:
        while True:
            await self._submit("quick")
            await trio.sleep(TRICKLE_S)

    # -- what came of it ----------------------------------------------------------------------------------------------

    async def _start_of(self, ids: Sequence[str], *, after: int = 0) -> None:
        """Return when each of ``ids`` has been started, ``after`` that instant."""

        async def look() -> bool:
            await trio.lowlevel.checkpoint()
            marks = ledger.read(self._ledger)
            return {mark.job for mark in marks if mark.what == "start" and mark.at >= after}.issuperset(ids)

        await eventually(look, within_s=30)

    async def _until_done(self) -> None:
        async def none_left() -> bool:
            left = await self._http.get("/jobs", params={"state": ["scheduled", "ready", "running", "retrying"]})
            return not left.json()["items"]

        await eventually(none_left, within_s=20)

    async def _check(self, fault: Fault) -> None:
        assert "Traceback" not in self._node.log
        jobs, events = await trio.to_thread.run_sync(collect.from_mysql, self._server.url)
        submissions, marks = list(self._submissions.values()), ledger.read(self._ledger)
        verdict = check(History(submissions, marks, jobs, events, [fault], LEASE_S, WORKERS, now_us()))
        assert verdict.violations == []
        assert verdict.table.succeeded == len(submissions)


@pytest.fixture
def servers() -> Iterator[list[MariaDB]]:
    """Two servers, to be treated each in its own way at the same time."""
    if missing := missing_for_mysql():
        do_without(missing)
    with MariaDB() as one, MariaDB() as other:
        yield [one, other]


async def test_work_goes_on_by_itself_once_mysql_is_back(servers: list[MariaDB], tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(Outage(servers[0], tmp_path / "killed").go_through, "kill")
        nursery.start_soon(Outage(servers[1], tmp_path / "frozen").go_through, "freeze")
