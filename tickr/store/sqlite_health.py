"""What ``tickr doctor`` wants to know about a SQLite file. Reads only; no row of a table is looked at."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from tickr.store.contract import Check

LITTLE_SPACE_BYTES = 256 * 1024 * 1024
LARGE_LOG_BYTES = 256 * 1024 * 1024


def findings(db: sqlite3.Connection, path: Path, *, same_file: bool) -> list[Check]:
    """Return the checks of ``Store.diagnose`` for the open database ``db`` at ``path``."""
    return [_file(path, same_file), _schema(db), _durability(db), _space(path), _log(path)]


def _file(path: Path, same_file: bool) -> Check:
    if not same_file:
        advice = "Stop Tickr now and put the file back, or start it on another: what it writes now will be lost."
        return Check("file", "fail", f"{path} has been moved or deleted while it is open", advice)
    return Check("file", "ok", f"{path}, SQLite {sqlite3.sqlite_version}, {path.stat().st_size / 1e6:.1f} MB")


def _schema(db: sqlite3.Connection) -> Check:
    (version,) = db.execute("SELECT max(version) FROM schema_version").fetchone()
    return Check("schema", "ok", f"at version {version}")


def _durability(db: sqlite3.Connection) -> Check:
    (journal,), (synchronous,) = (
        db.execute("PRAGMA journal_mode").fetchone(),
        db.execute("PRAGMA synchronous").fetchone(),
    )
    if (journal, synchronous) == ("wal", 2):
        return Check("durability", "ok", "write-ahead log, synchronous at every commit")
    advice = "Some other program changed the file's journal mode; stop it and restart Tickr."
    return Check("durability", "fail", f"journal mode {journal}, synchronous {synchronous}", advice)


def _space(path: Path) -> Check:
    free = shutil.disk_usage(path.parent).free
    if free < LITTLE_SPACE_BYTES:
        return Check("space", "warn", f"{free / 1e6:.0f} MB free on the disk", "Make room before writes begin to fail.")
    return Check("space", "ok", f"{free / 1e9:.1f} GB free on the disk")


def _log(path: Path) -> Check:
    log = path.with_name(path.name + "-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > LARGE_LOG_BYTES:
        advice = "A reader that never ends (a forgotten sqlite3 shell, a backup) keeps it from being folded in."
        return Check("log", "warn", f"write-ahead log of {size / 1e6:.0f} MB", advice)
    return Check("log", "ok", f"write-ahead log of {size / 1e6:.1f} MB")
