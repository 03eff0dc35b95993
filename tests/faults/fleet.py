"""A small fleet for the tests of single faults: nodes on one store and one index, and a client that asks any of them.

Comes in: URLs, and how many nodes. Goes out: the nodes, to be killed and frozen; a ``History`` for the checker. A fault
is done by the test, or by the methods here that note it too.

State: ``submissions`` and ``faults`` grow here; ``answers`` and ``slowest_s`` say what clients met on the way.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2
import trio
import uuid_utils

from tests.children import Child
from tests.faults import collect, ledger
from tests.faults.checker import Verdict, check
from tests.faults.history import Fault, History, Mark, Submission
from tests.faults.ledger import VARIABLE, now_us, way_of
from tests.processes import TickrProcess
from tests.waiting import eventually

ANSWERED_WITHIN_S = 10.0
"""How long a client waits for one answer; only that of a frozen node takes so long."""
KNOWN_WITHIN_S = 30.0
"""How long a client asks again."""
PAUSE_S = 0.1
HELD_S = 0.5
"""A write takes some milliseconds."""
WORKERS = 20
FINAL = {"succeeded", "failed", "cancelled"}


class Place(NamedTuple):
    """Where a fleet keeps its jobs; ``index`` None is a heap in each node."""

    store: str
    index: str | None = None

    @property
    def sqlite(self) -> Path | None:
        return Path(self.store.removeprefix("sqlite:///")) if self.store.startswith("sqlite:") else None


class Fleet:
    """Nodes that share a store. Opened by ``fleet``.

    Attributes:
      nodes: all that were started.
      answers: each answer that was no 201: its status, or the name of the error. Refused connections are not counted.
      slowest_s: the longest time that an answer took.
    """

    def __init__(
        self, place: Place, folder: Path, lease_s: float, http: httpx2.AsyncClient, stack: ExitStack, **settings: Any
    ) -> None:
        self.place, self._http, self._stack = place, http, stack
        self._ledger, self._lease_s = folder / "ledger", lease_s
        self._settings: dict[str, Any] = {"workers": WORKERS, "app": "tests.faults.ledger:jobs"} | settings
        self._settings["arguments"] = ["--lease", f"{lease_s:g}", *settings.get("arguments", ())]
        self._settings["variables"] = {VARIABLE: str(self._ledger)}
        self._numbers = itertools.count(1)
        self.nodes: list[TickrProcess] = []
        self.submissions: list[Submission] = []
        self.faults: list[Fault] = []
        self.answers: list[str] = []
        self.slowest_s = 0.0

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def start(self, count: int = 1) -> list[TickrProcess]:
        """Start more nodes, all at once, and return them when they are ready."""
        added = [TickrProcess(store=self.place.store, index=self.place.index, **self._settings) for _ in range(count)]
        for node in added:
            self._stack.callback(node.close)
        self.nodes += added
        async with trio.open_nursery() as nursery:
            for node in added:
                nursery.start_soon(trio.to_thread.run_sync, node.start)
        return added

    async def restart(self, node: TickrProcess) -> None:
        """Start ``node`` again, which has ended."""
        node.kill()  # ends its guard too
        await trio.to_thread.run_sync(node.start)

    async def keep(self, node: TickrProcess) -> None:
        """Start ``node`` again whenever it ends, until cancelled."""
        while True:
            await until_ended(node)
            node.kill()  # ends its guard too
            await trio.to_thread.run_sync(partial(node.start, wait=False))  # it may be killed before it is ready

    def kill(self, node: Child) -> int:
        """SIGKILL to a node, or to a remote worker. Returns when, in microseconds."""
        self._note("kill", "node", at := now_us(), node.pid)
        node.kill()
        return at

    @asynccontextmanager
    async def frozen(self, node: TickrProcess) -> AsyncIterator[None]:
        """SIGSTOP for the time of the block. On SQLite never inside a write, which would hold everybody's file."""
        began = now_us()
        node.stop()
        while self.place.sqlite and await trio.to_thread.run_sync(_is_held, self.place.sqlite):
            node.cont()
            await trio.sleep(PAUSE_S)
            node.stop()
        try:
            yield
        finally:
            node.cont()
            self._note("freeze", "node", began, node.pid)

    def _note(self, kind: str, part: Literal["node", "mysql", "redis"], began: int, pid: int | None = None) -> None:
        self.faults.append(Fault(kind, part, began, now_us(), pid))

    @asynccontextmanager
    async def broken_redis(self, kind: str) -> AsyncIterator[None]:
        """Note what the block does to Redis."""
        began = now_us()
        try:
            yield
        finally:
            self._note(kind, "redis", began)

    # -- clients --------------------------------------------------------------------------------------------------

    async def submit(
        self,
        type: str = "quick",
        *,
        at: TickrProcess | None = None,
        ends: Sequence[str] = ("succeeded",),
        crashes_it: bool = False,
        options: Mapping[str, Any] | None = None,
        **payload: Any,
    ) -> str:
        """Submit a job at ``at``, or at any node, again and again with one id until somebody says yes. Returns the id.

        Args:
          ends, crashes_it: see ``Submission``.
          options: more of the submission, like ``delay``.
        """
        number, job_id, asked_at = next(self._numbers), str(uuid_utils.uuid7()), now_us()
        body = {"id": job_id, "type": type, "payload": {"number": number, **payload}, **(options or way_of(number))}

        async def taken() -> bool:
            return await self._ask(at or random.choice(self.nodes), body)

        await eventually(taken, within_s=KNOWN_WITHIN_S)
        self.submissions.append(
            Submission(
                id=job_id,
                number=number,
                type=type,
                asked_at=asked_at,
                answered_at=now_us(),
                answer="ok",
                run_at=asked_at + round(body["delay"] * 1e6) if "delay" in body else None,
                max_attempts=body.get("max_attempts", 3),
                ends=tuple(ends),
                crashes_it=crashes_it,
            )
        )
        return job_id

    async def _ask(self, node: TickrProcess, body: dict[str, Any]) -> bool:
        began = trio.current_time()
        try:
            answer = await self._http.post(f"{node.url}/jobs", json=body)
        except httpx2.ConnectError:
            return False  # it is down: another will do
        except httpx2.HTTPError as error:
            self.answers.append(type(error).__name__)
            return False
        self.slowest_s = max(self.slowest_s, trio.current_time() - began)
        if answer.status_code != 201:
            self.answers.append(str(answer.status_code))
        return answer.status_code in (200, 201)

    async def get(self, job_id: str, *, at: TickrProcess) -> dict[str, Any]:
        answer = await self._http.get(f"{at.url}/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def attempts(self, job_id: str, *, at: TickrProcess) -> list[dict[str, Any]]:
        return list((await self._http.get(f"{at.url}/jobs/{job_id}/attempts")).json()["items"])

    async def cancel(self, job_id: str, *, at: TickrProcess) -> None:
        answer = await self._http.post(f"{at.url}/jobs/{job_id}/cancel")
        assert answer.status_code in (200, 202), answer.text

    async def status(self, *, at: TickrProcess) -> str:
        """Return what ``/readyz`` says."""
        return str((await self._http.get(f"{at.url}/readyz")).json()["status"])

    async def all_final(self, *, within_s: float = 20) -> None:
        """Return once every job in the store is final."""

        async def drained() -> bool:
            jobs, _ = await trio.to_thread.run_sync(self.stored)
            return all(job.state in FINAL for job in jobs)

        await eventually(drained, within_s=within_s)

    def stored(self) -> tuple[list[collect.StoredJob], list[collect.StoredEvent]]:
        return collect.from_sqlite(path) if (path := self.place.sqlite) else collect.from_mysql(self.place.store)

    # -- what the jobs say, and what came of it -------------------------------------------------------------------

    def marks(self, which: Callable[[Mark], bool] = lambda _: True) -> list[Mark]:
        return [mark for mark in ledger.read(self._ledger) if which(mark)]

    async def marked(
        self, job_ids: Sequence[str], what: str, which: Callable[[Mark], bool] = lambda _: True, *, within_s: float = 20
    ) -> list[Mark]:
        """Return the first such mark of each job, once all have one."""

        async def look() -> list[Mark] | None:
            found = {mark.job: mark for mark in reversed(self.marks(which)) if mark.what == what}
            return [found[job_id] for job_id in job_ids] if found.keys() >= set(job_ids) else None

        return await eventually(look, within_s=within_s)

    async def verdict(self) -> Verdict:
        """Have the checker decide; it has found no promise broken."""
        jobs, events = await trio.to_thread.run_sync(self.stored)
        verdict = check(
            History(
                submissions=self.submissions,
                marks=self.marks(),
                jobs=jobs,
                events=events,
                faults=self.faults,
                lease_s=self._lease_s,
                workers=self._settings["workers"],
                ended=now_us(),
            )
        )
        assert not verdict.violations, verdict.told()
        return verdict


def _is_held(path: Path) -> bool:
    """Whether somebody has the file for writing and does not let go of it."""
    with closing(sqlite3.connect(path, timeout=HELD_S, isolation_level=None)) as db:
        try:
            db.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return True
        return False


async def until_ended(node: TickrProcess) -> None:
    async def ended() -> bool:
        return not node.running

    await eventually(ended, within_s=float("inf"))


def said(node: TickrProcess, event: str) -> list[dict[str, Any]]:
    """Return the lines of ``event`` in the node's log, over all its lives."""
    lines = [json.loads(line) for line in node.log.splitlines() if line.startswith("{") and line.endswith("}")]
    return [line for line in lines if line["event"] == event]


@asynccontextmanager
async def fleet(
    folder: Path, place: Place | None = None, *, nodes: int = 1, lease_s: float = 3, **settings: Any
) -> AsyncIterator[Fleet]:
    """Have a fleet of ``nodes`` for the time of the block.

    Args:
      folder: for the ledger; and for the SQLite file that is the store if no ``place`` is given.
      settings: more for each ``TickrProcess``, like ``app``; ``arguments`` are added to the lease.
    """
    place = place or Place(f"sqlite:///{folder}/tickr.db")
    with ExitStack() as stack:
        async with httpx2.AsyncClient(timeout=ANSWERED_WITHIN_S, trust_env=False) as http:
            made = Fleet(place, folder, lease_s, http, stack, **settings)
            await made.start(nodes)
            yield made
