"""Doors: where a node answers HTTP: the port of its API, and one beside it, if there is, that only tells how it is.

The second is for nodes without an API, and for who keeps scrapes and probes away from clients: it has an application,
and bounds, of its own.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import trio

from tickr.api.app import create_app, create_lookout
from tickr.api.certificate import Certificate
from tickr.api.context import Context
from tickr.api.entrance import Listening
from tickr.api.server import listen, serve_http
from tickr.config import Config

GRACE_S = 5.0
"""How long requests at work have at a stop, in seconds."""

Address = tuple[str, int]


class Doors(NamedTuple):
    """Sockets that listen, or None; they belong to ``serve_doors`` once that is called."""

    api: Listening | None = None
    lookout: Listening | None = None

    def close(self) -> None:
        for sock in self:
            if sock:
                sock.close()

    @property
    def addresses(self) -> tuple[Address | None, Address | None]:
        """Host and port of each."""
        api, lookout = (sock.getsockname()[:2] if sock else None for sock in self)
        return api, lookout


def open_doors(config: Config) -> Doors:
    """Return what listens as ``config`` says. Raises: ConfigError."""
    api = listen(config.host, config.port) if "api" in config.roles else None
    try:
        return Doors(
            api,
            None if config.metrics_port is None else listen(config.host, config.metrics_port, flag="--metrics-port"),
        )
    except BaseException:
        Doors(api).close()
        raise


async def serve_doors(
    doors: Doors,
    context: Context,
    shutdown: trio.Event,
    certificate: Certificate | None,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve at both, and take jobs out of the inbox beside the API; else as ``server.serve_http``."""
    serve = partial(serve_http, shutdown=shutdown, grace_s=GRACE_S, certificate=certificate)
    async with trio.open_nursery() as serving:
        if doors.api:
            app = create_app(context)
            serving.start_soon(app.inbox.run)
            await serving.start(partial(serve, app, doors.api))
        if doors.lookout:
            await serving.start(partial(serve, create_lookout(context), doors.lookout))
        task_status.started()
