"""Which schema a database has, seen from outside: for ``tickr migrate``, which says from where to where it goes.

Looks and changes nothing, not even in an empty database. The adapters do the migrating themselves when they are opened.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import trio
from trio_mysql import err

from tickr.store import migrate, mysql_address, mysql_errors, mysql_schema
from tickr.store.mysql_driver import Connection
from tickr.store.sqlite_errors import in_our_words

CONNECT_S = 5.0


class SchemaState(NamedTuple):
    """``have``: the schema's number, 0 for an empty database. ``lacking``: the steps that would be run, in order."""

    have: int
    lacking: list[migrate.Migration]

    @property
    def want(self) -> int:
        return self.lacking[-1].version if self.lacking else self.have


async def schema_state(url: str) -> SchemaState:
    """Look at the database at ``url``; a ``memory:`` store has no schema and lacks nothing.

    Raises: StoreUnavailable; SchemaMismatch: newer than this program, or not Tickr's; ConfigError.
    """
    if url.startswith("sqlite:///"):
        return await trio.to_thread.run_sync(_of_sqlite, Path(url.removeprefix("sqlite:///")))
    return await _of_mysql(url) if url.startswith("mysql://") else SchemaState(0, [])


def _of_sqlite(path: Path) -> SchemaState:
    tables: set[str] = set()
    applied: set[int] = set()
    if path.exists():
        with in_our_words(path), closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if "schema_version" in tables:
                applied = {version for (version,) in db.execute("SELECT version FROM schema_version")}
    return _state("sqlite", tables, applied)


async def _of_mysql(url: str) -> SchemaState:
    address = mysql_address.parse(url)
    connection = Connection(address, address.tls_context())
    applied: set[int] = set()
    try:
        await connection.open(CONNECT_S)
        tables = {(name or b"").decode() for (name,) in (await connection.execute(mysql_schema.TABLES)).rows}
        if "schema_version" in tables:
            applied = {int(version or 0) for (version,) in (await connection.execute(mysql_schema.APPLIED)).rows}
    except err.MySQLError as error:
        raise mysql_errors.for_caller(error, outcome_unknown=False) from error
    finally:
        connection.close()
    return _state("mysql", tables, applied)


def _state(dialect: str, tables: Collection[str], applied: Collection[int]) -> SchemaState:
    others = () if "schema_version" in tables else tables
    return SchemaState(max(applied, default=0), migrate.pending(dialect, applied, asked=True, other_tables=others))
