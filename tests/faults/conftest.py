"""A MySQL with little room, users whom its limits hold, and what has met this process's transactions."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from trio_mysql import err

from tests.conftest import OF_THE_SESSION, do_without
from tests.servers import MariaDB, missing_for_mysql, mysql_execute
from tickr.store import mysql_errors, mysql_transactions

CONNECTIONS = 24
"""How many ``small_server`` takes, one more for administrators not counted."""


@pytest.fixture(scope="session")
def small_server() -> Iterator[MariaDB]:
    """A MariaDB that takes few connections, for what nobody else on it would bear."""
    if missing := missing_for_mysql():
        do_without(missing)
    with MariaDB(options=[f"--max-connections={CONNECTIONS}"]) as started:
        OF_THE_SESSION.update(started.family)
        yield started


@pytest.fixture
def ordinary_url(small_server: MariaDB, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database on ``small_server`` for a user who may only use it: administrators are above some limits.

    The parameter, if there is one, is how many connections the user may have.
    """
    with ordinary_database(small_server.url, most=getattr(request, "param", 0)) as url:
        yield url
        small_server.execute("SET GLOBAL read_only=0")


@contextmanager
def ordinary_database(server_url: str, name: str | None = None, *, most: int = 0) -> Iterator[str]:
    """Make a database and an ordinary user of the same name, and return the URL; remove them afterwards."""
    name, at = name or f"t{uuid.uuid4().hex[:12]}", urlsplit(server_url)
    mysql_execute(
        server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4; CREATE USER {name} IDENTIFIED BY 'secret'"
    )
    try:
        mysql_execute(
            server_url, f"ALTER USER {name} WITH MAX_USER_CONNECTIONS {most}; GRANT ALL ON {name}.* TO {name}"
        )
        yield urlunsplit(at._replace(netloc=f"{name}:secret@{at.hostname}:{at.port}", path=f"/{name}"))
    finally:
        mysql_execute(server_url, f"DROP DATABASE {name}; DROP USER {name}")


def as_administrator(server: MariaDB, url: str) -> str:
    """Return the database of ``url`` for a user whom no limit holds."""
    return urlunsplit(urlsplit(server.url)._replace(path=urlsplit(url).path))


@pytest.fixture
def fought_out(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each error has met a transaction of this process so far, by number."""
    seen: Counter[int] = Counter()
    judge = mysql_transactions._worth_repeating

    def counted(error: err.MySQLError) -> bool:
        seen[mysql_errors.number(error)] += 1
        return judge(error)

    monkeypatch.setattr(mysql_transactions, "_worth_repeating", counted)
    return seen


@pytest.fixture(params=["sqlite", "mysql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, of each kind that outlives a process."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/tickr.db"
    return str(request.getfixturevalue("mysql_url"))
