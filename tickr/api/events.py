"""``GET /events`` for clients that ask again and again: a page of events as JSON, and where the next one begins."""

from __future__ import annotations

from quart import Quart, Response, request

from tickr.api import event_query, event_stream, wire
from tickr.api.context import Context


def add_routes(app: Quart, context: Context) -> None:
    async def page() -> Response:
        if event_stream.is_wanted(request):  # by HEAD; a GET is answered by ``connection.py``
            event_stream.query_of(request)
            return event_stream.head()
        query = event_query.read_query(request.args, pages=True)
        found = await context.feed.page(query.selection, after=query.after, limit=query.limit)
        body = wire.events_page((told.body for told in found.events), found.cursor, found.caught_up)
        return wire.json_response(body, headers={"Cache-Control": "no-store", "Vary": "Accept"})

    app.add_url_rule(event_query.PATH, "events", page, methods=["GET"])
