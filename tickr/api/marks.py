"""Marks in the charts, a deploy say: made, listed and deleted under ``/marks``."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import uuid_utils
from msgspec import UNSET, Meta, UnsetType
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.jobs import REASON_LINE
from tickr.api.problems import Problem
from tickr.api.statistics import mark_document
from tickr.api.statistics_query import read_marks
from tickr.api.submission import RULES, UUID, micros, read_record, whole
from tickr.scopes import Scope
from tickr.store.contract import Mark
from tickr.store.sums import MAX_MARKS

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/marks"
MAX_TEXT = 200
"""Characters of a mark."""


class MarkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A mark as a client describes it."""

    text: Annotated[str, Meta(max_length=MAX_TEXT, pattern=REASON_LINE)]
    at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    id: Annotated[str, whole(UUID)] | UnsetType = UNSET


MARK_RULES = {
    "text": f"must be a line of text, 1 to {MAX_TEXT} characters",
    "at": RULES["run_at"],
    "id": RULES["id"],
}
"""What to say about a field that is wrong."""


def add_routes(app: Edge, context: Context) -> None:
    routes = _Marks(context)
    app.add_call("POST", PATH, "make_mark", routes.make, Scope.QUEUES_ADMIN)
    app.add_call("GET", PATH, "marks", routes.all, Scope.JOBS_READ)
    app.add_call("DELETE", f"{PATH}/<mark_id>", "drop_mark", routes.drop, Scope.QUEUES_ADMIN)


class _Marks:
    def __init__(self, context: Context) -> None:
        self._store = context.store

    async def make(self) -> Response:
        said = read_record(incoming.json_body(await incoming.call_of(request)), MarkBody, MARK_RULES)
        at = self._store.now_us() if said.at is UNSET else micros(said.at)
        mark_id = str(uuid_utils.uuid7()) if said.id is UNSET else said.id.lower()
        mark, made = await self._store.make_mark(Mark(mark_id, at, said.text))
        return wire.json_response(
            wire.encode(mark_document(mark)), 201 if made else 200, {"location": f"{PATH}/{mark.id}"}
        )

    async def all(self) -> Response:
        since, until = read_marks(request)
        found = await self._store.marks(since, until, MAX_MARKS)
        return wire.json_response(wire.encode({"items": [mark_document(mark) for mark in found]}))

    async def drop(self, mark_id: str) -> Response:
        incoming.known_query(request)
        name = incoming.job_id(mark_id, "mark")
        await incoming.no_body(request)
        if not await self._store.drop_mark(name):
            raise Problem(404, "mark_not_found", f"There is no mark {name}.", members={"mark": name})
        return wire.empty_response(204, {})
