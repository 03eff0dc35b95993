"""The load generator's side of the conversation with the runner, in the peer's environment: one line, one answer.

    python -m bench.peers.producer bench.peers.celery.app

The app's ``Producer`` is an asynchronous context manager with ``many(count)``, which submits in bulk where the peer
can, and ``one()``. On stdin come ``many 5000`` and ``one``; each is answered with a JSON line that says when the work
began and ended (CLOCK_MONOTONIC, ns). The first line says that it is ready. Standard library alone.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import Any


def say(**fields: Any) -> None:
    print(json.dumps(fields), flush=True)


async def serve(app: Any) -> None:
    async with app.Producer() as producer:
        say(ready=True)
        # In a thread: clients that keep connections alive do so while nothing is asked.
        while line := await asyncio.to_thread(sys.stdin.readline):
            began = time.monotonic_ns()
            match line.split():
                case ["many", count]:
                    await producer.many(int(count))
                case _:
                    await producer.one()
            say(began_ns=began, ended_ns=time.monotonic_ns())


def main() -> None:
    app = importlib.import_module(sys.argv[1])
    try:
        import uvloop  # type: ignore[import-not-found, unused-ignore]  # where a peer's requirements have it
    except ImportError:
        asyncio.run(serve(app))
    else:
        uvloop.run(serve(app))


if __name__ == "__main__":
    main()
