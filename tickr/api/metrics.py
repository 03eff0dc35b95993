"""``GET /metrics``: how this node does, for Prometheus. The same for each process of a node: see ``tickr/metrics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from quart import Response, request

from tickr.api import incoming
from tickr.api.context import Context
from tickr.scopes import Scope

if TYPE_CHECKING:
    from tickr.api.app import Edge


def add_routes(app: Edge, context: Context) -> None:
    scrape = context.metrics
    if scrape is None:
        return

    async def metrics() -> Response:
        incoming.known_query(request)
        found = await scrape(request.headers.get("Accept", ""))
        headers = {"Content-Type": found.content_type, "Cache-Control": "no-store", "Vary": "Accept"}
        return Response(found.text, 200, headers)

    app.add_call("GET", "/metrics", "metrics", metrics, Scope.METRICS_READ)
