"""The calls about nodes: which are there, what each of them runs, and what they are told to do.

Looks go straight to the store: the rows of the nodes, and what runs. Orders go through ``orders``, for any node from
any node, and are answered when they are durable; the node that is meant obeys within about a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.problems import Problem
from tickr.api.submission import read_record
from tickr.errors import NodeNotFound
from tickr.jobs import Job
from tickr.scopes import Scope
from tickr.store.contract import COUNT_TO, AtWork, Node
from tickr.store.orders import MAX_SLOTS, REMOTE, Order

if TYPE_CHECKING:
    from tickr.api.app import Edge

SHOWN_IN_LIST, SHOWN = 10, 1_000
"""So many running jobs are shown of each node in the list, and of one that is asked for by itself."""
SELF = "self"
"""The id of the node that answers, for who does not know it."""


class SlotsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What ``PATCH /nodes/<id>`` changes."""

    slots: Annotated[int, Meta(ge=1, le=MAX_SLOTS)]


RULES = {"slots": f"must be a whole number from 1 to {MAX_SLOTS}"}


class RunningDocument(msgspec.Struct, frozen=True):
    id: str
    type: str
    queue: str
    attempt: int
    since: wire.Instant | None
    cancelling: bool


class StackDocument(msgspec.Struct, frozen=True):
    """A running job and where its handler stands; null: in another process, or it has not begun."""

    id: str
    type: str
    queue: str
    attempt: int
    since: wire.Instant | None
    stack: str | None


class NodeDocument(msgspec.Struct, frozen=True):
    """A live node, or the lease of a remote worker. No ``queues``: all; ``lease`` and ``lease_age`` are seconds."""

    id: str
    kind: str
    name: str
    pid: int | None
    version: str
    roles: Sequence[str]
    types: Sequence[str]
    queues: Sequence[str]
    slots: int
    state: str
    obeyed: bool
    started_at: wire.Instant | None
    lease: float
    lease_age: float
    running: int
    jobs: list[RunningDocument]


class Fleet(msgspec.Struct, frozen=True):
    """All nodes. ``lost``: how many jobs run on none of them any more and wait to be taken back."""

    items: list[NodeDocument]
    here: str
    lost: int
    counted_to: int


def add_routes(app: Edge, context: Context) -> None:
    routes = _Nodes(context)
    app.add_call("GET", "/nodes", "nodes", routes.all, Scope.JOBS_READ)
    app.add_call("GET", "/nodes/<node_id>", "node", routes.one, Scope.JOBS_READ)
    app.add_call("PATCH", "/nodes/<node_id>", "change_node", routes.change, Scope.ADMIN)
    app.add_call("GET", "/nodes/<node_id>/stacks", "stacks_of_node", routes.stacks, Scope.ADMIN)
    app.add_call("POST", "/nodes/<node_id>/quiet", "quiet_node", routes.quiet, Scope.ADMIN)
    app.add_call("POST", "/nodes/<node_id>/resume", "resume_node", routes.resume, Scope.ADMIN)
    app.add_call("POST", "/nodes/<node_id>/stop", "stop_node", routes.stop, Scope.ADMIN)


class _Nodes:
    def __init__(self, context: Context) -> None:
        self._store = context.store
        self._orders = context.orders
        self._own = context.own

    async def all(self) -> Response:
        incoming.known_query(request)
        nodes = await self._store.nodes()
        running: defaultdict[str | None, list[AtWork]] = defaultdict(list)
        for job in await self._store.at_work(COUNT_TO):
            running[job.node].append(job)
        now = self._store.now_us()
        items = [_document(node, running.pop(node.id, []), SHOWN_IN_LIST, now) for node in nodes]
        lost = sum(map(len, running.values()))
        return wire.json_response(wire.encode(Fleet(items, self._own.about.id, lost, COUNT_TO)))

    async def one(self, node_id: str) -> Response:
        incoming.known_query(request)
        node = await self._store.node(self._named(node_id))
        if node is None:
            raise NodeNotFound(node_id)
        return await self._shown(node)

    async def stacks(self, node_id: str) -> Response:
        incoming.known_query(request)
        own = self._own.about.id
        if self._named(node_id) != own:
            if await self._store.node(self._named(node_id)) is None:
                raise NodeNotFound(node_id)
            detail = f"Only a node itself knows where its handlers stand; this is {own}. SIGTTIN has it log them."
            raise Problem(409, "not_this_node", detail, members={"node": own})
        found = [_standing(job, stack) for job, stack in self._own.stacks()]
        return wire.json_response(wire.items(found))

    async def change(self, node_id: str) -> Response:
        body = incoming.json_body(await incoming.call_of(request))
        return await self._order(node_id, Order(slots=read_record(body, SlotsBody, RULES).slots))

    async def quiet(self, node_id: str) -> Response:
        return await self._told(node_id, Order(quiet=True))

    async def resume(self, node_id: str) -> Response:
        return await self._told(node_id, Order(quiet=False))

    async def stop(self, node_id: str) -> Response:
        return await self._told(node_id, Order(stop=True))

    async def _told(self, node_id: str, order: Order) -> Response:
        incoming.known_query(request)
        await incoming.no_body(request)
        return await self._order(node_id, order)

    async def _order(self, node_id: str, order: Order) -> Response:
        node = await self._orders.give(self._named(node_id), order)
        return await self._shown(node, 200 if node.changed == node.obeyed else 202)

    def _named(self, node_id: str) -> str:
        if node_id == SELF:
            return self._own.about.id
        return node_id.lower()

    async def _shown(self, node: Node, status: int = 200) -> Response:
        running = await self._store.at_work(COUNT_TO, node=node.id)
        document = _document(node, running, SHOWN, self._store.now_us())
        return wire.json_response(wire.encode(document), status)


def _document(node: Node, running: list[AtWork], shown: int, now: int) -> NodeDocument:
    """Return ``node`` as it is at ``now``, microseconds UTC, with the ``shown`` that it has run for the longest."""
    running.sort(key=lambda job: (job.started_at or 0, job.id))
    return NodeDocument(
        id=node.id,
        kind="remote" if REMOTE in node.roles else "node",
        name=node.host,
        pid=node.pid or None,
        version=node.version,
        roles=node.roles,
        types=sorted(node.types),
        queues=sorted(node.queues),
        slots=node.slots,
        state=node.state,
        obeyed=node.obeyed == node.changed,
        started_at=wire.instant(node.started_at),
        lease=node.lease_s,
        lease_age=round(node.silent_s(now), 3),
        running=len(running),
        jobs=[_at_work(job) for job in running[:shown]],
    )


def _at_work(job: AtWork) -> RunningDocument:
    return RunningDocument(job.id, job.type, job.queue, job.attempt, wire.instant(job.started_at), job.cancel_requested)


def _standing(job: Job, stack: str) -> StackDocument:
    return StackDocument(job.id, job.type, job.queue, job.attempt, wire.instant(job.started_at), stack or None)
