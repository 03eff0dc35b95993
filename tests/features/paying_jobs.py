"""A handler for the proof of ends that handlers write: it books a payment, and its process dies beside the COMMIT.

It works on the store's own database, SQLite by its library and MySQL by the command-line client of the server.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import tickr
from tests.servers import mysql_execute

VARIABLE = "STORE"
PAYMENTS = "CREATE TABLE IF NOT EXISTS payments (job VARCHAR(40), fence BIGINT)"

jobs = tickr.Jobs()


def on_database(url: str, *statements: tuple[str, Sequence[Any]]) -> list[Any]:
    """Run ``statements`` in one transaction and return the rows of the last."""
    if url.startswith("sqlite:///"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=30)) as db, db:
            return [db.execute(*one).fetchall() for one in statements][-1]
    texts = (sql % tuple(map(_literal, parameters)) for sql, parameters in statements)
    return mysql_execute(url, "; ".join(["START TRANSACTION", *texts, "COMMIT"]))


def _literal(value: str | int | None) -> str:
    return "NULL" if value is None else f"'{value}'"


def paid(url: str) -> list[tuple[str, int]]:
    return [(str(job), int(fence)) for job, fence in on_database(url, ("SELECT job, fence FROM payments", ()))]


@jobs.handler("pay")
def pay(job: tickr.Job, dies: str) -> dict[str, str]:
    url = os.environ[VARIABLE]
    if dies == "before" and job.fence == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    booked = (f"INSERT INTO payments VALUES ('{job.id}', {job.fence})", ())
    on_database(url, booked, job.end_statement({"receipt": job.id}))
    if dies == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    if dies == "raises":
        raise ValueError("behind the COMMIT")
    return {"receipt": job.id}
