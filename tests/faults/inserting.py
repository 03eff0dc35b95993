"""Another program that submits by SQL: rows in the inbox of a database, in one transaction, as it would insert them."""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Sequence
from contextlib import closing
from typing import Any, NamedTuple

from tests.faults.crash_stage import Stage
from tests.faults.history import Submission
from tests.faults.ledger import now_us
from tests.servers import mysql_execute

ROWS = 20
INSERTED = 100_000
"""The numbers in the payloads begin here, past those of what the client submits."""


class Row(NamedTuple):
    id: str
    job: str


def row(**job: Any) -> Row:
    return Row(str(uuid.uuid4()), json.dumps(job))


def insert(url: str, rows: Sequence[Row]) -> None:
    """Insert ``rows``, none of which has a quote or a backslash in it, in one transaction."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as db, db:
            db.executemany("INSERT INTO inbox (id, job) VALUES (?, ?)", rows)
    else:
        values = ", ".join(f"('{one.id}', '{one.job}')" for one in rows)
        mysql_execute(url, f"INSERT INTO inbox (id, job) VALUES {values}")


def inbox_of(url: str) -> list[str]:
    """Return the ids of the rows that are in it, refused or not."""
    sql = "SELECT id FROM inbox ORDER BY seq"
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as db:
            return [str(cell) for (cell,) in db.execute(sql)]
    return [cell for (cell,) in mysql_execute(url, sql)]


def insert_on(stage: Stage) -> None:
    """Insert jobs, which are promised from the moment at which the transaction is committed."""
    client, began = stage.client, now_us()
    first = INSERTED + len(client.answers)
    numbers = {row(type="quick", payload={"number": number}): number for number in range(first, first + ROWS)}
    insert(stage.backend.store, list(numbers))
    for one, number in numbers.items():
        client.answers[one.id] = Submission(
            *(one.id, number, "quick", began, now_us(), "ok", None),
            max_attempts=3,
            ends=("succeeded",),
            expires_in=None,
        )
