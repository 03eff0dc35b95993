"""What a user of Tickr would write: a handler, and a program that submits over HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any, Self
from urllib.parse import urlsplit

import tickr
from bench.peers.marks import mark

CHUNK = int(os.environ.get("PEERS_CHUNK", "1000"))
CONNECTIONS = 2
"""How many batches are under way at once."""
UP_WITHIN_S = 20.0
JOB = {"type": "noop", "payload": {"to": "a@b.c", "body": "hello world"}}

jobs = tickr.Jobs()


@jobs.handler("noop")
async def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        self._address = urlsplit(os.environ["PEERS_HTTP"]).netloc
        self._threads = ThreadPoolExecutor(CONNECTIONS)
        self._own = local()
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._ready():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Tickr does not serve on {self._address}")
            await asyncio.sleep(0.05)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown()

    def _ready(self) -> bool:
        try:
            connection = http.client.HTTPConnection(self._address, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    async def many(self, count: int) -> None:
        sizes = [min(CHUNK, count - done) for done in range(0, count, CHUNK)]
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, self._batch, size) for size in sizes))

    async def one(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._threads, self._post, "/jobs", JOB, 201)

    def _batch(self, size: int) -> None:
        answer = self._post("/jobs/batch", {"jobs": [JOB] * size}, 200)
        refused = [result for result in answer["results"] if result["status"] != 201]
        if refused:
            raise RuntimeError(f"{len(refused)} of {size} jobs were not stored: {refused[0]}")

    def _post(self, path: str, body: Any, expected: int) -> Any:
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection(self._address, timeout=30)
        self._own.connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = self._own.connection.getresponse()
        content = answer.read()
        if answer.status != expected:
            raise RuntimeError(f"{path} answered {answer.status}: {content[:300]!r}")
        return json.loads(content)
