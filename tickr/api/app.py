"""The Quart-Trio application: routes put together, and what Quart does by default but Tickr does otherwise.

A request comes from ``connection.py``, where it has passed the guard, and goes to its route; whatever is raised on the
way becomes a problem. Routing needs no Host, errors are never HTML, no path is redirected, and there are no sessions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from quart import Quart, Request, Response, request
from quart.sessions import NullSession, SecureCookieSessionInterface
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from tickr.api import (
    audit,
    batch,
    broadcasts,
    compat,
    dashboard,
    description,
    events,
    explain,
    health,
    inbox,
    incoming,
    job_log,
    job_stream,
    jobs,
    leases,
    marks,
    metrics,
    nodes,
    operations,
    problems,
    queues,
    schedules,
    statistics,
    tokens,
    tree,
    wire,
)
from tickr.api.access import Guard, Value
from tickr.api.call import Direct, Rule
from tickr.api.callers import EVERYTHING, Caller, caller_of, keep_caller
from tickr.api.connection import Connection, Reading
from tickr.api.context import Context
from tickr.api.handshake import Handshake
from tickr.api.inbox import Inbox
from tickr.api.listener import Audience
from tickr.api.problems import Problem
from tickr.api.protocol import Links
from tickr.api.routes import Route
from tickr.api.trail import Trail
from tickr.api.waits import Waits
from tickr.errors import Overloaded, StoreError
from tickr.meters import OTHER
from tickr.scopes import Scope

BODY_TIMEOUT_S = 30
"""How long a client may take to send its body, in seconds."""


class Edge(QuartTrio):
    """Tickr's HTTP application. Made by ``create_app``.

    Attributes:
      context: what the routes work with.
      guard: who may ask.
      trail: what people change.
      in_flight: requests being worked on; written by ``Connection`` and ``DirectStream``.
      arriving: of these, the bodies that are not whole, the oldest first, and since when; written by the same.
      body_bytes: how large the bodies of the requests being worked on are together, as far as they have come.
      half_said: long messages to streams of jobs that are not whole, likewise; written by ``JobStream``.
      audience: who listens to the feed, or waits for a job.
      waits: those who wait for a job.
      beside: what runs while it is served.
      inbox: takes jobs out of a table; whoever serves the application runs it.
      links: the connections that are open; written by ``serve_connection``.
      direct: what is done with a POST beside Quart, by path; written by ``add_direct_call``.
      routes: every call by its name; written by ``add_call``.
      tells_jobs: whether the feed and streams of jobs are here; not where only the node tells of itself.
    """

    asgi_http_class: type[TrioASGIHTTPConnection] = Connection
    asgi_websocket_class: type[TrioASGIWebsocketConnection] = Handshake
    context: Context
    guard: Guard
    trail: Trail
    in_flight: int
    arriving: dict[Reading, float]
    body_bytes: int
    half_said: dict[Reading, float]
    audience: Audience
    waits: Waits
    beside: tuple[Callable[[], Awaitable[None]], ...]
    inbox: Inbox
    links: Links
    direct: dict[str, Rule]
    routes: dict[str, Route]
    tells_jobs: bool

    def add_call(self, method: str, path: str, name: str, view: Callable[..., Any], scope: Scope | None) -> None:
        """Have such a request answered by ``view``; the rest as in ``Route``."""
        route = self.routes[name] = Route(method, path, name, view, scope)
        self.add_url_rule(path, name, self.trail.over(route), methods=[method])

    def add_direct_call(
        self, path: str, name: str, carry_out: Direct, scope: Scope | None, *, most_bytes: int | None = None
    ) -> None:
        """Have a POST to ``path`` answered beside Quart, which knows the rule for all that comes in an unusual way.

        Args:
          most_bytes: how large a body may be; None: as large as the configuration says for a job.
        """

        async def view() -> Response:
            return wire.response(await carry_out(await incoming.call_of(request)))

        self.direct[path] = Rule(path, carry_out, most_bytes or self.context.config.max_body, scope)
        self.add_call("POST", path, name, view, scope)

    async def at_rest(self, wait: Callable[[], Awaitable[Value]]) -> Value:
        """Return what ``wait`` does; meanwhile the request counts not as one at work.

        Raises: Problem (401): who asks would not be let in any more; and what ``wait`` does.
        """
        self.in_flight -= 1
        try:
            return await self.guard.while_good(caller_of(request), wait)
        finally:
            self.in_flight += 1

    def most_bytes(self, method: str, path: str) -> int:
        """Return how large the body of such a request may be."""
        rule = self.direct.get(path) if method == "POST" else None
        if rule:
            return rule.most_bytes
        config = self.context.config
        return leases.most_bytes(path, config.max_result) or config.max_body

    def route_of(self, method: str, path: str) -> str:
        """Return the rule that such a request goes by, for who counts; ``OTHER`` if there is none."""
        adapter = self.url_map.bind("localhost", default_method=method, path_info=path)
        try:
            return adapter.match(return_rule=True)[0].rule
        except HTTPException:
            return OTHER

    async def admit(self, request: Request) -> None:
        """Return if the request may go on; who asks is kept with it. Raises: Problem; StoreUnavailable."""
        caller = await self.guard.admit(request)
        if caller.scopes is not EVERYTHING:
            caller.require(self.scope_of(request.method, request.path))
        keep_caller(request.scope, caller)

    async def admitted(self, request: Request) -> Caller | Problem:
        """As ``admit``; return who asks, or the refusal."""
        try:
            await self.admit(request)
        except (Problem, StoreError, Overloaded) as refusal:
            return problems.problem_of(refusal)
        return caller_of(request)

    def scope_of(self, method: str, path: str) -> Scope | None:
        """Return what the caller of such a request needs; None where there is no such call, which is told later."""
        adapter = self.url_map.bind("localhost", default_method=method, path_info=path)
        try:
            route = self.routes.get(adapter.match()[0])
        except HTTPException:
            return None
        return None if route is None or method == "OPTIONS" else route.scope

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
    app = _edge(context, tells_jobs=True)
    job_stream.add_routes(app)
    inbox.add_routes(app, app.inbox)
    dashboard.add_routes(app)
    description.add_routes(app)
    of_jobs = (jobs, job_log, explain, tree, batch, broadcasts, operations)
    of_access = (tokens, audit)
    of_things = (queues, schedules, nodes, leases, events, statistics, marks, health, metrics, compat)
    for part in (*of_jobs, *of_things, *of_access):
        part.add_routes(app, context)
    return app


def create_lookout(context: Context) -> Edge:
    """Return an application that only tells how this node is: ``/metrics``, ``/livez`` and ``/readyz``."""
    app = _edge(context, tells_jobs=False)
    health.add_probes(app, context)
    metrics.add_routes(app, context)
    return app


def _edge(context: Context, *, tells_jobs: bool) -> Edge:
    app = Edge("tickr", static_folder=None, template_folder=None)
    app.context = context
    app.guard = Guard(context.config, context.store)
    app.trail = Trail(context.store)
    app.in_flight = 0
    app.arriving = {}
    app.body_bytes = 0
    app.half_said = {}
    app.audience = Audience()
    app.waits = Waits(context, app.audience)
    app.beside = (app.waits.run, app.guard.known.run, app.trail.run)
    app.inbox = Inbox(context)
    app.links = Links()
    app.direct = {}
    app.routes = {}
    app.tells_jobs = tells_jobs
    app.session_interface = _NoSessions()
    app.url_map.merge_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = None  # who reads a body bounds it: ``Edge.most_bytes``
    app.config["BODY_TIMEOUT"] = BODY_TIMEOUT_S
    app.register_error_handler(Exception, _explain)
    return app


async def _explain(error: Exception) -> Response:
    return problems.response(problems.problem_of(error), request.path)
