"""What a MySQL store's pools look like from inside, and its server from outside, when nothing is at work."""

from __future__ import annotations

import uuid
from urllib.parse import urlsplit

import trio

from tests.servers import mysql_execute
from tickr.store.mysql import MysqlStore
from tickr.store.mysql_pool import Pool
from tickr.store.mysql_values import number, text


def pools_of(store: MysqlStore) -> list[Pool]:
    """Return the pool of a store, and that of its nodes."""
    return [run.__self__._pool for run in (store._run, store._run_node)]  # type: ignore[attr-defined]


async def assert_clean(pool: Pool) -> None:
    """Every turn is there; each idle connection is at rest, in the mode it is taken for, and answers what it is asked.

    An answer that was left unread would come first, a transaction left open would show in the answer's status.
    """
    assert pool._turns.value == pool._turns.max_value
    for connection, _ in list(pool._idle):
        assert connection.at_rest
        asked = uuid.uuid4().hex
        ((answer, mode),) = (await connection.execute("SELECT %s, @@autocommit", asked)).rows
        assert text(answer) == asked
        assert connection.at_rest
        assert bool(number(mode)) == connection.get_autocommit()


async def connections_to(url: str) -> int:
    """Return how many connections the server has on the database of ``url``."""
    query = f"SELECT COUNT(*) FROM information_schema.processlist WHERE db = '{urlsplit(url).path.strip('/')}'"
    at_root = urlsplit(url)._replace(path="").geturl()
    return int((await trio.to_thread.run_sync(mysql_execute, at_root, query))[0][0])
