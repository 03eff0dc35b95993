"""Is it alive, can it work, and where to begin: ``/livez``, ``/readyz`` and ``/``.

``/livez`` depends on nothing, so that a store that is away never gets this process restarted. ``/readyz`` says whether
to send work here: not without the store and not while stopping; without the index, yes, as the store has everything.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

import msgspec
import trio
from quart import Response, request

from tickr.api import incoming, wire
from tickr.api.context import Context
from tickr.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tickr.api.app import Edge

PING_TIMEOUT_S = 1.5


class Readiness(msgspec.Struct, frozen=True, omit_defaults=True):
    """``status`` is ``ready``, ``degraded``, ``unavailable`` or ``stopping``; the first two take work.

    ``reason`` says what is wrong with the store, if more is known than that it does not answer.
    """

    status: str
    store: str
    index: str
    reason: str = ""

    @property
    def able(self) -> bool:
        return self.status in ("ready", "degraded")


async def readiness(context: Context) -> Readiness:
    """Ask the store, at most ``PING_TIMEOUT_S``, and look whether the index was there last."""
    store, reason = "unavailable", ""
    with trio.move_on_after(PING_TIMEOUT_S):
        try:
            await context.store.ping()
            store = "ok"
        except StoreError as error:
            store = error.code.removeprefix("store_")
            reason = error.reason if isinstance(error, StoreUnavailable) else ""
    index = "ok" if context.index.available else "unavailable"
    if context.stopping.is_set():
        return Readiness("stopping", store, index, reason)
    if store != "ok":
        return Readiness("unavailable", store, index, reason)
    return Readiness("ready" if index == "ok" else "degraded", store, index)


def add_probes(app: Edge, context: Context) -> None:
    """Add what asks whether this node lives and can work."""
    alive = wire.encode({"status": "alive"})

    # Probes and proxies add parameters of their own to these two; a refusal would get the node restarted.
    async def livez() -> Response:
        return wire.json_response(alive)

    async def readyz() -> Response:
        found = await readiness(context)
        return wire.json_response(wire.encode(found), 200 if found.able else 503)

    app.add_call("GET", "/livez", "livez", livez, None)
    app.add_call("GET", "/readyz", "readyz", readyz, None)


def add_routes(app: Edge, context: Context) -> None:
    add_probes(app, context)
    welcome = wire.encode(
        {
            "name": "Tickr",
            "version": version("tickr"),
            "about": "Background jobs over HTTP. POST a job to /jobs and look at it under its Location.",
            "example": {"type": "report", "payload": {"title": "Hello", "body": "It works"}, "delay": 5},
            "links": {
                "jobs": "/jobs",
                "batch": "/jobs/batch",
                "stream": "/jobs/stream",
                "job": "/jobs/{id}",
                "attempts": "/jobs/{id}/attempts",
                "queues": "/queues",
                "operations": "/operations",
                "operation": "/operations/{id}",
                "dead_letters": "/dead-letters",
                "schedules": "/schedules",
                "schedule": "/schedules/{name}",
                "leases": "/leases",
                "nodes": "/nodes",
                "events": "/events",
                "statistics": "/statistics",
                "marks": "/marks",
                "alive": "/livez",
                "ready": "/readyz",
                "metrics": "/metrics",
                "dashboard": "/ui",
            },
        }
    )

    async def root() -> Response:
        incoming.known_query(request)
        if "text/html" in request.accept_mimetypes.values():  # a browser, which a person looks into
            return wire.empty_response(307, {"Location": "ui/"})
        return wire.json_response(welcome)

    app.add_call("GET", "/", "root", root, None)
