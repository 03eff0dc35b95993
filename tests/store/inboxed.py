"""Rows in the inbox of any store, put there as other programs do: by plain SQL, in transactions of their own."""

from __future__ import annotations

import sqlite3

from tickr.store.contract import InboxRow, Store
from tickr.store.memory import MemoryStore
from tickr.store.mysql import MysqlStore
from tickr.store.mysql_transactions import Transaction
from tickr.store.sqlite import SqliteStore

MUCH = 2**22


async def put_rows(store: Store, *jobs: str) -> list[int]:
    """Insert ``jobs`` in one transaction and return the numbers of their rows."""
    if isinstance(store, MemoryStore):
        return [store.put_in_inbox(job.encode()) for job in jobs]
    if isinstance(store, SqliteStore):

        def insert(db: sqlite3.Connection) -> list[int]:
            inserted = [db.execute("INSERT INTO inbox (job) VALUES (?)", (job,)).lastrowid for job in jobs]
            return [seq for seq in inserted if seq is not None]

        return await store._file.write(insert)

    async def insert_all(tx: Transaction) -> list[int]:
        return [(await tx.run("INSERT INTO inbox (job) VALUES (%s)", job)).insert_id for job in jobs]

    assert isinstance(store, MysqlStore)
    return await store._transactions.run(insert_all, within_s=10)


async def rows_of(
    store: Store, limit: int = 1000, *, max_bytes: int = MUCH, max_row_bytes: int = MUCH
) -> list[InboxRow]:
    return await store.inbox_rows(limit, max_bytes=max_bytes, max_row_bytes=max_row_bytes)


async def texts_of(store: Store) -> list[str]:
    """Return the rows that wait, by their texts."""
    return [(row.job or b"").decode() for row in await rows_of(store)]
