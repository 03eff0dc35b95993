"""The calls about many jobs: begin an operation (or see what it would do), look, list, stop; and the dead letters.

An operation is answered once it is durable, with 202: it is carried out by the schedulers, whichever there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from quart import Response, request

from tickr.api import incoming, listing, operation_document, operation_request, parameters, wire
from tickr.api.context import Context
from tickr.api.jobs import UNKEPT, in_time
from tickr.api.operation_document import operation_document as document
from tickr.api.problems import Fault, Problem
from tickr.api.submission import RULES
from tickr.envelopes import is_sealed
from tickr.errors import OperationNotFound
from tickr.filters import matcher
from tickr.jobs import Job, State
from tickr.operations import Operation
from tickr.scopes import Scope
from tickr.store.answers import groups_of, place_of
from tickr.store.contract import Group, Store

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/operations"
LIMIT = parameters.limit(50, 200)
CURSOR = incoming.cursor_by(incoming.is_job_id)
EXAMPLES = 5
"""Jobs that a dry run shows."""
READ_AT_ONCE = 100
"""Jobs that are read together where they are named by their ids."""


def add_routes(app: Edge, context: Context) -> None:
    routes = _Operations(context)
    app.add_call("POST", PATH, "begin_operation", routes.begin, Scope.JOBS_WRITE)
    app.add_call("GET", PATH, "operations", routes.page, Scope.JOBS_READ)
    app.add_call("GET", f"{PATH}/<operation_id>", "operation", routes.show, Scope.JOBS_READ)
    app.add_call("DELETE", f"{PATH}/<operation_id>", "stop_operation", routes.stop, Scope.JOBS_WRITE)
    app.add_call("GET", "/dead-letters", "dead_letters", routes.dead_letters, Scope.JOBS_READ)


class _Found(NamedTuple):
    """The jobs that an operation is about: how many, and the newest of them."""

    groups: list[Group]
    exact: bool
    examples: list[Job]


async def begun(context: Context, wish: Operation) -> Response:
    """Have ``wish`` begin, and answer with it as it is then: 202; 200 where it was begun before, under its id."""
    operation, created = await in_time(context.intake.begin(await counted(context.store, wish)))
    headers = {"location": f"{PATH}/{operation.id}"}
    return wire.json_response(wire.encode(document(operation)), 202 if created else 200, headers)


async def counted(store: Store, operation: Operation) -> Operation:
    """Return ``operation`` with how many jobs it is about."""
    found = await find(store, operation, 0)
    total = sum(group.count for group in found.groups)
    return msgspec.structs.replace(operation, total=total, exact=found.exact)


async def find(store: Store, operation: Operation, examples: int) -> _Found:
    """Return the jobs that ``operation`` is about, in groups, and so many examples."""
    if operation.ids:
        return await _among(store, operation, examples)
    groups, exact = await store.tally(operation.which)
    if not examples:
        return _Found(groups, exact, [])
    page = await store.list_jobs(operation.which, limit=examples)
    return _Found(groups, exact, page.jobs)


async def _among(store: Store, operation: Operation, examples: int) -> _Found:
    """Look at the jobs that are named. Their payloads are let go of as soon as may be."""
    now, matches, some = store.now_us(), matcher(operation.which), list[Job]()
    counted: list[Job] = []
    for first in range(0, len(operation.ids), READ_AT_ONCE):
        ids = operation.ids[first : first + READ_AT_ONCE]
        found = [job for job in await store.get_many(ids) if matches(job, now)]
        some = sorted([*some, *found], key=place_of, reverse=True)[:examples]
        counted += [msgspec.structs.replace(job, payload="", result=None) for job in found]
    return _Found(groups_of(counted, now), True, some)


class _Operations:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._intake = context.intake
        self._store = context.store
        self._vault = context.vault

    async def begin(self) -> Response:
        call = await incoming.call_of(request)
        operation, dry_run = operation_request.read(incoming.json_body(call), now=self._store.now_us())
        if dry_run:
            found, now = await find(self._store, operation, EXAMPLES), self._store.now_us()
            told = operation_document.preview(operation.action, found.groups, found.examples, now, exact=found.exact)
            return wire.json_response(wire.encode(told))
        return await begun(self._context, operation)

    async def page(self) -> Response:
        limit, cursor = incoming.page(request, LIMIT, CURSOR)
        found = await self._store.operations(limit + 1, cursor)
        after = found[limit - 1].id if len(found) > limit else None
        items = [document(one, ids=False) for one in found[:limit]]
        return wire.json_response(wire.encode(operation_document.OperationPage(items, after)))

    async def show(self, operation_id: str) -> Response:
        incoming.known_query(request, (parameters.DECRYPT,))
        name, opened = _checked(operation_id), incoming.wishes_decrypted(request)
        operation = await self._store.operation(name)
        if operation is None:
            raise OperationNotFound(name)
        if opened and is_sealed(operation.edit.payload):
            operation = msgspec.structs.replace(operation, edit=self._vault.open_edit(operation.edit))
        return wire.json_response(wire.encode(document(operation)), headers=UNKEPT if opened else None)

    async def stop(self, operation_id: str) -> Response:
        incoming.known_query(request)
        name = _checked(operation_id)
        await incoming.no_body(request)
        return wire.json_response(wire.encode(document(await in_time(self._intake.stop(name)))))

    async def dead_letters(self) -> Response:
        listing.known_query(request, listing.FILTERS)
        faults: list[Fault] = []
        which = listing.read_filter(request, faults)
        if which is None:
            raise incoming.bad_query(faults)
        groups, exact = await self._store.tally(msgspec.structs.replace(which, states=(State.FAILED,)))
        return wire.json_response(wire.encode(operation_document.count(groups, exact=exact)))


def _checked(operation_id: str) -> str:
    """Return an operation's id out of a path. Raises: Problem (400)."""
    if not incoming.is_job_id(operation_id):
        told = "This is not the id of an operation."
        raise Problem(400, "invalid_id", told, faults=[Fault("/id", RULES["id"])])
    return operation_id.lower()
