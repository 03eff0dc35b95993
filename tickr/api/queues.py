"""``GET /queues``: every queue at a glance, counted by the store."""

from __future__ import annotations

from quart import Quart, Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context


def add_routes(app: Quart, context: Context) -> None:
    async def queues() -> Response:
        incoming.known_query(request)
        return wire.json_response(wire.items(map(wire.queue_document, await context.store.queues())))

    app.add_url_rule("/queues", "queues", queues, methods=["GET"])
