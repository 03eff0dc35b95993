"""The bare route that single POSTs are measured by: Quart-Trio parses the JSON of a POST and echoes it, nothing more.

    python -m bench.echo_route [--store mysql|sqlite|URL] [--concurrency 1,8,32,64] [--before FOLDER]
    python -m bench.echo_route --port 9000 [--plain]

With a port it is served there: by Tickr's own accept loop with Tickr's settings, or ``--plain`` as Hypercorn serves it.
Without, single POSTs to a node with the role api take turns with both; the load is another process. Printed are the
ratios of the medians with the least and most of single rounds, and each server's processor time for a request.
``--before`` has another tree of Tickr take part.
"""

from __future__ import annotations

import argparse
import signal
import sys
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve as serve_plainly
from quart import Response, jsonify, request
from quart_trio import QuartTrio

from tickr.api.listener import Audience
from tickr.api.protocol import Links
from tickr.api.server import listen, serve_http
from tickr.own_process import calm_collector

GRACE_S = 1.0


class Nobody:
    """In the place of those who wait for jobs."""

    def end(self) -> None: ...


class Echo(QuartTrio):
    """A plain Quart-Trio application, with what Tickr's accept loop keeps account in, and no call beside Quart."""

    def __init__(self) -> None:
        super().__init__("echo", static_folder=None)
        self.audience = Audience()
        self.waits = Nobody()
        self.beside = ()
        self.links = Links()
        self.direct: dict[str, Any] = {}


def make_app() -> Echo:
    app = Echo()

    @app.post("/jobs")
    async def echo() -> Response:
        return jsonify(await request.get_json())

    return app


async def serve(port: int, *, plain: bool) -> None:
    """Serve the route on ``port`` until SIGTERM or Ctrl-C."""
    stop = trio.Event()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_plainly if plain else _serve_as_tickr, port, stop)
            async for _ in signals:
                stop.set()
                break


async def _serve_as_tickr(port: int, stop: trio.Event) -> None:
    calm_collector()  # as ``tickr serve`` does
    app: Any = make_app()
    await serve_http(app, listen("127.0.0.1", port), shutdown=stop, grace_s=GRACE_S)


async def _serve_plainly(port: int, stop: trio.Event) -> None:
    config = Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.keep_alive_max_requests = 1_000_000  # with the default of 1,000, connections would end within a round
    config.graceful_timeout = GRACE_S
    app: Any = make_app()
    await serve_plainly(app, config, shutdown_trigger=stop.wait)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, help="serve the route there and do nothing else")
    parser.add_argument("--plain", action="store_true", help="as Hypercorn serves it")
    if "--port" not in sys.argv:
        from bench import echo_turns  # only here: the served route is to be no larger than it must be

        echo_turns.arguments(parser)
        echo_turns.run(parser.parse_args(), sys.argv[1:])
        return 0
    given = parser.parse_args()
    trio.run(partial(serve, given.port, plain=given.plain))
    return 0


if __name__ == "__main__":
    sys.exit(main())
