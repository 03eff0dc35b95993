"""A bounded set of connections. Comes in: one address. Goes out: connections that are clean, one borrower at a time.

A connection comes back only if its borrower left without an exception and nothing is open on it, neither a transaction
nor an answer; otherwise it is closed, and no object is connected twice. A statement whose borrower was cancelled is
killed on the server from the pool's own nursery, so that it does not go on holding locks for nobody.

State: ``_idle`` is the pool's alone; a borrowed connection is its borrower's.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from trio_mysql import err

from tickr.store import mysql_errors
from tickr.store.mysql_address import Address
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_values import number

DEFAULT_SIZE = 8
SILENT_S = 10
"""How long the server waits for a word from us before it closes a connection and undoes its transaction, in seconds.

A node that is frozen, or cut off without a farewell, keeps its row locks until then, and neither its jobs nor its own
row can be taken over; hence less than a lease.
"""
MAX_IDLE_S = 5.0
"""A connection that waited longer is closed rather than used: the server may be about to close it."""

KILL_WITHIN_S = 1.0
MAX_KILLS = 4
"""How many cancelled statements are killed at once; of more the server will learn when they end."""

LOCK_WAIT_S = 5
STATEMENT_S = 30
GROUP_CONCAT_BYTES = 64 * 1024 * 1024

_SESSION = (
    "SET autocommit=0, time_zone='+00:00', innodb_lock_wait_timeout=%s, lock_wait_timeout=%s, "
    "wait_timeout=%s, net_read_timeout=%s, net_write_timeout=%s, group_concat_max_len=%s, "
    "sql_mode='STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ZERO_DATE,NO_ZERO_IN_DATE,NO_ENGINE_SUBSTITUTION', "
)
# Of 1,000 values MariaDB would make a table to join with, and read all of jobs to do so.
MARIADB_SESSION = _SESSION + "tx_isolation='READ-COMMITTED', in_predicate_conversion_threshold=0, max_statement_time=%s"
# A skip scan (MySQL 8.0.13) walks over every queue where one range is meant: the square of the queues in `due_queues`.
MYSQL_SESSION = (
    _SESSION + "transaction_isolation='READ-COMMITTED', optimizer_switch='skip_scan=off', max_execution_time=%s"
)

MAX_PACKET = "SELECT @@max_allowed_packet"


class Pool:
    """Args:
    nursery: for what must outlive a cancelled borrower; its end is the pool's.
    size: how many connections there are at most; further borrowers wait their turn, in order.
    connect_within_s: bound of connect and login together, in seconds.
    """

    def __init__(
        self,
        address: Address,
        tls: ssl.SSLContext | None,
        nursery: trio.Nursery,
        *,
        size: int = DEFAULT_SIZE,
        connect_within_s: float = 3.0,
    ) -> None:
        self._address = address
        self._tls = tls
        self._nursery = nursery
        self._connect_within_s = connect_within_s
        self._turns = trio.Semaphore(size, max_value=size)
        self._idle: list[tuple[Connection, float]] = []
        self._kills = 0
        self._closed = False

    @property
    def use(self) -> tuple[int, int, int]:
        """How many connections are borrowed, how many may be, and how many borrowers wait."""
        most = self._turns.max_value
        assert most is not None, "it is given one"
        return most - self._turns.value, most, self._turns.statistics().tasks_waiting

    @asynccontextmanager
    async def connection(self, *, autocommit: bool = False) -> AsyncIterator[Connection]:
        """Borrow a connection, waiting for one if all are out.

        Args:
          autocommit: whether each statement is to be a transaction of its own.
        Raises: err.MySQLError: no connection could be made.
        Cancellation: the connection is closed, its statement killed.
        """
        async with self._turns:
            connection = self._take_idle(autocommit) or await self._open()
            try:
                if connection.get_autocommit() != autocommit:
                    await connection.execute("SET autocommit=%s", int(autocommit))
                yield connection
            except BaseException as error:
                self._throw_away(connection, kill=isinstance(error, trio.Cancelled))
                if mysql_errors.spoils(error):
                    self._distrust_idle()
                raise
            if self._closed or not connection.at_rest:
                self._throw_away(connection)
            else:
                self._idle.append((connection, trio.current_time()))

    def _take_idle(self, autocommit: bool) -> Connection | None:
        """Return the one used last, of those in the wanted mode if there is one: to change it takes a round trip."""
        oldest = trio.current_time() - MAX_IDLE_S
        for connection, since in list(self._idle):
            if since < oldest:
                self._idle.remove((connection, since))
                self._nursery.start_soon(self._part, connection)
        if not self._idle:
            return None
        at = max(range(len(self._idle)), key=lambda n: (self._idle[n][0].get_autocommit() == autocommit, n))
        return self._idle.pop(at)[0]

    def _distrust_idle(self) -> None:
        """What one connection met (a restart, a failover) the idle ones have probably met as well."""
        for connection, _ in self._idle:
            connection.close()
        self._idle.clear()

    async def _open(self) -> Connection:
        connection = Connection(self._address, self._tls)
        try:
            await connection.open(self._connect_within_s)
            limit = STATEMENT_S if connection.is_mariadb else STATEMENT_S * 1000
            settings = MARIADB_SESSION if connection.is_mariadb else MYSQL_SESSION
            waits = (LOCK_WAIT_S, LOCK_WAIT_S, SILENT_S, SILENT_S, SILENT_S)
            await connection.execute(settings, *waits, GROUP_CONCAT_BYTES, limit)
            ((packet,),) = (await connection.execute(MAX_PACKET)).rows
            connection.max_packet_bytes = number(packet)
        except BaseException:
            connection.close()
            raise
        return connection

    def _throw_away(self, connection: Connection, *, kill: bool = False) -> None:
        working = connection.busy
        connection.close()
        if kill and working and not self._closed and self._kills < MAX_KILLS:
            self._kills += 1
            self._nursery.start_soon(self._kill, connection.thread_id())

    async def _kill(self, thread_id: int) -> None:
        try:
            with trio.CancelScope(deadline=trio.current_time() + KILL_WITHIN_S, shield=True):
                messenger = Connection(self._address, self._tls)
                try:
                    await messenger.open(KILL_WITHIN_S)
                    await messenger.execute("KILL QUERY %s", thread_id)
                except err.MySQLError:
                    pass  # it has ended, or the server has
                finally:
                    messenger.close()
        finally:
            self._kills -= 1

    async def _part(self, *connections: Connection) -> None:
        """Say goodbye, so that the server need not log an aborted connection, and close."""
        try:
            with trio.CancelScope(deadline=trio.current_time() + KILL_WITHIN_S, shield=True):
                for connection in connections:
                    await connection.aclose()
        finally:
            for connection in connections:
                connection.close()

    async def aclose(self) -> None:
        """Close what is idle; what is borrowed is closed when it comes back. Cancellation: closed all the same."""
        self._closed = True
        idle, self._idle = self._idle, []
        await self._part(*(connection for connection, _ in idle))
