"""``GET /metrics``: how this node does, for Prometheus. The same for each process of a node: see ``tickr/metrics``."""

from __future__ import annotations

from quart import Quart, Response, request

from tickr.api import incoming
from tickr.api.context import Context


def add_routes(app: Quart, context: Context) -> None:
    scrape = context.metrics
    if scrape is None:
        return

    async def metrics() -> Response:
        incoming.known_query(request)
        found = await scrape(request.headers.get("Accept", ""))
        headers = {"Content-Type": found.content_type, "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(found.text, 200, headers)

    app.add_url_rule("/metrics", "metrics", metrics, methods=["GET"])
