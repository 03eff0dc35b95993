"""What jobs cost a store besides time: bytes of logs, commits, and the room that they take afterwards.

Comes in: a place. Goes out: counters that only rise (``counters``), and the sizes of the tables (``sizes``), in bytes.
Of a server all of whose work is counted, so only a private one says much.
"""

from __future__ import annotations

from pathlib import Path

from bench.stage.stage import Place
from tests.servers import mysql_execute

COUNTERS = {
    "redo_bytes": "Innodb_os_log_written",
    "commits": "Com_commit",
    "binlog_bytes": "Binlog_bytes_written",  # MariaDB alone
    "received_bytes": "Bytes_received",
    "sent_bytes": "Bytes_sent",
}
TABLES = ("jobs", "events", "attempts")


def counters(place: Place) -> dict[str, int]:
    """Return the server's counters; empty for a store that has none."""
    if not _is_mysql(place):
        return {}
    found = dict(mysql_execute(_url(place), "SHOW GLOBAL STATUS"))
    return {name: int(found[variable]) for name, variable in COUNTERS.items() if variable in found}


def since(before: dict[str, int], place: Place) -> dict[str, int]:
    """Return what was added to ``before``."""
    return {name: after - before[name] for name, after in counters(place).items()}


def sizes(place: Place) -> dict[str, int]:
    """Return the bytes of each table with its indexes, as far as the server knows them; of SQLite the whole file's."""
    if not _is_mysql(place):
        path = place.store.removeprefix("sqlite:///")
        return {"file": sum(part.stat().st_size for part in Path(path).parent.glob(Path(path).name + "*"))}
    mysql_execute(_url(place), f"ANALYZE TABLE {', '.join(TABLES)}")
    names = ", ".join(f"'{name}'" for name in TABLES)
    asked = (
        "SELECT table_name, data_length + index_length FROM information_schema.tables WHERE table_schema = DATABASE()"
    )
    return {name: int(size) for name, size in mysql_execute(_url(place), f"{asked} AND table_name IN ({names})")}


def _is_mysql(place: Place) -> bool:
    return place.store.startswith(("mysql:", "mariadb:"))


def _url(place: Place) -> str:
    return place.store.partition("?")[0]
