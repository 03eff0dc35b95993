"""Other programs on the same MySQL: one that locks rows at the worst moment, one that ends statements and connections.

They work on connections of their own, in another database than Tickr's, so that neither is the other's victim.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import trio
from trio_mysql import err

import tickr
from tests.faults.asking import Askers
from tests.waiting import eventually
from tickr.store.mysql_address import parse
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_values import number

KILL_EVERY_S = 0.03
HEAVY_ROWS = 500
"""Of two that are locked in each other the server gives up the one that has written less."""


class Gated:
    """Handlers: ``quick`` does nothing, ``gated`` runs until ``open``, and then all of them end at once."""

    def __init__(self) -> None:
        self.jobs = tickr.Jobs()
        self._running: set[str] = set()
        self._gate = trio.Event()

        @self.jobs.handler("quick")
        async def quick(job: tickr.Job) -> None: ...

        @self.jobs.handler("gated")
        async def gated(job: tickr.Job) -> None:
            self._running.add(job.id)
            await self._gate.wait()

    async def hold(self, askers: Askers, count: int) -> list[bytes]:
        """Have so many jobs run until ``open``. Returns their keys in order."""
        self._gate = trio.Event()
        ids = sorted(str(uuid.uuid4()) for _ in range(count))
        for job_id in ids:
            await askers.submit(job_id, type="gated")

        async def all_run() -> bool:
            await trio.lowlevel.checkpoint()
            return self._running.issuperset(ids)

        await eventually(all_run)
        return [bytes.fromhex(job_id.replace("-", "")) for job_id in ids]

    def open(self) -> None:
        self._gate.set()


class Rival:
    """Args:
    gated: the handlers of the node on ``database``.
    fought_out: how often each error has met Tickr so far, by number.
    """

    def __init__(self, pool: Pool, database: str, gated: Gated, askers: Askers, fought_out: Counter[int]) -> None:
        self._pool = pool
        self._database = database
        self._gated = gated
        self._askers = askers
        self._fought_out = fought_out

    async def deadlock(self) -> None:
        """Lock the last of three jobs and, when Tickr has the first and waits for the last, ask for the first."""
        first, _, last = await self._gated.hold(self._askers, 3)
        async with self._pool.connection() as connection:
            heavy = f"INSERT INTO {self._database}.heavy SELECT 1 FROM information_schema.columns LIMIT %s"
            await connection.execute(heavy, HEAVY_ROWS)
            await self._lock(connection, last)
            self._gated.open()
            await eventually(self._tickr_waits)
            with suppress(err.OperationalError):  # it may have been the lighter one all the same
                await self._lock(connection, first)
            await connection.execute("ROLLBACK")

    async def hold_an_outcome(self, until: int) -> None:
        """Lock a running job when it wants to end, until Tickr has met the error ``until``; see ``_hold``."""
        (key,) = await self._gated.hold(self._askers, 1)
        async with self._pool.connection() as connection:
            await self._lock(connection, key)
            self._gated.open()
            await self._hold(until)
            await connection.execute("ROLLBACK")

    async def hold_what_comes(self, until: int) -> None:
        """Lock the gap behind the last job, as a careless report does, until Tickr has met the error ``until``."""
        async with self._pool.connection() as connection:
            await connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            gap = f"SELECT COUNT(*) FROM (SELECT id FROM {self._database}.jobs WHERE id > %s FOR UPDATE) AS them"
            await connection.execute(gap, b"\0")
            await self._hold(until)
            await connection.execute("ROLLBACK")
            await connection.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")

    async def _hold(self, until: int) -> None:
        """Wait until one more of Tickr's transactions has met ``until``: 1205 comes by itself, 1317 by KILL QUERY."""
        before = self._fought_out[until]

        async def met_again() -> bool:
            if until == 1317 and await self._tickr_waits():
                for thread in await self._threads(" AND command = 'Query'"):
                    await self._end("QUERY", thread)
            await trio.lowlevel.checkpoint()
            return self._fought_out[until] > before

        await eventually(met_again)

    async def change_what_was_read(self) -> None:
        """Raise 1020 at one write in thirty, by a trigger: only MariaDB from 11.6.2 on does so by itself.

        No more, since a transaction that is also killed now and then is given up after six attempts.
        """
        async with self._pool.connection() as connection:
            await connection.execute(
                f"CREATE TRIGGER {self._database}.changed BEFORE INSERT ON {self._database}.events FOR EACH ROW "
                "IF RAND() < 0.03 THEN SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020, MESSAGE_TEXT = 'changed'; END IF"
            )

    async def kill_connections(self, over: trio.Event, chance: random.Random) -> None:
        """End a connection of Tickr's every ``KILL_EVERY_S``, until ``over``."""
        while not over.is_set():
            if threads := await self._threads():
                await self._end("CONNECTION", chance.choice(threads))
            with trio.move_on_after(KILL_EVERY_S):
                await over.wait()

    async def _threads(self, which: str = "") -> list[int]:
        of_tickr = "SELECT id FROM information_schema.processlist WHERE db = %s"
        async with self._pool.connection(autocommit=True) as connection:
            return [number(key) for (key,) in (await connection.execute(of_tickr + which, self._database)).rows]

    async def _end(self, what: str, thread: int) -> None:
        async with self._pool.connection(autocommit=True) as connection:
            with suppress(err.MySQLError):  # it has ended by itself
                await connection.execute(f"KILL {what} %s", thread)

    async def _lock(self, connection: Connection, key: bytes) -> None:
        await connection.execute(f"SELECT 1 FROM {self._database}.jobs WHERE id = %s FOR UPDATE", key)

    async def _tickr_waits(self) -> bool:
        async with self._pool.connection() as connection:
            ((_, waits),) = (await connection.execute("SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'")).rows
            return waits != b"0"


@asynccontextmanager
async def rival_of(url: str, gated: Gated, askers: Askers, fought_out: Counter[int]) -> AsyncIterator[Rival]:
    """A rival of the node whose store is at ``url``."""
    at = urlsplit(url)
    elsewhere = parse(urlunsplit(at._replace(path="/tickr")))
    async with trio.open_nursery() as nursery:
        pool = Pool(elsewhere, None, nursery)
        async with pool.connection() as connection:
            await connection.execute(f"CREATE TABLE {at.path.strip('/')}.heavy (n INT)")
        yield Rival(pool, at.path.strip("/"), gated, askers, fought_out)
        await pool.aclose()
