"""What a user of Celery would write: a task, and a program that submits it."""

from __future__ import annotations

import os
from typing import Self

from celery import Celery

from bench.peers.marks import mark

app = Celery("peers", broker=os.environ["PEERS_REDIS"])
app.conf.update(task_ignore_result=True, worker_prefetch_multiplier=128, broker_connection_retry_on_startup=True)


@app.task
def noop(to: str, body: str) -> None:
    mark()


class Producer:
    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def many(self, count: int) -> None:
        # One producer for all: https://docs.celeryq.dev/en/stable/userguide/calling.html#connections
        with app.producer_or_acquire() as producer:
            for _ in range(count):
                noop.apply_async(("a@b.c", "hello world"), producer=producer)

    async def one(self) -> None:
        noop.delay("a@b.c", "hello world")
