"""The calls about queues: look, pause, resume, set limits and order, empty, take away.

Depths are counted by the store. What is set goes through the intake and holds on all nodes once it is answered.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import uuid_utils
from msgspec import UNSET, Meta, UnsetType
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.jobs import CANCELLATION_RULES, MAX_REASON_LENGTH, REASON_LINE, in_time
from tickr.api.operations import begun
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.submission import RULES, UUID, micros, read_record, whole
from tickr.errors import QueueNotFound
from tickr.filters import Filter
from tickr.names import is_queue
from tickr.near import did_you_mean
from tickr.operations import DEFAULT_RATE, DEFAULT_STATES, MAX_RATE, MIN_RATE, Operation
from tickr.queues import MAX_LIMIT, MAX_PAUSE_S, MAX_PERIOD_S, JobOrder, Limits, Rate, Setting
from tickr.scopes import Scope
from tickr.store.contract import us_of

if TYPE_CHECKING:
    from tickr.api.app import Edge

Number = Annotated[int, Meta(ge=1, le=MAX_LIMIT)]


class RateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``starts`` in any ``period`` seconds."""

    starts: Number
    period: Annotated[float, Meta(ge=0.001, le=MAX_PERIOD_S)]


class LimitsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``PUT /queues/<name>`` sets; what is left out or null is no limit."""

    max_running: Number | None = None
    max_running_per_key: Number | None = None
    rate: RateBody | None = None
    shared_keys: bool = False


class PauseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``POST /queues/<name>/pause`` may say: when it is over by itself, in seconds or as an instant."""

    for_: Annotated[float, Meta(ge=0.001, le=MAX_PAUSE_S)] | None = msgspec.field(default=None, name="for")
    until: Annotated[datetime, Meta(tz=True)] | None = None


class OrderBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``PUT /queues/<name>/order`` sets."""

    order: JobOrder


ORDER_RULES = {"order": 'must be "oldest" or "newest"'}


PAUSE_RULES = {
    "for": f"must be a number of seconds from 0.001 to {MAX_PAUSE_S:.0f}, or null",
    "until": f"must be an instant with a time zone, later than now and by at most {MAX_PAUSE_S:.0f} seconds, or null",
}


class Emptying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a queue is emptied: what waits is cancelled, or also deleted, for a reason, so many a second."""

    delete: bool = False
    reason: Annotated[str, Meta(max_length=MAX_REASON_LENGTH, pattern=REASON_LINE)] | None = None
    rate: Annotated[float, Meta(ge=MIN_RATE, le=MAX_RATE)] = DEFAULT_RATE
    id: Annotated[str, whole(UUID)] | UnsetType = UNSET


EMPTYING_RULES = {
    "delete": "must be true or false",
    "reason": CANCELLATION_RULES["reason"],
    "rate": f"must be a number of jobs a second, from {MIN_RATE:g} to {MAX_RATE:g}",
    "id": RULES["id"],
}

ALL = "*"
"""In the place of a name: all queues that there are."""

LIMIT_RULES = {
    "max_running": f"must be a whole number from 1 to {MAX_LIMIT}, or null",
    "max_running_per_key": f"must be a whole number from 1 to {MAX_LIMIT}, or null",
    "rate": f'must be an object like {{"starts": 100, "period": 60}}: 1 to {MAX_LIMIT} starts in 0.001 to '
    f"{MAX_PERIOD_S:.0f} seconds, or null",
    "shared_keys": "must be true or false",
}


def add_routes(app: Edge, context: Context) -> None:
    routes = _Queues(context)
    app.add_call("GET", "/queues", "queues", routes.all, Scope.JOBS_READ)
    app.add_call("GET", "/queues/<name>", "queue", routes.one, Scope.JOBS_READ)
    app.add_call("PUT", "/queues/<name>", "limit_queue", routes.limit, Scope.QUEUES_ADMIN)
    app.add_call("DELETE", "/queues/<name>", "drop_queue", routes.drop, Scope.QUEUES_ADMIN)
    app.add_call("POST", "/queues/<name>/empty", "empty_queue", routes.empty, Scope.QUEUES_ADMIN)
    app.add_call("PUT", "/queues/<name>/order", "order_queue", routes.order, Scope.QUEUES_ADMIN)
    app.add_call("POST", "/queues/<name>/pause", "pause_queue", routes.pause, Scope.QUEUES_ADMIN)
    app.add_call("POST", "/queues/<name>/resume", "resume_queue", routes.resume, Scope.QUEUES_ADMIN)


class _Queues:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._intake = context.intake

    async def all(self) -> Response:
        incoming.known_query(request)
        return wire.json_response(wire.items(await self._documents()))

    async def one(self, name: str) -> Response:
        incoming.known_query(request)
        return await self._shown(_queue(name))

    async def limit(self, name: str) -> Response:
        queue = _queue(name)
        body = incoming.json_body(await incoming.call_of(request))
        limits = _limits(read_record(body, LimitsBody, LIMIT_RULES))
        await self._intake.control(queue, Setting(limits=limits))
        return await self._shown(queue)

    async def order(self, name: str) -> Response:
        incoming.known_query(request)
        queue = _queue(name)
        body = read_record(incoming.json_body(await incoming.call_of(request)), OrderBody, ORDER_RULES)
        await self._intake.control(queue, Setting(order=body.order))
        return await self._shown(queue)

    async def drop(self, name: str) -> Response:
        incoming.known_query(request)
        queue = _queue(name)
        await incoming.no_body(request)
        await in_time(self._intake.drop_queue(queue))
        return wire.empty_response(204, {})

    async def empty(self, name: str) -> Response:
        """Begin to cancel, or delete, all that waits in a queue: an operation, answered like any other."""
        incoming.known_query(request)
        queue = _queue(name)
        said = await incoming.optional_body(request, Emptying, EMPTYING_RULES)
        wish = Operation(
            id=str(uuid_utils.uuid7()) if said.id is UNSET else said.id.lower(),
            action="delete" if said.delete else "cancel",
            which=Filter(states=DEFAULT_STATES["edit"], queues=(queue,)),
            reason=said.reason.strip() if said.reason else f"queue {queue} was emptied",
            rate=said.rate,
        )
        return await begun(self._context, wish)

    async def pause(self, name: str) -> Response:
        body = await incoming.optional_body(request, PauseBody, PAUSE_RULES)
        return await self._set_paused(name, True, _until(body, self._store.now_us()))

    async def resume(self, name: str) -> Response:
        await incoming.no_body(request)
        return await self._set_paused(name, False)

    async def _set_paused(self, name: str, paused: bool, until: int | None = None) -> Response:
        incoming.known_query(request)
        queues = [one for one in await self._store.queue_names() if is_queue(one)] if name == ALL else [_queue(name)]
        for queue in queues:
            await self._intake.control(queue, Setting(paused, until))
        return wire.json_response(wire.items(await self._documents())) if name == ALL else await self._shown(name)

    async def _shown(self, queue: str) -> Response:
        documents = await self._documents()
        for document in documents:
            if document.name == queue:
                return wire.json_response(wire.encode(document))
        raise QueueNotFound(queue, did_you_mean(queue, (one.name for one in documents)))

    async def _documents(self) -> list[wire.QueueDocument]:
        now = self._store.now_us()
        standings = {standing.name: standing.controls.at(now) for standing in await self._store.standings()}
        depths = [one for one in await self._store.queues() if is_queue(one.name)]  # not those of single nodes
        return [wire.queue_document(depth, standings.get(depth.name)) for depth in depths]


def _queue(name: str) -> str:
    if not is_queue(name):
        raise Problem(400, "invalid_queue", "This is not the name of a queue.", faults=[Fault("/name", RULES["queue"])])
    return name


def _until(body: PauseBody, now: int) -> int | None:
    """Return when a pause is over, microseconds UTC; None: not by itself. Raises: Problem (422)."""
    if body.for_ is not None and body.until is not None:
        raise invalid([Fault("/until", 'cannot be beside "for"; say one of them')])
    if body.for_ is not None:
        return now + us_of(body.for_)
    if body.until is None:
        return None
    until = micros(body.until)
    if not now < until <= now + us_of(MAX_PAUSE_S):
        raise invalid([Fault("/until", PAUSE_RULES["until"])])
    return until


def _limits(body: LimitsBody) -> Limits:
    rate = Rate(body.rate.starts, us_of(body.rate.period)) if body.rate else None
    return Limits(
        max_running=body.max_running,
        max_running_per_key=body.max_running_per_key,
        rate=rate,
        shared_keys=body.shared_keys,
    )
