"""The calls of remote workers, ``POST /leases`` and what follows.

Bodies are read by ``lease_request.py``, what is done is ``tickr/remote``. A poll that waits is no request at work, and
takes a place among those who listen; it ends with nothing when the node stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import trio
from quart import Response, request

from tickr.api import incoming, lease_request, wire
from tickr.api.context import Context
from tickr.api.jobs import in_time
from tickr.api.problems import Problem
from tickr.errors import CannotOpen, StoreUnavailable
from tickr.failpoints import reach
from tickr.jobs import Job
from tickr.remote.beats import Stop
from tickr.remote.leases import Poll, Taken
from tickr.remote.settle import Report
from tickr.scopes import Scope

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/leases"
MAX_COMPLETE_BYTES = 4 * 1024 * 1024
"""How large a report of successes may be, in bytes, or larger where one result may be (``Config.max_result``)."""

SLACK_S = 10.0
"""How much longer than its ``wait`` a poll may take, for a store that is slow, in seconds."""


class LeasedDocument(wire.JobDocument, frozen=True):
    """A job as its worker gets it: ``timeout`` in seconds from ``started_at`` on."""

    fence: int
    timeout: float
    tracestate: str | None


class StopDocument(msgspec.Struct, frozen=True):
    id: str
    fence: int
    reason: str


class LeaseDocument(msgspec.Struct, frozen=True):
    """What a worker is told. ``expires_in``, ``heartbeat_every`` in seconds; ``draining``: this node stops."""

    lease: str
    expires_in: float
    heartbeat_every: float
    jobs: list[LeasedDocument]
    stop: list[StopDocument]
    draining: bool


class SettledDocument(msgspec.Struct, frozen=True):
    id: str
    fence: int
    status: str
    outcome: str | None


class ReleasedDocument(msgspec.Struct, frozen=True):
    """The answer to a lease that was given back: ids of the jobs that were handed back with it."""

    handed_back: list[str]


def add_routes(app: Edge, context: Context) -> None:
    routes = _Leases(app, context)
    one = f"{PATH}/<lease>"
    app.add_call("POST", PATH, "lease", routes.poll, Scope.JOBS_RUN)
    app.add_call("POST", f"{one}/heartbeat", "heartbeat", routes.heartbeat, Scope.JOBS_RUN)
    app.add_call("POST", f"{one}/complete", "complete", routes.complete, Scope.JOBS_RUN)
    app.add_call("POST", f"{one}/fail", "fail", routes.fail, Scope.JOBS_RUN)
    app.add_call("DELETE", one, "end_lease", routes.end, Scope.JOBS_RUN)


def most_bytes(path: str, max_result: int) -> int | None:
    """Return how large the body of a POST to ``path`` may be; None: as large as any."""
    if path.startswith(f"{PATH}/") and path.endswith("/complete"):
        return max(MAX_COMPLETE_BYTES, max_result + 64 * 1024)
    return None


class _Leases:
    def __init__(self, app: Edge, context: Context) -> None:
        self._app = app
        self._context = context
        self._leases = context.leases

    async def poll(self) -> Response:
        wish = lease_request.poll(incoming.json_body(await incoming.call_of(request)))
        with self._app.audience.seat():
            taken = await self._app.at_rest(partial(self._poll, wish))
        await reach("api.before_answer")
        headers = {"location": f"{PATH}/{taken.lease}"} if taken.created else {}
        return self._answer(taken.lease, taken.jobs, taken.stop, 201 if taken.created else 200, headers)

    async def _poll(self, wish: Poll) -> Taken:
        with trio.move_on_at(wish.until + SLACK_S):
            return await self._leases.poll(wish)
        raise StoreUnavailable("The store did not answer in time.", outcome_unknown=True)

    async def heartbeat(self, lease: str) -> Response:
        name = incoming.job_id(lease, of="lease")
        held = lease_request.heartbeat(incoming.json_body(await incoming.call_of(request)))
        beat = await in_time(self._leases.heartbeat(name, held))
        return self._answer(name, beat.jobs, beat.stop)

    async def complete(self, lease: str) -> Response:
        name = incoming.job_id(lease, of="lease")
        reports = lease_request.completed(incoming.json_body(await incoming.call_of(request)))
        return await self._settled(name, reports)

    async def fail(self, lease: str) -> Response:
        name = incoming.job_id(lease, of="lease")
        reports = lease_request.failed(incoming.json_body(await incoming.call_of(request)))
        return await self._settled(name, reports)

    async def end(self, lease: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(lease, of="lease")
        await incoming.no_body(request)
        handed_back = await in_time(self._leases.end(name))
        return wire.json_response(wire.encode(ReleasedDocument([job.id for job in handed_back])))

    async def _settled(self, lease: str, reports: Sequence[Report]) -> Response:
        try:
            settled = await in_time(self._leases.settle(lease, reports))
        except CannotOpen as error:  # not the worker's fault: it is to say it again, until a node has the key
            raise Problem(
                503, "cannot_decrypt", str(error), headers={"Retry-After": "1"}, members={"key": error.key}
            ) from None
        await reach("api.before_answer")
        return wire.json_response(wire.items(SettledDocument(*one) for one in settled))

    def _answer(
        self,
        lease: str,
        jobs: Sequence[Job],
        stop: Sequence[Stop],
        status: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Response:
        now = self._context.store.now_us()
        document = LeaseDocument(
            lease=lease,
            expires_in=self._leases.lease_s,
            heartbeat_every=self._leases.heartbeat_s,
            jobs=[_leased(job, now) for job in jobs],
            stop=[StopDocument(*one) for one in stop],
            draining=self._context.stopping.is_set(),
        )
        return wire.json_response(wire.encode(document), status, headers)


def _leased(job: Job, now: int) -> LeasedDocument:
    document = wire.job_document(job, now)
    fields = {name: getattr(document, name) for name in document.__struct_fields__}
    return LeasedDocument(
        **fields, fence=job.fence, timeout=job.timeout_us / 1_000_000, tracestate=job.extras.tracestate
    )
