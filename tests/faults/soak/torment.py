"""The tormentor: breaks nodes, MySQL and Redis, at random but by a seed, and notes what it did and when.

Two of three nodes may be down at once, never on purpose all three. What it does to a server ends within seconds.

State: ``faults`` is written here and by nodes that died of a failpoint; read when all has ended.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import trio

from tests.faults.history import Fault
from tests.faults.ledger import now_us
from tests.faults.soak.nodes import Node
from tests.servers import MariaDB, Redis

FREEZE_S = (16.0, 22.0)
"""Longer than a lease."""
LONG_REST_S = (18.0, 24.0)
"""How long a killed node lies when its jobs shall be taken over by the others."""

Torment = Callable[[], Awaitable[None]]


class Backends:
    """The servers and the proxies before them."""

    def __init__(self, mysql: MariaDB, redis: Redis, mysql_proxy: Any, redis_proxy: Any) -> None:
        self.mysql, self.redis = mysql, redis
        self.mysql_proxy, self.redis_proxy = mysql_proxy, redis_proxy
        self.old_snapshot: bytes | None = None


class Tormentor:
    """Args:
    kill_every_s, break_every_s: mean pause between two acts on nodes, and on servers.
    """

    def __init__(
        self, nodes: Sequence[Node], backends: Backends, *, kill_every_s: float, break_every_s: float, seed: int
    ) -> None:
        self._nodes = nodes
        self._on = backends
        self._kill_every_s = kill_every_s
        self._break_every_s = break_every_s
        self._chance = random.Random(seed)
        self.faults: list[Fault] = []
        self.doing = ""

    async def run(self) -> None:
        """Torment until cancelled; what is broken then is mended."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._torment_nodes, nursery)
            nursery.start_soon(self._torment_servers)

    # -- nodes ----------------------------------------------------------------------------------------------------

    async def _torment_nodes(self, nursery: trio.Nursery) -> None:
        while True:
            await trio.sleep(self._chance.expovariate(1 / self._kill_every_s))
            up = [node for node in self._nodes if node.up and not node.frozen]
            if len(up) < 2:
                continue
            victim, *others = self._chance.sample(up, len(up))
            match self._chance.choices(["kill", "let lie", "two", "freeze", "stop"], [79, 2, 12, 1, 6])[0]:
                case "kill":
                    victim.kill(rest_s=self._chance.uniform(0, 0.5))
                case "let lie":
                    victim.kill(rest_s=self._chance.uniform(*LONG_REST_S))
                case "two":
                    victim.kill(rest_s=self._chance.uniform(0, 3))
                    if len(others) > 1:
                        others[0].kill(rest_s=self._chance.uniform(0, 3))
                case "freeze":
                    nursery.start_soon(victim.freeze, self._chance.uniform(*FREEZE_S))
                case "stop":
                    victim.terminate()

    # -- servers --------------------------------------------------------------------------------------------------

    async def _torment_servers(self) -> None:
        torments: list[tuple[float, Torment]] = [
            (12, self._flush),
            (8, self._kill_redis),
            (6, self._freeze_redis),
            (4, self._redis_readonly),
            (4, self._redis_full),
            (4, self._roll_redis_back),
            (4, self._kill_mysql),
            (4, self._freeze_mysql),
            (3, self._mysql_read_only),
            (3, self._mysql_crowded),
            (12, self._cut_at_commit),
        ]
        torments += [*self._line_torments("mysql"), *self._line_torments("redis")]
        while True:
            await trio.sleep(self._chance.expovariate(1 / self._break_every_s))
            torment = self._chance.choices([one for _, one in torments], [weight for weight, _ in torments])[0]
            await torment()

    @asynccontextmanager
    async def _noted(self, kind: str, part: Literal["mysql", "redis"]) -> AsyncIterator[None]:
        began, self.doing = now_us(), f"{part} {kind}"
        try:
            yield
        finally:
            self.faults.append(Fault(kind, part, began, now_us()))
            self.doing = ""

    async def _flush(self) -> None:
        async with self._noted("flush", "redis"):
            await trio.to_thread.run_sync(self._on.redis.flush)

    async def _kill_redis(self) -> None:
        async with self._noted("kill", "redis"):
            await self._down(self._on.redis, self._chance.uniform(0, 4))

    async def _kill_mysql(self) -> None:
        async with self._noted("kill", "mysql"):
            await self._down(self._on.mysql, self._chance.uniform(0, 3))

    async def _down(self, server: MariaDB | Redis, rest_s: float) -> None:
        await trio.to_thread.run_sync(server.kill)
        with trio.CancelScope(shield=True):
            await trio.sleep(rest_s)
            await trio.to_thread.run_sync(server.start)

    async def _freeze_redis(self) -> None:
        async with self._noted("freeze", "redis"):
            await self._frozen(self._on.redis, self._chance.uniform(1, 5))

    async def _freeze_mysql(self) -> None:
        async with self._noted("freeze", "mysql"):
            await self._frozen(self._on.mysql, self._chance.uniform(0.5, 4))

    async def _frozen(self, server: MariaDB | Redis, for_s: float) -> None:
        server.stop()
        try:
            await trio.sleep(for_s)
        finally:
            server.cont()

    async def _redis_readonly(self) -> None:
        async with self._noted("readonly", "redis"):
            await self._while(self._on.redis.readonly, True, False)

    async def _redis_full(self) -> None:
        async with self._noted("full", "redis"):
            await self._while(self._on.redis.limit_memory, 1, 0)

    async def _mysql_read_only(self) -> None:
        async with self._noted("readonly", "mysql"):
            await self._while(self._on.mysql.read_only, True, False)

    async def _mysql_crowded(self) -> None:
        async with self._noted("full", "mysql"):
            await self._while(self._on.mysql.limit_connections, 3, None)

    async def _while(self, change: Callable[..., Any], to: object, back: object) -> None:
        await trio.to_thread.run_sync(change, to)
        with trio.CancelScope(shield=True):
            await trio.sleep(self._chance.uniform(1, 3))
            await trio.to_thread.run_sync(change, back)

    async def _roll_redis_back(self) -> None:
        """Take a snapshot now; put the one taken the last time in its place."""
        async with self._noted("rollback", "redis"):
            with trio.CancelScope(shield=True):
                now = await trio.to_thread.run_sync(self._on.redis.snapshot)
                await trio.to_thread.run_sync(self._on.redis.restore, self._on.old_snapshot or now)
                self._on.old_snapshot = now

    # -- the lines to them ----------------------------------------------------------------------------------------

    async def _cut_at_commit(self) -> None:
        async with self._noted("cut", "mysql"):
            self._on.mysql_proxy.cut = self._chance.choice(("before", "after"))
            await trio.sleep(self._chance.uniform(0.1, 1))
            self._on.mysql_proxy.cut = None

    def _line_torments(self, part: Literal["mysql", "redis"]) -> list[tuple[float, Torment]]:
        proxy = self._on.mysql_proxy if part == "mysql" else self._on.redis_proxy

        async def reset() -> None:
            async with self._noted("cut", part):
                proxy.reset()

        async def blackhole() -> None:
            async with self._noted("blackhole", part):
                proxy.blackhole()
                try:
                    await trio.sleep(self._chance.uniform(0.5, 4))
                finally:
                    proxy.heal()

        async def delay() -> None:
            async with self._noted("delay", part):
                proxy.latency_s = self._chance.uniform(0.005, 0.1)
                try:
                    await trio.sleep(self._chance.uniform(1, 4))
                finally:
                    proxy.heal()

        async def cut_after() -> None:
            async with self._noted("cut", part):
                proxy.cut_after(self._chance.randrange(1, 5_000), self._chance.choice(("up", "down")))

        return [(6, reset), (4, blackhole), (4, delay), (8, cut_after)]
