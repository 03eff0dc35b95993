"""The index in Redis, shared by all processes of one namespace. Keys, all in one slot of a cluster:

``tickr:{t}:waiting``        sorted set of ``queue|priority|id`` by ``run_at`` in µs
``tickr:{t}:ready:<queue>``  sorted set of ``id`` by ``priority x 2^49 + run_at / 16 µs``: priority, then oldest due
``tickr:{t}:queues``         set of the queues ever used, for counting
``tickr:{t}:epoch``          ``<epoch>@<run id of the server that was given it>``

Comes in: entries of jobs that wait. Goes out: ids, best first, by a blocking pop. Redis owns the state, this nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files

import structlog

from tickr.errors import IndexUnavailable
from tickr.index.contract import MAX_POP, Hint, Promotion, Sizes
from tickr.jobs import Entry
from tickr.redis_link.address import RedisAddress
from tickr.redis_link.line import Command
from tickr.redis_link.link import RedisLink, open_link

BLOCK_S = 5
"""How long the server lets one pop wait; then it is asked anew."""

PRIORITY_STEP, TICK_US = 2**49, 16
"""Weight of one priority in a ready score, and the unit of instants there: exact in a double until 2255."""

PROMOTE_AT_ONCE = 1000
"""Entries moved by one run of the script; the server does nothing else meanwhile, for about a millisecond."""

PROMOTE, GET_EPOCH, SET_EPOCH = (
    files("tickr.index").joinpath(f"{name}.lua").read_text() for name in ("promote", "get_epoch", "set_epoch")
)

Popped = tuple[bytes, list[tuple[bytes, bytes]]]
"""What BZMPOP returns: the key, and ids with their scores."""

log = structlog.get_logger()


def _ready_score(priority: int, instant: int) -> int:
    """Return the score of what is ready: never earlier than ``instant``, kept within what a score can order."""
    return priority * PRIORITY_STEP + min(max(-(-instant // TICK_US), 0), PRIORITY_STEP - 1)


def _hint(member: bytes, score: bytes) -> Hint:
    return Hint(member.decode(), int(float(score)) % PRIORITY_STEP * TICK_US)


def _us(instant: int) -> int:
    """Return an instant as a score of what waits; until 2255 exact in a double."""
    return max(instant, 0)


def _member(entry: Entry) -> str:
    return f"{entry.queue}|{entry.priority}|{entry.id}"


class RedisIndex:
    """An index that processes share. Opened by ``open_redis``."""

    name = "redis"
    shared = True

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        key = link.address.key
        self._waiting, self._queues, self._epoch = key("waiting"), key("queues"), key("epoch")
        self._ready = key("ready:")

    @property
    def available(self) -> bool:
        return self._link.state.up

    async def wait_available(self) -> None:
        await self._link.state.wait_up()

    async def wait_unavailable(self) -> None:
        await self._link.state.wait_down()

    async def push(self, entries: Sequence[Entry], *, now: int) -> None:
        ready: defaultdict[str, list[str | int]] = defaultdict(list)
        waiting: list[str | int] = []
        for entry in entries:
            job_id, queue, priority, run_at = entry
            if run_at <= now:
                ready[queue] += (_ready_score(priority, run_at), job_id)
            else:
                waiting += (_us(run_at), _member(entry))
        commands: list[Command] = [("ZADD", self._ready + queue, *scored) for queue, scored in ready.items()]
        if waiting:
            commands.append(("ZADD", self._waiting, *waiting))
        await self._write(entries, commands)

    async def park(self, entries: Sequence[Entry], *, until: int) -> None:
        scored = [word for entry in entries for word in (_us(until), _member(entry))]
        await self._write(entries, [("ZADD", self._waiting, "GT", *scored)])

    async def _write(self, entries: Sequence[Entry], commands: list[Command]) -> None:
        if entries:
            await self._link.send(("SADD", self._queues, *{entry.queue for entry in entries}), *commands)

    async def pop(self, queues: Sequence[str], limit: int) -> list[Hint]:
        if not queues or not 1 <= limit <= MAX_POP:
            raise ValueError(f"pop takes at least one queue and a limit of 1 to {MAX_POP}")
        keys = [self._ready + queue for queue in queues]
        command: tuple[str | int, ...] = ("BZMPOP", BLOCK_S, len(keys), *keys, "MIN", "COUNT", limit)
        while True:
            reply: Popped | None = await self._link.wait(*command, wait_s=BLOCK_S, undo=self._put_back)
            if reply is not None:
                return [_hint(*popped) for popped in reply[1]]

    async def _put_back(self, popped: Popped) -> None:
        key, scored = popped
        try:
            await self._link.send(("ZADD", key, *(word for job_id, score in scored for word in (score, job_id))))
        except IndexUnavailable:
            log.warning("index.ids_lost", count=len(scored), means="the audit puts them back")

    async def remove(self, entries: Sequence[Entry]) -> None:
        if entries:
            commands: list[Command] = [("ZREM", self._waiting, *map(_member, entries))]
            commands += [("ZREM", self._ready + queue, *ids) for queue, ids in _ids_by_queue(entries).items()]
            await self._link.send(*commands)

    async def missing(self, entries: Sequence[Entry]) -> list[Entry]:
        if not entries:
            return []
        by_queue = _ids_by_queue(entries)
        commands: list[Command] = [("ZMSCORE", self._ready + queue, *ids) for queue, ids in by_queue.items()]
        *ready, waiting = await self._link.send(*commands, ("ZMSCORE", self._waiting, *map(_member, entries)))
        found = {entry for entry, score in zip(entries, waiting, strict=True) if score is not None}
        found_ready = {
            (queue, job_id)
            for (queue, ids), scores in zip(by_queue.items(), ready, strict=True)
            for job_id, score in zip(ids, scores, strict=True)
            if score is not None
        }
        return [entry for entry in entries if entry not in found and (entry.queue, entry.id) not in found_ready]

    async def promote(self, now: int, limit: int) -> Promotion:
        moved = 0
        while True:
            at_once = min(limit - moved, PROMOTE_AT_ONCE)
            script: Command = ("EVAL", PROMOTE, 1, self._waiting, now, at_once, self._ready, PRIORITY_STEP, TICK_US)
            [[count, next_us]] = await self._link.send(script)
            moved += count
            if count < at_once or moved >= limit:
                return Promotion(moved, int(float(next_us)) if next_us is not None else None)

    async def epoch(self) -> str | None:
        [epoch] = await self._link.send(("EVAL", GET_EPOCH, 1, self._epoch))
        return epoch.decode() if epoch is not None else None

    async def set_epoch(self, epoch: str, *, instead_of: str | None = None) -> bool:
        [was_set] = await self._link.send(("EVAL", SET_EPOCH, 1, self._epoch, epoch, instead_of or ""))
        return bool(was_set)

    async def sizes(self) -> Sizes:
        waiting, queues = await self._link.send(("ZCARD", self._waiting), ("SMEMBERS", self._queues))
        ready = await self._link.send(*(("ZCARD", self._ready + queue.decode()) for queue in queues))
        return Sizes(sum(ready), waiting)


def _ids_by_queue(entries: Sequence[Entry]) -> dict[str, list[str]]:
    ids: defaultdict[str, list[str]] = defaultdict(list)
    for entry in entries:
        ids[entry.queue].append(entry.id)
    return ids


@asynccontextmanager
async def open_redis(address: RedisAddress) -> AsyncIterator[RedisIndex]:
    """Open the index in the Redis at ``address``; it may be away and come later."""
    means = "jobs run straight from the store until it is back"
    async with open_link(address, role="index", means=means) as link:
        yield RedisIndex(link)
