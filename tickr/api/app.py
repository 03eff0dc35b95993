"""The Quart-Trio application: routes put together, and what Quart does by default but Tickr does otherwise.

A request comes from ``connection.py``, passes the guard, and goes to its route; whatever is raised on the way becomes a
problem. Routing needs no Host, errors are never HTML, no path is redirected, and there are no sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from quart import Quart, Request, Response, request
from quart.sessions import NullSession, SecureCookieSessionInterface
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection
from werkzeug.routing import MapAdapter

from tickr.api import compat, events, health, jobs, problems, queues, wire
from tickr.api.access import Guard
from tickr.api.connection import Connection
from tickr.api.context import Context
from tickr.api.event_socket import EventSocket
from tickr.api.listener import Audience
from tickr.api.protocol import Links

Direct = Callable[[Request], Awaitable[Response]]
"""A call that needs one body and gives one answer. What it raises becomes a problem."""

BODY_TIMEOUT_S = 30
"""How long a client may take to send its body, in seconds."""


class Edge(QuartTrio):
    """Tickr's HTTP application. Made by ``create_app``.

    Attributes:
      context: what the routes work with.
      guard: who may ask.
      in_flight: requests being worked on; written by ``Connection``.
      arriving: of these, the bodies that are not whole, the oldest first: the scope of the reading, and since when.
      audience: who listens to the feed.
      links: the connections that are open; written by ``serve_connection``.
      direct: calls that ``Connection`` answers beside Quart, by method and path; written by ``add_direct_rule``.
    """

    asgi_http_class: type[TrioASGIHTTPConnection] = Connection
    asgi_websocket_class: type[TrioASGIWebsocketConnection] = EventSocket
    context: Context
    guard: Guard
    in_flight: int
    arriving: dict[trio.CancelScope, float]
    audience: Audience
    links: Links
    direct: dict[tuple[str, str], Direct]

    def add_direct_rule(self, path: str, name: str, call: Direct) -> None:
        """Have a POST to ``path`` answered by ``call`` beside Quart, which still knows the rule for 405 and OPTIONS."""

        async def view() -> Response:
            return await call(request)

        self.direct["POST", path] = call
        self.add_url_rule(path, name, view, methods=["POST"])

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        # Quart asks the Host header here, and a bad one would be a 500; no route depends on it.
        if request is None:
            return None
        return self.url_map.bind(
            "localhost", url_scheme=request.scheme, default_method=request.method, path_info=request.path
        )

    async def make_default_options_response(self) -> Response:
        adapter = self.create_url_adapter(request)
        assert adapter is not None
        return wire.empty_response(204, {"Allow": ", ".join(sorted(adapter.allowed_methods()))})


class _NoSessions(SecureCookieSessionInterface):
    async def open_session(self, app: Quart, request: Any) -> NullSession:
        return NullSession()


def create_app(context: Context) -> Edge:
    """Return the application for ``context``, ready to be served by ``server.serve_http``."""
    app = Edge("tickr", static_folder=None, template_folder=None)
    app.context = context
    app.guard = Guard(context.config)
    app.in_flight = 0
    app.arriving = {}
    app.audience = Audience()
    app.links = Links()
    app.direct = {}
    app.session_interface = _NoSessions()
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = context.config.max_body
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    _guard(app)
    for part in (jobs, queues, events, health, compat):
        part.add_routes(app, context)
    return app


def _guard(app: Edge) -> None:
    async def admit() -> None:
        app.guard.check(request)

    async def explain(error: Exception) -> Response:
        return problems.response(problems.problem_of(error), request.path)

    app.before_request(admit)
    app.register_error_handler(Exception, explain)
