"""``GET /events`` for clients that ask again and again: a page of events as JSON, and where the next one begins."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from quart import Response, request

from tickr.api import event_query, event_stream, incoming, wire
from tickr.api.context import Context
from tickr.errors import CannotOpen
from tickr.events import AnyEvent, Event
from tickr.feed.cloudevents import expand
from tickr.scopes import Scope

if TYPE_CHECKING:
    from tickr.api.app import Edge


def add_routes(app: Edge, context: Context) -> None:
    def _opened(event: AnyEvent) -> bytes:
        """Return an event with what it tells in the clear, if this node can read it."""
        if isinstance(event, Event):
            with suppress(CannotOpen):
                event = context.vault.open_event(event)
        return expand(event)

    async def page() -> Response:
        if event_stream.is_wanted(request):  # by HEAD; a GET is answered by ``connection.py``
            event_stream.query_of(request)
            return event_stream.head()
        opened = incoming.wishes_decrypted(request)
        query = event_query.read_query(request.args, pages=True)
        found = await context.feed.page(query.selection, after=query.after, limit=query.limit)
        bodies = (_opened(told.event) if opened else told.body for told in found.events)
        body = wire.events_page(bodies, found.cursor, found.caught_up)
        return wire.json_response(body, headers={"Cache-Control": "no-store", "Vary": "Accept"})

    app.add_call("GET", event_query.PATH, "events", page, Scope.EVENTS_READ)
