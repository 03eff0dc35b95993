"""The listening socket, and the accept loop on it until told to stop.

The socket is bound before anything else is started, so that a port that is taken is told at once; what is set on it
bounds what a client that does not read can cost, since its connections inherit that. The loop is ours, as Hypercorn's
own bounds nothing and falls with its connections.
"""

from __future__ import annotations

import errno
import resource
import socket
from functools import partial
from time import time

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.worker_context import WorkerContext

from tickr.api.app import Edge
from tickr.api.certificate import Certificate
from tickr.api.entrance import Listening, entrance
from tickr.api.protocol import Link, serve_connection
from tickr.api.secure_link import SecureLink
from tickr.api.server_log import ServerLog
from tickr.api.target import MAX_HEADER_BYTES
from tickr.errors import ConfigError

BACKLOG = 1024
"""Connections the kernel keeps for us until they are accepted."""
STUCK_CLIENT_S = 8
"""A connection whose client acknowledges nothing for so long, or takes nothing, is dropped by the kernel, in seconds
(TCP_USER_TIMEOUT). Also when nobody waits for it in a send: a stream has its last words in the kernel's buffer."""
SEND_BUFFER_BYTES = 128 * 1024
"""What the kernel takes for a client that does not read (SO_SNDBUF; it counts its own overhead and allows the double).

Left to itself it takes up to 4 MiB for each. It is also what can be on its way to one client at a time: enough for
10 Mbit/s over 100 ms of distance."""
KEEP_ALIVE_S = 30
"""How long a connection may idle, and how long a client may take to send its headers, in seconds."""
MAX_CONNECTIONS = 12_000
"""Connections open at once; fewer where the process may not have that many descriptors. For one more, that which idles
for longest is closed; if none does, the new one is. One that idles takes about 11 KiB."""

log = structlog.get_logger("tickr.http")


def listen(host: str, port: int, *, flag: str = "--port") -> socket.socket:
    """Return a socket that listens on ``host``, not yet accepting. Port 0 takes a free one: see ``getsockname``.

    Args:
      flag: which sets the port, for who is told that it cannot be had.
    Raises: ConfigError: the port is taken, or the host is none of this machine.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigError([f"Cannot listen on {host}: {error.strerror}."]) from error
    # "localhost" is both; the many programs that know one of them know this one.
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STUCK_CLIENT_S * 1000)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise ConfigError([_why_not(error, host, port, flag)]) from error
    return sock


def _why_not(error: OSError, host: str, port: int, flag: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program; choose another with {flag}."
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this program has; choose one above 1023 with {flag}."
    return f"Cannot listen on {host}, port {port}: {error.strerror}."


async def serve_http(
    app: Edge,
    sock: Listening,
    *,
    shutdown: trio.Event,
    grace_s: float,
    certificate: Certificate | None = None,
    keep_alive_s: float = KEEP_ALIVE_S,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve ``app`` on ``sock`` until ``shutdown`` is set and the requests at work are answered.

    Args:
      sock: from ``listen``, or shared with other processes. It belongs to this function from now on, and is closed
        first when it stops.
      shutdown: once set, nothing new is accepted and idle connections are closed.
      grace_s: seconds that requests at work have from then on; what is left is cut off.
      certificate: with it the socket speaks HTTPS, and nothing else.
      keep_alive_s: how long a connection may idle, and a client take to send its headers.
    Calls ``started`` when connections are being accepted.
    Cancellation: the listener closes, and requests at work are cancelled with their connections.
    """
    context = WorkerContext(max_requests=None)
    most = app.audience.connections = _most_connections()
    config, links = _config(keep_alive_s), app.links
    kind = partial(SecureLink, certificate) if certificate else Link
    serve = partial(serve_connection, app=ASGIWrapper(app), config=config, context=context, links=links, kind=kind)

    open_now = 0

    async def admit(stream: trio.SocketStream) -> None:
        nonlocal open_now
        if open_now >= most and not links.make_room():
            log.warning("http.too_many_connections", most=most)
            await stream.aclose()
            return
        open_now += 1
        try:
            await serve(stream)
        finally:
            open_now -= 1

    async with trio.open_nursery() as serving:
        serving.start_soon(_hurry_when_cancelled, links)
        for task in app.beside:
            serving.start_soon(task)
        if certificate:
            serving.start_soon(certificate.watch)
        async with trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                door = entrance(sock)
                await accepting.start(
                    partial(trio.serve_listeners, door.counting(admit), [door], handler_nursery=connections)
                )
                task_status.started()
                await shutdown.wait()
                accepting.cancel_scope.cancel()
            await context.terminated.set()
            app.waits.end()
            for link in links:
                link.close_if_idle()
            serving.cancel_scope.deadline = trio.current_time() + grace_s
        serving.cancel_scope.cancel()


async def _hurry_when_cancelled(links: set[Link]) -> None:
    """Answers are written in shields, so that none is torn; a client that does not read must not hold up the stop."""
    try:
        await trio.sleep_forever()
    finally:
        for link in links:
            link.hurry()


def _most_connections() -> int:
    """Return how many connections may be open at once: the store and the index need descriptors, too."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, descriptors * 3 // 4))


class _Config(Config):
    """Hypercorn's, with the date written once a second and not for each answer."""

    def __init__(self) -> None:
        super().__init__()
        self._dated: tuple[int, list[tuple[bytes, bytes]]] = 0, []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        now = int(time())
        if self._dated[0] != now:
            self._dated = now, super().response_headers(protocol)
        return self._dated[1]


def _config(keep_alive_s: float) -> Config:
    config = _Config()
    config.keep_alive_timeout = keep_alive_s
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = MAX_HEADER_BYTES
    config.include_server_header = False
    config.logger_class = ServerLog
    return config
