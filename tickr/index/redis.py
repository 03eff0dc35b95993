"""The index in Redis, shared by all processes of one namespace. Keys, all in one slot of a cluster:

``tickr:{t}:waiting``        sorted set of ``queue|priority|id`` by ``run_at`` in µs, and a line ``key`` if it has one;
                             without an id it is the turn of a lane that is held
``tickr:{t}:ready:<queue>``  sorted set of ``id`` by ``priority x 2^49 + run_at / 16 µs``: priority, then oldest due;
                             ``|key`` stands there for a lane. In the upper half of a priority, 2^49 - 1 less that:
                             the newest first
``tickr:{t}:lane:<queue>\\n<key>``  the same, of the jobs of one limit key
``tickr:{t}:lanes``          set of the lanes that are not empty
``tickr:{t}:orders``         hash of queues: ``1``, its newest jobs are first; ``0``, not any more, and some may still
                             have the scores for it
``tickr:{t}:queues``         set of the queues ever used, for counting
``tickr:{t}:epoch``          ``<epoch>@<run id of the server that was given it>``

Comes in: entries of jobs that wait. Goes out: ids, best first, by a blocking pop. Redis owns the state, this nothing.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import structlog
import trio

from tickr.errors import IndexUnavailable
from tickr.index.contract import MAX_POP, NO_BOUNDS, Hint, Lane, Promotion, Sizes, is_late
from tickr.jobs import Entry
from tickr.redis_link.address import RedisAddress
from tickr.redis_link.line import Command
from tickr.redis_link.link import RedisLink, open_link

BLOCK_S = 5
"""How long the server lets one pop wait; then it is asked anew."""

PRIORITY_STEP, TICK_US = 2**49, 16
"""Weight of one priority in a ready score, and the unit of instants there: exact in a double, and a half until 2112."""

LEARN_S = 2.0
"""How long what a push knows of the orders of queues is good for, in seconds. An audit tells sooner."""
TURNED_AT_ONCE, LANES_AT_ONCE = 1000, 100
"""How many entries one run of a script moves when an order changes, and how many lanes it looks at."""

PROMOTE_AT_ONCE = 1000
"""Entries moved by one run of the script; the server does nothing else meanwhile, for about a millisecond."""


KEYS_AT_ONCE = 500
"""So many keys are asked for in one command."""


def _script(*names: str) -> str:
    return "".join(files("tickr.index").joinpath(f"{name}.lua").read_text() for name in names)


_LANES = ("promote", "enter", "take", "hold", "free", "turn")
PROMOTE, ENTER, TAKE, HOLD, FREE, TURN = (_script("lanes", name) for name in _LANES)
GET_EPOCH, SET_EPOCH = _script("get_epoch"), _script("set_epoch")

TAKEN_WITHIN_S = 2.0
"""How long what a pop leads to may take, in seconds. It is not cut: what was popped would be lost to the index."""

Scored = list[tuple[bytes, bytes]]
"""Members with their scores."""
Popped = tuple[bytes, Scored]
"""What BZMPOP returns: the key, and what was popped."""

log = structlog.get_logger()


def _ready_score(priority: int, instant: int, *, newest: bool) -> int:
    """Return the score of what is ready: never earlier than ``instant``, kept within what a score can order.

    Args:
      newest: the newest is first.
    """
    tick = min(max(-(-instant // TICK_US), 0), PRIORITY_STEP // 2 - 1)
    return priority * PRIORITY_STEP + (PRIORITY_STEP - 1 - tick if newest else tick)


def _hint(queue: str, member: bytes, score: bytes) -> Hint:
    place = int(float(score)) % PRIORITY_STEP
    return Hint(member.decode(), min(place, PRIORITY_STEP - 1 - place) * TICK_US, queue)


def _us(instant: int) -> int:
    """Return an instant as a score of what waits; until 2255 exact in a double."""
    return max(instant, 0)


def _member(entry: Entry) -> str:
    of_lane = f"\n{entry.limit_key}" if entry.limit_key is not None else ""
    return f"{entry.queue}|{entry.priority}|{entry.id}{of_lane}"


def _held(lane: Lane) -> str:
    return f"{lane.queue}|0|\n{lane.limit_key}"


class RedisIndex:
    """An index that processes share. Opened by ``open_redis``."""

    name = "redis"
    shared = True

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        key = link.address.key
        self._waiting, self._queues, self._epoch = key("waiting"), key("queues"), key("epoch")
        self._ready, self._lane, self._lanes = key("ready:"), key("lane:"), key("lanes")
        self._orders = key("orders")
        self._newest: frozenset[str] = frozenset()
        self._learn_at = float("-inf")

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
        entering: list[str | int] = []
        if entries and trio.current_time() >= self._learn_at:
            await self._learn()
        known = self._newest
        for entry in entries:
            job_id, queue, priority, run_at, limit_key = entry
            if run_at > now:
                waiting += (_us(run_at), _member(entry))
                continue
            score = _ready_score(priority, run_at, newest=queue in known)
            if limit_key is not None:
                entering += (queue, limit_key, score, job_id)
            else:
                ready[queue] += (score, job_id)
        commands: list[Command] = [("ZADD", self._ready + queue, *scored) for queue, scored in ready.items()]
        if waiting:
            commands.append(("ZADD", self._waiting, *waiting))
        if entering:
            commands.append(self._run(ENTER, *entering))
        if known:  # whose scores must be noticed also if they are the wrong ones by now
            commands += [("HSETNX", self._orders, queue, 0) for queue in {entry.queue for entry in entries} & known]
        await self._write(entries, commands)

    async def park(self, entries: Sequence[Entry], *, until: int) -> None:
        scored = [word for entry in entries for word in (_us(until), _member(entry))]
        await self._write(entries, [("ZADD", self._waiting, "GT", *scored)])

    async def _write(self, entries: Sequence[Entry], commands: list[Command]) -> None:
        if entries:
            await self._link.send(("SADD", self._queues, *{entry.queue for entry in entries}), *commands)

    async def _learn(self) -> dict[str, bool]:
        """Ask which queues go newest first. Returns: the hash of orders."""
        [found] = await self._link.send(("HGETALL", self._orders))
        orders = _orders(found)
        self._know(name for name, newest in orders.items() if newest)
        return orders

    def _know(self, newest: Iterable[str]) -> None:
        self._newest, self._learn_at = frozenset(newest), trio.current_time() + LEARN_S

    def _run(self, script: str, *arguments: str | int) -> Command:
        """Return the command for a script that begins as ``lanes.lua`` does."""
        return ("EVAL", script, 1, self._waiting, self._ready, self._lane, self._lanes, PRIORITY_STEP, *arguments)

    async def pop(
        self,
        queues: Sequence[str],
        limit: int,
        *,
        most: Mapping[str, int] = NO_BOUNDS,
        per_key: Mapping[str, int] = NO_BOUNDS,
    ) -> list[Hint]:
        if not queues or not 1 <= limit <= MAX_POP:
            raise ValueError(f"pop takes at least one queue and a limit of 1 to {MAX_POP}")
        keys = [self._ready + queue for queue in queues]
        at_once = min([limit, *(most[queue] for queue in queues if queue in most)]) if most else limit
        command: tuple[str | int, ...] = ("BZMPOP", BLOCK_S, len(keys), *keys, "MIN", "COUNT", at_once)
        while True:
            reply: Popped | None = await self._link.wait(*command, wait_s=BLOCK_S, undo=self._put_back)
            if reply is None:
                continue
            key, popped = reply
            queue = key.decode().removeprefix(self._ready)
            if len(popped) == at_once < limit or any(member.startswith(b"|") for member, _ in popped):
                bound = min(limit, most.get(queue, limit))
                more = bound - at_once if len(popped) == at_once else 0
                popped = await self._follow_up(queue, popped, bound, more, per_key.get(queue))
            if popped:
                return [_hint(queue, *one) for one in popped]

    async def _follow_up(self, queue: str, popped: Scored, limit: int, more: int, per_key: int | None) -> Scored:
        """Return what ``popped`` amounts to: up to ``more`` with it, and jobs in the place of turns."""
        with trio.CancelScope(deadline=trio.current_time() + TAKEN_WITHIN_S, shield=True):
            try:
                if more > 0:
                    [rest] = await self._link.send(("ZPOPMIN", self._ready + queue, more))
                    popped = [*popped, *_pairs(rest)]
                if keys := [member[1:].decode() for member, _ in popped if member.startswith(b"|")]:
                    popped = [one for one in popped if not one[0].startswith(b"|")]
                    take = self._run(TAKE, queue, limit - len(popped), per_key or limit, *keys)
                    [taken] = await self._link.send(take)
                    popped += _pairs(taken)
            except IndexUnavailable:
                log.warning("index.turns_lost", queue=queue, means="the audit puts them back")
        return [one for one in popped if not one[0].startswith(b"|")]

    async def has_ready(self, queues: Sequence[str]) -> bool:
        # A line without entries is no key.
        for start in range(0, len(queues), KEYS_AT_ONCE):
            keys = [self._ready + queue for queue in queues[start : start + KEYS_AT_ONCE]]
            if (await self._link.send(("EXISTS", *keys)))[0]:
                return True
        return False

    async def hold(self, lanes: Sequence[Lane], *, until: int) -> None:
        if lanes:
            await self._link.send(self._run(HOLD, _us(until), *itertools.chain(*lanes)))

    async def free(self, lanes: Sequence[Lane]) -> None:
        if lanes:
            await self._link.send(self._run(FREE, *itertools.chain(*lanes)))

    async def _put_back(self, popped: Popped) -> None:
        key, scored = popped
        try:
            await self._link.send(("ZADD", key, *(word for job_id, score in scored for word in (score, job_id))))
        except IndexUnavailable:
            log.warning("index.ids_lost", count=len(scored), means="the audit puts them back")

    async def remove(self, entries: Sequence[Entry]) -> None:
        if entries:
            commands: list[Command] = [("ZREM", self._waiting, *map(_member, entries))]
            commands += [("ZREM", line, *ids) for line, ids in self._ids_by_line(entries).items()]
            await self._link.send(*commands)

    async def missing(self, entries: Sequence[Entry], *, now: int | None = None) -> list[Entry]:
        if not entries:
            return []
        by_line = self._ids_by_line(entries)
        commands: list[Command] = [("ZMSCORE", line, *ids) for line, ids in by_line.items()]
        *ready, waiting = await self._link.send(*commands, ("ZMSCORE", self._waiting, *map(_member, entries)))
        found = {
            entry
            for entry, score in zip(entries, waiting, strict=True)
            if score is not None and not is_late(entry, float(score), now)
        }
        found_ready = {
            (line, job_id)
            for (line, ids), scores in zip(by_line.items(), ready, strict=True)
            for job_id, score in zip(ids, scores, strict=True)
            if score is not None
        }
        lost = await self._without_turn({Lane(e.queue, e.limit_key) for e in entries if e.limit_key is not None})
        return [
            entry
            for entry in entries
            if entry not in found
            and ((self._line(entry), entry.id) not in found_ready or (entry.queue, entry.limit_key) in lost)
        ]

    async def _without_turn(self, lanes: Collection[Lane]) -> set[Lane]:
        """Return those of ``lanes`` that nobody would come to."""
        if not lanes:
            return set()
        stands: list[Command] = [("ZSCORE", self._ready + queue, "|" + key) for queue, key in lanes]
        *scores, held = await self._link.send(*stands, ("ZMSCORE", self._waiting, *map(_held, lanes)))
        return {lane for lane, *found in zip(lanes, scores, held, strict=True) if found == [None, None]}

    def _line(self, entry: Entry) -> str:
        """Return the key of the sorted set that holds an entry when it is ready."""
        if entry.limit_key is None:
            return self._ready + entry.queue
        return f"{self._lane}{entry.queue}\n{entry.limit_key}"

    def _ids_by_line(self, entries: Sequence[Entry]) -> dict[str, list[str]]:
        ids: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            ids[self._line(entry)].append(entry.id)
        return ids

    async def order(self, newest: Collection[str]) -> None:
        stands = await self._learn()
        self._know(newest)
        changed = {name for name in self._newest | stands.keys() if stands.get(name, False) != (name in self._newest)}
        if changed:
            words = [word for name in sorted(changed) for word in (name, int(name in self._newest))]
            await self._link.send(("HSET", self._orders, *words))
        if not (turning := self._newest | stands.keys()):
            return
        [lanes] = await self._link.send(("SMEMBERS", self._lanes))
        lines = defaultdict(list)
        for name in lanes:
            lines[name.decode().partition("\n")[0]].append(self._lane + name.decode())
        for queue in sorted(turning):
            await self._turn(queue, [*lines[queue], self._ready + queue])

    async def _turn(self, queue: str, lines: Sequence[str]) -> None:
        """Move what stands in ``lines`` of a queue, the lanes' before its own, for another order than it has."""
        flag = int(queue in self._newest)
        for start in range(0, len(lines), LANES_AT_ONCE):
            some = lines[start : start + LANES_AT_ONCE]
            is_last = int(start + LANES_AT_ONCE >= len(lines))
            command = self._run(TURN, queue, flag, TURNED_AT_ONCE, self._orders, is_last, *some)
            while not (await self._link.send(command))[0]:
                pass

    async def promote(self, now: int, limit: int) -> Promotion:
        moved = 0
        while True:
            at_once = min(limit - moved, PROMOTE_AT_ONCE)
            [[count, next_us]] = await self._link.send(self._run(PROMOTE, now, at_once, TICK_US, self._orders))
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
        waiting, queues, lanes = await self._link.send(
            ("ZCARD", self._waiting), ("SMEMBERS", self._queues), ("SMEMBERS", self._lanes)
        )
        named = [Lane(*name.decode().split("\n", 1)) for name in lanes]
        lines = [self._ready + queue.decode() for queue in queues] + [self._lane + "\n".join(lane) for lane in named]
        ready = await self._link.send(*(("ZCARD", line) for line in lines))
        turns = await self._link.send(*(("ZSCORE", self._ready + queue, "|" + key) for queue, key in named))
        held = await self._link.send(*(("ZSCORE", self._waiting, _held(lane)) for lane in named))
        return Sizes(sum(ready) - _there(turns), waiting - _there(held))


def _orders(flat: Sequence[bytes]) -> dict[str, bool]:
    """Return which queues of the hash of orders go newest first."""
    return {name.decode(): value == b"1" for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _there(scores: Sequence[bytes | None]) -> int:
    return sum(score is not None for score in scores)


def _pairs(flat: Sequence[Any]) -> Scored:
    """Return members with their scores out of a flat reply, as RESP2 has it."""
    return list(zip(flat[::2], flat[1::2], strict=True))


@asynccontextmanager
async def open_redis(address: RedisAddress) -> AsyncIterator[RedisIndex]:
    """Open the index in the Redis at ``address``; it may be away and come later."""
    means = "jobs run straight from the store until it is back"
    async with open_link(address, role="index", means=means) as link:
        yield RedisIndex(link)
