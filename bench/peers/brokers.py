"""The private servers that the peers work on, and what is asked of them between and after the rounds.

Each keeps its defaults, with full durability where it has any: PostgreSQL with ``synchronous_commit=on``, MariaDB with
``innodb_flush_log_at_trx_commit=1``. Redis saves nothing unless told to. All of them run for the whole time, empty but
for whose turn it is.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import redis

from bench.peers.postgres import Postgres
from tests.children import NotReady, free_port
from tests.servers import MariaDB, Redis

Server = Literal["redis", "postgres", "mariadb"]

MARIADB = ["--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M"]
"""MariaDB's own defaults, which the tests' server makes smaller."""


class Brokers:
    """The servers that are wanted, running. A context manager: leaving it stops them.

    Args:
      redis_fsync: "no", or the ``appendfsync`` of an append-only file: "everysec" or "always".

    Attributes:
      failed: why a server could not start, by its name; its peers cannot take part.
      folder: an empty folder for the one whose turn it is, for SQLite.
      port: a free port for the one whose turn it is, for HTTP.
      redis: a client for looking into Redis.
      postgres, mariadb: the servers; touch only those that run.
    """

    redis: redis.Redis
    postgres: Postgres
    mariadb: MariaDB
    redis_url = ""

    def __init__(self, servers: Iterable[Server], *, redis_fsync: str = "no") -> None:
        self._wanted = set(servers)
        self._redis_options = {} if redis_fsync == "no" else {"appendonly": "yes", "appendfsync": redis_fsync}
        self._pids: dict[Server, int] = {}
        self._opened = ExitStack()
        self.failed: dict[Server, str] = {}
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="tickr-peers-"))

    def __enter__(self) -> Self:
        self._opened.callback(shutil.rmtree, self.folder, ignore_errors=True)
        if server := self._start("redis", lambda: Redis(options=self._redis_options)):
            self.redis_url = server.url
            self.redis = self._opened.enter_context(server.client())
        if server := self._start("postgres", Postgres):
            self.postgres = server
        if server := self._start("mariadb", lambda: MariaDB(tls=False, options=MARIADB)):
            self.mariadb = server
        return self

    def _start(self, name: Server, make: Callable[[], Any]) -> Any:
        if name in self._wanted:
            try:
                server = self._opened.enter_context(make())
            except NotReady as refusal:
                self.failed[name] = str(refusal)
            else:
                self._pids[name] = server.pid
                return server
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._opened.close()

    def reset(self, servers: Sequence[Server]) -> None:
        """Empty these servers for the next round, and the folder."""
        if "redis" in servers:
            self.redis.flushall()
        if "postgres" in servers:
            self.postgres.reset()
        if "mariadb" in servers:
            self.mariadb.execute("DROP DATABASE tickr; CREATE DATABASE tickr CHARACTER SET utf8mb4")
        shutil.rmtree(self.folder)
        self.folder.mkdir()

    def pids(self, servers: Sequence[Server]) -> list[int]:
        return [self._pids[name] for name in servers]

    def versions(self) -> dict[str, str]:
        """Return the version of each server that runs."""
        asked: dict[Server, Callable[[], str]] = {
            "redis": lambda: str(self.redis.info("server")["redis_version"]),
            "postgres": lambda: self.postgres.execute("SHOW server_version", database="postgres").strip(),
            "mariadb": lambda: self.mariadb.execute("SELECT VERSION()")[0][0],
        }
        return {name: asked[name]() for name in self._pids}
