"""No statement on SQLite scans a table that grows: every statement that any method of the store runs, explained."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import trio

from tests.store import explained
from tests.store.explained import Asking
from tests.store.filled import fill
from tickr.store import sqlite_expiry, sqlite_feed, sqlite_lists, sqlite_schedules
from tickr.store.sqlite import open_sqlite

SCAN = re.compile(
    r"\bSCAN (jobs|attempts|events|unique_keys|expiries|schedules|inbox|checkpoints)\b"
    r"(?! USING (COVERING )?INDEX jobs_newest)"
).search
IN_ORDER = {sqlite_feed._ROWS, sqlite_feed._FRONT, sqlite_expiry._FIRST, sqlite_schedules._IS_FULL}
"""The log from its front, in the order of its own numbers, as far as the limit goes; what expires, likewise; the
schedules by name, as far as there may be any."""


@pytest.fixture
async def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """The file, and what was run on it, with the values written in."""
    monkeypatch.setattr(sqlite_lists, "FEW", explained.LOOK_AT)
    path = tmp_path / "tickr.db"
    now = await fill(f"sqlite:///{path}")
    found: list[str] = []
    await trio.to_thread.run_sync(fill_keys, path)
    async with open_sqlite(path) as store:
        db: sqlite3.Connection
        for db in store._file._all:
            db.set_trace_callback(found.append)
        asking = Asking(store, now)
        await asking.everything()
        for db in store._file._all:
            db.set_trace_callback(None)
    assert explained.unasked(asking.asked) == set()
    return path, found


def fill_keys(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(explained.KEYS_OF_ALL.replace("CONCAT('i:', HEX(id))", "'i:' || hex(id)"))


async def test_no_statement_scans_what_grows(run: tuple[Path, list[str]]) -> None:
    path, statements = run
    scans, seen = await trio.to_thread.run_sync(scanned, path, statements)
    assert not scans, "\n".join(scans)
    assert seen > 100


def scanned(path: Path, statements: list[str]) -> tuple[list[str], int]:
    """Return what scans, and how many steps were looked at. Whatever SQLite may know of the tables or not."""
    scans, seen = [], 0
    db = sqlite3.connect(path)
    try:
        for known in (False, True):
            if known:
                db.execute("ANALYZE")
            for sql in dict.fromkeys(statements):
                if not re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", sql):
                    continue
                for *_, step in db.execute("EXPLAIN QUERY PLAN " + sql):
                    seen += 1
                    if SCAN(step) and not any(same(sql, one) for one in IN_ORDER):
                        scans.append(f"{step}: {sql.strip()[:300]}")
    finally:
        db.close()
    return scans, seen


def same(sql: str, template: str) -> bool:
    """Return whether ``sql`` is ``template`` with values in place of its question marks."""
    return re.fullmatch(r"[^ ]+".join(map(re.escape, template.split("?"))), sql) is not None
