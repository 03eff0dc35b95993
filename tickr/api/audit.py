"""``GET /audit``: who changed what, the newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.api.problems import Fault
from tickr.scopes import Scope
from tickr.trail import MAX_WORDS, Entry

if TYPE_CHECKING:
    from tickr.api.app import Edge

DEFAULT_LIMIT, MAX_LIMIT = 50, 200
"""Entries on a page."""
FILTERS = ("who", "subject")


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
        limit, cursor, wanted = _query()
        found = await context.store.trail(limit + 1, before=cursor, **wanted)
        after = found[limit - 1].id if len(found) > limit else None
        return wire.json_response(wire.encode(Page([_document(entry) for entry in found[:limit]], after)))

    app.add_call("GET", "/audit", "audit", audit, Scope.ADMIN)


def _query() -> tuple[int, str | None, dict[str, str]]:
    """Return limit, cursor and filters. Raises: Problem (400), with all faults."""
    limit, cursor = incoming.page(request, DEFAULT_LIMIT, MAX_LIMIT, incoming.is_job_id, others=FILTERS)
    given = {name: request.args.getlist(name) for name in FILTERS}
    faults = [
        Fault(f"/{name}", f"must be 1 to {MAX_WORDS} characters, once")
        for name, words in given.items()
        if len(words) > 1 or not all(0 < len(word) <= MAX_WORDS for word in words)
    ]
    if faults:
        raise incoming.bad_query(faults)
    return limit, cursor and cursor.lower(), {name: words[0] for name, words in given.items() if words}


def _document(entry: Entry) -> EntryDocument:
    values = entry._asdict() | {"at": wire.instant(entry.at)}
    return EntryDocument(**values)
