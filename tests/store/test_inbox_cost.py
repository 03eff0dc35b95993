"""What the inbox costs where nobody uses it: one statement for a look, by an index, which reads an entry or none."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from tests.servers import mysql_execute
from tests.store.inboxed import put_rows
from tests.store.test_explain import Recorder, explaining, ways
from tickr.store.contract import Store
from tickr.store.mysql import open_mysql
from tickr.store.sqlite import open_sqlite
from tickr.store.sqlite_inbox import _FIRST

REFUSED, AT_ONCE = 5_000, 1_000
MUCH = 2**24


async def look(store: Store) -> int:
    return len(await store.inbox_rows(500, max_bytes=MUCH, max_row_bytes=MUCH))


async def refuse_many(store: Store) -> None:
    for _ in range(REFUSED // AT_ONCE):
        await store.settle_inbox([], dict.fromkeys(await put_rows(store, *["{}"] * AT_ONCE), "no"))


@pytest.mark.slow
@pytest.mark.parametrize("refused", [False, True])
async def test_mysql_a_look_in_vain_is_one_statement_that_reads_one_entry(
    refused: bool, mysql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(monkeypatch)
    async with open_mysql(mysql_url) as store:
        if refused:
            await refuse_many(store)
            await trio.to_thread.run_sync(mysql_execute, mysql_url, "ANALYZE TABLE inbox")
        await look(store)  # whoever opens a table first reads what the server knows of it
        recorder.on = True
        assert await look(store) == 0
        recorder.on = False
    (sent,) = recorder.sent
    assert sent.read <= 1
    async with explaining(mysql_url) as tx:
        assert await ways(tx, sent.sql, *sent.parameters) == [("inbox", "ref", "inbox_next")]


@pytest.mark.parametrize("refused", [False, True])
async def test_sqlite_a_look_in_vain_is_one_statement_by_the_index(refused: bool, tmp_path: Path) -> None:
    path = tmp_path / "tickr.db"
    run: list[str] = []
    async with open_sqlite(path) as store:
        if refused:
            await refuse_many(store)
        for db in store._file._all:
            db.set_trace_callback(run.append)
        assert await look(store) == 0
        for db in store._file._all:
            db.set_trace_callback(None)
    assert [sql.strip().partition(" ")[0] for sql in run if "inbox" in sql] == ["SELECT"]
    with closing(sqlite3.connect(path)) as db:
        plan = [step for *_, step in db.execute("EXPLAIN QUERY PLAN " + _FIRST, (500,))]
        assert plan == ["SEARCH inbox USING INDEX inbox_next (refused_at=?)"]
        # How far it goes: the instructions run, which grow by several for each row that is looked at.
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        db.set_progress_handler(count, 1)
        assert db.execute(_FIRST, (500,)).fetchall() == []
        assert steps < 50
