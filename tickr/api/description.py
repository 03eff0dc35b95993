"""``GET /openapi.json``: the description of the API, made when it is first asked for. It tells nothing about jobs."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

from quart import Response, request

from tickr.api import incoming, wire

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/openapi.json"


def add_routes(app: Edge) -> None:
    @cache
    def made() -> tuple[bytes, str]:
        body = wire.encode(described(app))
        return body, f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    async def give() -> Response:
        incoming.known_query(request)
        body, tag = made()
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if incoming.has_already(request, tag):
            return wire.empty_response(304, headers)
        return wire.json_response(body, headers=headers)

    app.add_call("GET", PATH, "openapi", give, None)


def described(app: Edge) -> dict[str, Any]:
    """Return the description of ``app``."""
    from tickr.api.openapi.document import document  # which imports all that is described, and so this

    return document(app.routes)
