"""What a user of RQ would write: a function, and a program that submits it."""

from __future__ import annotations

import os
from typing import Self

from redis import Redis
from rq import Queue

from bench.peers.marks import mark

CHUNK = int(os.environ["PEERS_CHUNK"])


def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        self._queue = Queue(connection=Redis.from_url(os.environ["PEERS_REDIS"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def many(self, count: int) -> None:
        for done in range(0, count, CHUNK):
            job = Queue.prepare_data("bench.peers.rq.app.noop", ("a@b.c", "hello world"), result_ttl=0)
            self._queue.enqueue_many([job] * min(CHUNK, count - done))

    async def one(self) -> None:
        self._queue.enqueue("bench.peers.rq.app.noop", "a@b.c", "hello world", result_ttl=0)
