"""From a URL to an open store: the one place that knows which adapters there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from tickr.errors import ConfigError
from tickr.store.contract import Clock, Store


@asynccontextmanager
async def open_store(url: str, *, clock: Clock | None = None, migrate: bool = False) -> AsyncIterator[Store]:
    """Open the store at ``url``: ``sqlite:///path``, ``mysql://user:pw@host:port/db`` or ``memory:``.

    Args:
      clock: what the time is, in place of the store's own; for tests.
      migrate: bring an older schema up to date; an empty database gets its tables without being asked.
    Raises: ConfigError: no such store; StoreUnavailable, SchemaMismatch: there is one, but it cannot be used.
    """
    async with _adapter(url, clock, migrate) as store:
        yield store


def _adapter(url: str, clock: Clock | None, migrate: bool) -> AbstractAsyncContextManager[Store]:
    # Imported when asked for: the embedded default does not load the MySQL driver, nor MySQL's users SQLite.
    scheme = url.partition(":")[0].lower()
    if scheme == "memory":
        from tickr.store.memory import open_memory

        return open_memory(clock=clock)
    if scheme == "sqlite":
        from tickr.store.sqlite import open_sqlite

        return open_sqlite(url, clock=clock, migrate=migrate)
    if scheme in ("mysql", "mariadb"):
        from tickr.store.mysql import open_mysql

        return open_mysql(url, clock=clock, migrate=migrate)
    known = "sqlite:///path, mysql://user:password@host:port/database, memory:"
    raise ConfigError([f"store: a URL that begins with {scheme[:20]!r} is none of {known}"])
