"""The stage for the tests that make a node fail at a point: a store and an index of its own, nodes, a client, a ledger.

Comes in: where the store and the index are. Goes out: a ``History`` for the checker, once everything has drained. The
client submits under ids of its own and asks again with the same id until it knows; it goes to the first of the nodes
that lives, in the order in which they were made.

State: ``Stage`` owns the nodes, the client's answers and the list of faults; the plots in ``crash_plots.py`` drive it.
"""

from __future__ import annotations

import re
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import httpx2
import msgspec
import redis
import trio

from tests.faults import collect, ledger
from tests.faults.history import Answer, Fault, History, StoredEvent, StoredJob, Submission
from tests.faults.ledger import now_us, way_of
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.failpoints import VARIABLE
from tickr.redis_link.address import parse_redis_url

LEASE_S, GRACE_S = 3.0, 5.0
WORKERS = 8
STRUCK_WITHIN_S = 45.0
"""How long a node may take to come to the point that is armed, in seconds."""
DRAINED_WITHIN_S = 40.0
"""How long everything may take to become final after that, in seconds: a lease, a sweep, retries, and much patience."""
ASKED_WITHIN_S = 5.0
WAVE_S = 0.7
"""Time between two waves of jobs while a node has not come to its point yet, in seconds."""
FAR_S = 3600.0
EXPIRES_S = 0.9
"""When a job expires that waits for another try, in seconds."""
SCHEDULE, TICKING = "ticker", 1_000_000
"""The schedule of a stage, and the number in the payload of its jobs."""

Kind = Literal["mysql+redis", "sqlite+heap"]
FINAL = {"succeeded", "failed", "cancelled"}


class Backend(NamedTuple):
    """Where a stage's jobs are. ``shared``: several nodes have one index, so that one can take over from another."""

    kind: Kind
    store: str
    index: str

    @property
    def shared(self) -> bool:
        return self.kind == "mysql+redis"

    def stored(self) -> tuple[list[StoredJob], list[StoredEvent]]:
        if self.shared:
            return collect.from_mysql(self.store, all_numbered=True)
        return collect.from_sqlite(Path(self.store.removeprefix("sqlite:///")))

    def forget_index(self, *kept: str) -> None:
        """Empty the Redis namespace in one step, as FLUSHALL does, but for the keys ``kept``."""
        address = parse_redis_url(self.index)
        with redis.Redis(host=address.host, port=address.port, db=address.db, decode_responses=True) as client:
            pattern = re.sub(r"([\[\]*?])", r"\\\1", address.key("")) + "*"
            names = set(client.scan_iter(match=pattern, count=1000)) - {address.key(name) for name in kept}
            if names:
                client.delete(*names)


class Client:
    """Submits and cancels, and keeps asking. All of it ends up in ``submissions``."""

    def __init__(self, nodes: Sequence[TickrProcess], http: httpx2.AsyncClient) -> None:
        self._nodes, self._http = nodes, http
        self._bodies: dict[str, dict[str, Any]] = {}
        self._to_cancel: set[str] = set()
        self.answers: dict[str, Submission] = {}
        self.strange: list[str] = []

    async def submit(
        self,
        type_: str,
        *,
        delay: float = 0.0,
        expires_in: float | None = None,
        ends: tuple[str, ...] = ("succeeded",),
        **payload: Any,
    ) -> str:
        """Ask once, and return the id; ``settle`` asks again where the answer was not a yes.

        A job with ``expires_in`` would be tried again long after that.
        """
        number, asked_at, job_id = len(self._bodies) + 1, now_us(), str(uuid.uuid4())
        body = {"id": job_id, "type": type_, "payload": {"number": number, **payload}}
        body |= {"delay": delay} if delay else way_of(number)
        if expires_in is not None:
            body |= {"expires_in": expires_in, "backoff": {"kind": "constant", "base": FAR_S}}
        self._bodies[job_id] = body
        attempts = 2 if type_ == "broken" else 3
        run_at = asked_at + round(delay * 1e6) if delay else None
        self.answers[job_id] = Submission(
            *(job_id, number, type_, asked_at, asked_at, "refused", run_at),
            max_attempts=attempts,
            ends=ends,
            expires_in=None if expires_in is None else round(expires_in * 1e6),
        )
        await self._ask(job_id)
        return job_id

    async def cancel(self, job_id: str) -> bool:
        """Ask once that the job be cancelled; ``settle`` asks again. Returns whether the answer was that it is."""
        self._to_cancel.add(job_id)
        answer = await self._post(f"/jobs/{job_id}/cancel")
        if isinstance(answer, httpx2.Response) and answer.status_code in (200, 202, 409):
            self._to_cancel.discard(job_id)
            return True
        return False

    async def wave(self) -> None:
        """Submit one job of each kind, several of the quickest, and cancel two."""
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(self.submit, "quick")
            for delay in (0.2, 0.5):
                nursery.start_soon(partial(self.submit, "quick", delay=delay))
            for name in ("flaky", "thread", "chatty"):
                nursery.start_soon(self.submit, name)
            nursery.start_soon(partial(self.submit, "broken", ends=("failed",)))
            nursery.start_soon(partial(self.submit, "slow", seconds=0.5))
            nursery.start_soon(partial(self.submit, "broken", expires_in=EXPIRES_S, ends=("cancelled",)))
            nursery.start_soon(self._submit_and_cancel, 0.0)
            nursery.start_soon(self._submit_and_cancel, FAR_S)

    async def _submit_and_cancel(self, delay: float) -> None:
        job_id = await self.submit("slow", delay=delay, seconds=1.5, ends=("cancelled", "succeeded"))
        await self.cancel(job_id)

    async def tick(self) -> None:
        """Have a schedule make a job each second, and make up for every tick that is missed."""
        job = {"type": "quick", "payload": {"number": TICKING}, "labels": {"by": SCHEDULE}}
        await self._on_schedule("PUT", "", {"every": 1, "missed": "all", "job": job})

    async def ticks_on(self, ticks: int) -> None:
        """Return when so many more ticks have been dealt with. Raises: TooSlowError."""
        before = await self._last_tick()

        async def gone_on() -> bool:
            return await self._last_tick() >= before + timedelta(seconds=ticks)

        await eventually(gone_on, within_s=DRAINED_WITHIN_S)

    async def end_ticks(self) -> None:
        """Have no more, and return when the jobs of all that were are final. Raises: TooSlowError."""
        await self._on_schedule("POST", "/pause")

        async def none_left() -> bool:
            answer = await self._send("GET", f"/jobs?label=by={SCHEDULE}&limit=200")
            return isinstance(answer, httpx2.Response) and all(job["state"] in FINAL for job in answer.json()["items"])

        await eventually(none_left, within_s=DRAINED_WITHIN_S)

    async def _last_tick(self) -> datetime:
        document = await self._on_schedule("GET", "")
        return datetime.fromisoformat(document["last_tick"] or document["created_at"])

    async def _on_schedule(self, method: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._insist(method, f"/schedules/{SCHEDULE}{action}", body)

    async def operate(self, wish: dict[str, Any]) -> str:
        """Begin an operation, and return its id. Raises: TooSlowError."""
        begun = await self._insist("POST", "/operations", {"id": str(uuid.uuid4()), **wish})
        return str(begun["id"])

    async def operated(self, operation: str) -> dict[str, Any]:
        """Return the operation when it is done. Raises: TooSlowError."""

        async def done() -> dict[str, Any] | None:
            found = await self._insist("GET", f"/operations/{operation}")
            return found if found["state"] == "done" else None

        return await eventually(done, within_s=DRAINED_WITHIN_S)

    async def _insist(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask until somebody answers that it is done. Raises: TooSlowError."""

        async def done() -> dict[str, Any] | None:
            answer = await self._send(method, path, body)
            good = isinstance(answer, httpx2.Response) and answer.status_code in (200, 201, 202)
            return dict(answer.json()) if isinstance(answer, httpx2.Response) and good else None

        return await eventually(done, within_s=DRAINED_WITHIN_S)

    async def settle(self) -> None:
        """Ask again, with the same ids, until everything is known. Raises: TooSlowError."""

        async def known() -> bool:
            for job_id in [one.id for one in self.answers.values() if one.answer != "ok"]:
                await self._ask(job_id)
            for job_id in list(self._to_cancel):
                await self.cancel(job_id)
            return not self._to_cancel and all(one.answer == "ok" for one in self.answers.values())

        await eventually(known, within_s=DRAINED_WITHIN_S)

    async def wait_final(self) -> None:
        """Return when every job is final. Raises: TooSlowError, naming those that are not."""
        left = set(self.answers)

        async def none_left() -> bool:
            for job_id in list(left):
                answer = await self._send("GET", f"/jobs/{job_id}")
                if not isinstance(answer, httpx2.Response) or answer.status_code != 200:
                    return False
                if answer.json()["state"] not in FINAL:
                    return False
                left.discard(job_id)
            return True

        try:
            await eventually(none_left, within_s=DRAINED_WITHIN_S)
        except trio.TooSlowError:
            raise trio.TooSlowError(f"not final after {DRAINED_WITHIN_S:g} s: {sorted(left)}") from None

    async def read_events(self) -> None:
        """Ask for a page of the feed, from its end."""
        answer = await self._send("GET", "/events")
        assert isinstance(answer, httpx2.Response), answer
        assert answer.status_code == 200, answer.text

    async def _ask(self, job_id: str) -> None:
        answer = await self._post("/jobs", self._bodies[job_id])
        before = self.answers[job_id]
        heard: Answer = "refused"
        if not isinstance(answer, httpx2.Response):
            heard = answer
        elif answer.status_code in (200, 201):
            heard = "ok"
        elif answer.status_code not in (429, 503) or answer.json().get("outcome_unknown"):
            heard = "unknown"
        if heard == "refused" and before.answer == "unknown":
            heard = "unknown"
        self.answers[job_id] = msgspec.structs.replace(before, answer=heard, answered_at=now_us())

    async def _post(self, path: str, body: dict[str, Any] | None = None) -> httpx2.Response | Answer:
        answer = await self._send("POST", path, body)
        orderly = (200, 201, 202, 404, 409, 429, 503)  # 404: of a job whose submission came to nothing
        if isinstance(answer, httpx2.Response) and answer.status_code not in orderly:
            self.strange.append(f"{path}: {answer.status_code} {answer.text[:300]}")
        return answer

    async def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Response | Answer:
        for node in self._nodes:
            try:
                return await self._http.request(method, node.url + path, json=body)
            except httpx2.ConnectError:
                continue
            except httpx2.HTTPError:
                return "unknown"
        return "refused"


class Stage:
    """One store, one index, and who works on them."""

    def __init__(self, backend: Backend, folder: Path, http: httpx2.AsyncClient) -> None:
        self.backend = backend
        self.nodes: list[TickrProcess] = []
        self._ledger = folder / "ledger"
        self.client = Client(self.nodes, http)
        self.faults: list[Fault] = []
        self._pruned: list[StoredEvent] = []

    # -- nodes ----------------------------------------------------------------------------------------------------

    def node(self, *arguments: str, roles: str | None = None, failpoints: str | None = None) -> TickrProcess:
        """Make a node, not started yet."""
        made = TickrProcess(
            store=self.backend.store,
            index=self.backend.index,
            workers=WORKERS,
            app="tests.faults.ledger:jobs",
            roles=roles,
            arguments=["--lease", str(LEASE_S), "--grace", str(GRACE_S), *arguments],
            variables={ledger.VARIABLE: str(self._ledger), **({VARIABLE: failpoints} if failpoints else {})},
        )
        self.nodes.append(made)
        return made

    async def start(self, node: TickrProcess) -> TickrProcess:
        """Start it, and return when it serves. Raises: TooSlowError."""
        await trio.to_thread.run_sync(partial(node.start, wait=False))
        await self.said(node, "node.serving")
        return node

    async def said(self, node: TickrProcess, word: str, within_s: float = STRUCK_WITHIN_S) -> None:
        """Return when the log of ``node`` has ``word``, or when it has ended. Raises: TooSlowError."""

        async def look() -> bool:
            return not node.running or word in node.log

        await eventually(look, within_s=within_s)

    def freeze(self, node: TickrProcess) -> Callable[[], None]:
        """SIGSTOP. Returns how to let it go on."""
        began = now_us()
        node.stop()

        def thaw() -> None:
            node.cont()
            self.faults.append(Fault("freeze", "node", began, now_us(), node.pid))

        return thaw

    async def kill(self, node: TickrProcess) -> None:
        await trio.to_thread.run_sync(node.kill)
        self.faults.append(Fault("kill", "node", now_us(), now_us(), node.pid))

    async def struck(self, node: TickrProcess, point: str) -> None:
        """Return when ``node`` has been killed by ``point``. Raises: NotReady, AssertionError: it has not."""
        code = await self.ended(node)
        told = f"failpoint {point}: kill\n" in node.log
        assert told, f"it ended with code {code}, and not at {point}:\n{node.log[-3000:]}"
        assert code == -signal.SIGKILL, code

    async def ended(self, node: TickrProcess) -> int:
        """Return the exit code of a node that dies of its failpoint. Raises: NotReady: it does not."""
        code = await trio.to_thread.run_sync(partial(node.wait, STRUCK_WITHIN_S), abandon_on_cancel=True)
        self.faults.append(Fault("failpoint", "node", now_us(), now_us(), node.pid))
        return code

    async def works(self, node: TickrProcess) -> None:
        """Return when an attempt is running at ``node``."""

        async def look() -> bool:
            began = {(one.job, one.fence) for one in ledger.read(self._ledger) if one.pid == node.pid}
            ended = {(one.job, one.fence) for one in ledger.read(self._ledger) if one.what != "start"}
            return bool(began - ended)

        await eventually(look, within_s=STRUCK_WITHIN_S)

    # -- the end --------------------------------------------------------------------------------------------------

    async def drain(self) -> None:
        """Return when everything that was ever asked for is known and final."""
        await self.client.settle()
        await self.client.wait_final()

    async def keep_events(self) -> None:
        """Remember the events that are there, as they are about to be deleted."""
        _, self._pruned = await self._stored()

    async def history(self) -> History:
        jobs, left = await self._stored()
        seen = {one.seq for one in left}
        return History(
            submissions=list(self.client.answers.values()),
            marks=ledger.read(self._ledger),
            jobs=jobs,
            events=[*(one for one in self._pruned if one.seq not in seen), *left],
            faults=self.faults,
            lease_s=LEASE_S,
            workers=WORKERS,
            ended=now_us(),
        )

    async def _stored(self) -> tuple[list[StoredJob], list[StoredEvent]]:
        await self.client.read_events()  # whoever reads the log of MySQL gives its rows their numbers
        return await trio.to_thread.run_sync(self.backend.stored)

    def last_words(self) -> str:
        """Return the ends of all logs, for a test that failed."""
        named = [(node.variables.get(VARIABLE, "no failpoint"), node.log[-2500:]) for node in self.nodes]
        return "\n".join(f"-- {name}\n{log}" for name, log in named)

    def close(self) -> None:
        for node in self.nodes:
            node.close()


@asynccontextmanager
async def open_stage(backend: Backend, folder: Path) -> AsyncIterator[Stage]:
    """Open a stage in an empty ``folder``; at the end its nodes are killed."""
    limits = httpx2.Limits(max_connections=20, max_keepalive_connections=0)  # a kept connection may be a dead node's
    async with httpx2.AsyncClient(timeout=ASKED_WITHIN_S, limits=limits, trust_env=False) as http:
        stage = Stage(backend, folder, http)
        try:
            yield stage
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(stage.close)
