"""Ends that handlers write: by the statement that they are given, on a connection of their own."""

from __future__ import annotations

from typing import Any

from tickr.jobs import Job
from tickr.reports import Outcome
from tickr.store.contract import Store
from tickr.store.ended import statement
from tickr.store.mysql import MysqlStore
from tickr.store.sqlite import SqliteStore


async def write_end(store: Store, job: Job, result: str | None = None) -> None:
    """Commit that the attempt which ``job`` is the claim of has ended. Raises: StoreError: it does not run any more."""
    sql, parameters = statement(store.name, job, result)
    await execute(store, sql, *parameters)


async def execute(store: Store, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Run one statement in a transaction of its own, past the contract."""
    if isinstance(store, SqliteStore):
        return await store._file.write(lambda db: db.execute(sql, parameters).fetchall())
    assert isinstance(store, MysqlStore)

    async def work(tx: Any) -> list[tuple[Any, ...]]:
        return list((await tx.run(sql, *parameters)).rows)

    return await store._transactions.run(work, within_s=10)


async def rows_of(store: Store) -> int:
    ((count,),) = await execute(store, "SELECT COUNT(*) FROM ended")
    return int(count)


def outcome(job: Job, kind: Any, **fields: Any) -> Outcome:
    """Return how a worker says that an attempt has ended whose handler was given the statement."""
    return Outcome(job=job, kind=kind, may_have_ended=True, **fields)
