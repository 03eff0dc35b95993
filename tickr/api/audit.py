"""``GET /audit``: who changed what, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.parameters import Parameter, limit
from tickr.scopes import Scope
from tickr.trail import MAX_WORDS, Entry

if TYPE_CHECKING:
    from tickr.api.app import Edge

LIMIT = limit(50, 200)
CURSOR = incoming.cursor_by(incoming.is_job_id)
Words = Annotated[str, Meta(min_length=1, max_length=MAX_WORDS)]
RULE = f"must be 1 to {MAX_WORDS} characters"
WHO = Parameter("who", Words, RULE, "Only what this one did: the name of a token, say.")
SUBJECT = Parameter("subject", Words, RULE, "Only what was done to this: the id of a job, the name of a queue.")


class EntryDocument(msgspec.Struct, frozen=True):
    id: str
    at: str | None
    who: str
    token: str | None
    address: str
    action: str
    method: str
    path: str
    subject: str
    status: int | None


class Page(msgspec.Struct, frozen=True):
    items: list[EntryDocument]
    next_cursor: str | None


def add_routes(app: Edge, context: Context) -> None:
    async def audit() -> Response:
        most, cursor, wanted = _query()
        found = await context.store.trail(most + 1, before=cursor, **wanted)
        after = found[most - 1].id if len(found) > most else None
        return wire.json_response(wire.encode(Page([_document(entry) for entry in found[:most]], after)))

    app.add_call("GET", "/audit", "audit", audit, Scope.ADMIN)


def _query() -> tuple[int, str | None, dict[str, str]]:
    """Return limit, cursor and filters. Raises: Problem (400), with all faults."""
    most, cursor = incoming.page(request, LIMIT, CURSOR, WHO, SUBJECT)
    filters = {one.name: request.args[one.name] for one in (WHO, SUBJECT) if one.name in request.args}
    return most, cursor and cursor.lower(), filters


def _document(entry: Entry) -> EntryDocument:
    values = entry._asdict() | {"at": wire.instant(entry.at)}
    return EntryDocument(**values)
