"""Bringing a MySQL database to the schema this program needs.

``migrate.py`` decides which steps there are to run; here they are run, one process at a time (``GET_LOCK``). MySQL
commits each DDL statement by itself: a start that is cut in the middle is taken up again from its first step, and a
column or key it had added, or a column it had dropped, is passed over (MySQL has no ``ADD COLUMN IF NOT EXISTS``).
"""

from __future__ import annotations

from trio_mysql import err

from tickr.errors import StoreUnavailable
from tickr.store import mysql_errors
from tickr.store.contract import wall_clock
from tickr.store.migrate import VERSION_TABLE, Migration, pending
from tickr.store.mysql_driver import Connection
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_values import number, text

LOCK_WAIT_S = 20

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
APPLIED = "SELECT version FROM schema_version"
APPLY = "INSERT INTO schema_version (version, name, applied_at) VALUES (%s, %s, %s)"
LOCK = "SELECT GET_LOCK(CONCAT('tickr.', LEFT(SHA2(DATABASE(), 256), 40)), %s)"
UNLOCK = "SELECT RELEASE_LOCK(CONCAT('tickr.', LEFT(SHA2(DATABASE(), 256), 40)))"
PACKET = "SELECT @@max_allowed_packet"


async def bring_up(pool: Pool, *, asked: bool) -> int:
    """Make the schema the one this program needs, or refuse; return the server's ``max_allowed_packet`` in bytes.

    Raises: SchemaMismatch: older and not ``asked``, newer, or not Tickr's. StoreUnavailable.
    Cancellation: the steps that were due are all run again next time.
    """
    try:
        async with pool.connection() as connection:
            ((limit,),) = (await connection.execute(PACKET)).rows
            if await _pending(connection, asked=asked):
                await _migrate(connection, asked=asked)
            await connection.execute("COMMIT")
            return number(limit)
    except err.MySQLError as error:
        raise mysql_errors.for_caller(error, outcome_unknown=False) from error


async def _pending(connection: Connection, *, asked: bool) -> list[Migration]:
    tables = {text(name) for (name,) in (await connection.execute(TABLES)).rows}
    if "schema_version" not in tables:
        return pending("mysql", (), asked=asked, other_tables=tables)
    applied = {number(version) for (version,) in (await connection.execute(APPLIED)).rows}
    return pending("mysql", applied, asked=asked)


async def _migrate(connection: Connection, *, asked: bool) -> None:
    ((locked,),) = (await connection.execute(LOCK, LOCK_WAIT_S)).rows
    if locked != b"1":
        raise StoreUnavailable(f"Another process has been changing the schema for {LOCK_WAIT_S} s.")
    steps = await _pending(connection, asked=asked)  # the other process may just have done it
    await connection.execute(VERSION_TABLE)
    for step in steps:
        for statement in step.statements:
            try:
                await connection.execute(statement.replace("%", "%%"))
            except err.MySQLError as error:
                if not mysql_errors.is_there_already(error):
                    raise
    # All at once: a first start that was cut between two steps must not look like an older schema to the next.
    for step in steps:
        await connection.execute(APPLY, step.version, step.name, wall_clock())
    await connection.execute("COMMIT")
    await connection.execute(UNLOCK)
