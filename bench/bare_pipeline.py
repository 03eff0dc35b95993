"""A bare pipeline: what a drain costs without Tickr, with nothing of Tickr's but the MySQL driver.

One process pops ids from a sorted set in Redis, claims them 500 at a time, runs a no-op for each and writes the results
1,000 at a time; each statement is a transaction, as durable as the server makes it. No leases, no fences, no events, no
retries, no checks: whatever Tickr does beyond this is what the ratio of the two pays for.
"""

from __future__ import annotations

import time
from functools import partial
from multiprocessing.connection import Connection
from typing import Any
from urllib.parse import urlsplit

import msgspec
import redis
import trio

from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection as Mysql
from tickr.store.mysql_values import number

CLAIM, FINISH = 500, 1000
"""Jobs of one statement, at most."""
BUFFERED = 2 * CLAIM
"""Jobs that have been claimed and wait for a worker."""
CHECKPOINT_EVERY = 16
"""A worker that finds the next job without waiting lets others run after so many."""
TIMEOUT_S = 30.0

TABLE = """CREATE TABLE bare_jobs (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY, queue VARCHAR(64) NOT NULL, type VARCHAR(128) NOT NULL,
  state TINYINT NOT NULL, priority TINYINT NOT NULL, payload JSON NOT NULL, result JSON NULL,
  attempt INT NOT NULL DEFAULT 0, max_attempts INT NOT NULL DEFAULT 3, run_at DATETIME(6) NOT NULL,
  created_at DATETIME(6) NOT NULL, started_at DATETIME(6) NULL, finished_at DATETIME(6) NULL, worker_id BIGINT NULL,
  error TEXT NULL, KEY state_idx (state, run_at))"""
INSERT = (
    "INSERT INTO bare_jobs (queue, type, state, priority, payload, run_at, created_at) "
    "SELECT 'default', 'noop', 1, 3, x.payload, NOW(6), NOW(6) "
    "FROM JSON_TABLE(%s, '$[*]' COLUMNS (payload TEXT PATH '$')) AS x"
)
START = (
    "UPDATE bare_jobs SET state = 2, worker_id = %s, attempt = attempt + 1, started_at = NOW(6) "
    "WHERE id IN %s AND state = 1"
)
READ = (
    "SELECT JSON_ARRAYAGG(JSON_ARRAY(id, queue, type, priority, payload, attempt, max_attempts)) FROM bare_jobs "
    "WHERE id IN %s AND worker_id = %s"
)
SUCCEED = (
    "UPDATE bare_jobs AS j JOIN JSON_TABLE(%s, '$[*]' COLUMNS (i BIGINT UNSIGNED PATH '$[0]', a INT PATH '$[1]', "
    "w INT PATH '$[2]', r TEXT PATH '$[3]')) AS x ON j.id = x.i AND j.attempt = x.a AND j.worker_id = x.w "
    "SET j.state = 3, j.result = x.r, j.finished_at = NOW(6) WHERE j.state = 2"
)
READY = "bare:ready"

_encode, _decode = msgspec.json.Encoder().encode, msgspec.json.decode


async def noop(payload: str) -> dict[str, bool]:
    return {"ok": True}


class Pipeline:
    """One drain. ``outcomes`` is filled by the workers and emptied by ``finish``, which ``more`` wakes."""

    def __init__(self, store_url: str, index: redis.Redis, jobs: int) -> None:
        self._store_url, self._index, self._left = store_url, index, jobs
        self._outcomes: list[tuple[int, int, int, str]] = []
        self._more = trio.Event()

    async def drain(self, workers: int) -> float:
        """Run everything that is there; return how many seconds that took."""
        claiming, finishing = await connect(self._store_url), await connect(self._store_url)
        await claiming.execute("SET SESSION group_concat_max_len = 100000000")
        put, take = trio.open_memory_channel[tuple[int, list[Any]]](BUFFERED)
        began = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._claim, claiming, put)
            for _ in range(workers):
                nursery.start_soon(self._work, take)
            await self._finish(finishing)
            nursery.cancel_scope.cancel()
        took = time.perf_counter() - began
        for connection in (claiming, finishing):
            connection._force_close()
        return took

    async def _claim(self, mysql: Mysql, put: trio.MemorySendChannel[tuple[int, list[Any]]]) -> None:
        turn = 0
        while popped := await trio.to_thread.run_sync(self._pop):
            turn, ids = turn + 1, tuple(int(id_) for id_, _ in popped[1])
            await mysql.execute(START, turn, ids)
            ((document,),) = (await mysql.execute(READ, ids, turn)).rows
            for row in _decode(document):
                try:
                    put.send_nowait((turn, row))
                except trio.WouldBlock:
                    await put.send((turn, row))

    def _pop(self) -> Any:
        return self._index.bzmpop(1.0, 1, [READY], min=True, count=CLAIM)

    async def _work(self, take: trio.MemoryReceiveChannel[tuple[int, list[Any]]]) -> None:
        done = 0
        while True:
            try:
                turn, row = take.receive_nowait()
            except trio.WouldBlock:
                turn, row = await take.receive()
            done += 1
            if done % CHECKPOINT_EVERY == 0:
                await trio.lowlevel.checkpoint()
            with trio.CancelScope(deadline=trio.current_time() + TIMEOUT_S):
                result = await noop(row[4])
            self._outcomes.append((row[0], row[5], turn, _encode(result).decode()))
            self._more.set()

    async def _finish(self, mysql: Mysql) -> None:
        while self._left:
            if not self._outcomes:
                self._more = trio.Event()
                await self._more.wait()
            batch, self._outcomes = self._outcomes[:FINISH], self._outcomes[FINISH:]
            self._left -= (await mysql.execute(SUCCEED, _encode(batch).decode())).affected


async def connect(store_url: str) -> Mysql:
    mysql = Mysql(parse(store_url), None)
    await mysql.open(10)
    return mysql


async def fill(store_url: str, index: redis.Redis, jobs: int, payload: str) -> None:
    """Make the table anew with ``jobs`` that are due, and put their ids into the index."""
    mysql = await connect(store_url)
    await mysql.execute("DROP TABLE IF EXISTS bare_jobs")
    await mysql.execute(TABLE)
    for done in range(0, jobs, FINISH):
        await mysql.execute(INSERT, _encode([payload] * min(FINISH, jobs - done)).decode())
    ids = [number(id_) for (id_,) in (await mysql.execute("SELECT id FROM bare_jobs ORDER BY id")).rows]
    index.delete(READY)
    for at in range(0, jobs, FINISH):
        index.zadd(READY, {str(id_): id_ for id_ in ids[at : at + FINISH]})
    mysql._force_close()


def pipeline(pipe: Connection, store_url: str, index_url: str) -> None:
    """The process: ``("fill", jobs, payload)``, and ``("drain", jobs, workers)``, which answers with its seconds."""
    at = urlsplit(index_url)
    with redis.Redis(host=at.hostname or "", port=at.port or 6379, socket_timeout=10) as index:
        while True:
            try:
                what, *rest = pipe.recv()
            except (EOFError, OSError):
                return
            if what == "fill":
                pipe.send(trio.run(partial(fill, store_url, index, *rest)))
            elif what == "drain":
                jobs, workers = rest
                pipe.send(trio.run(Pipeline(store_url, index, jobs).drain, workers))
            else:
                return
