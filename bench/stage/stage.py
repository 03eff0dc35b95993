"""The stage: servers, places on them for nodes to work at, and the nodes. Whoever leaves it has stopped all of it.

Comes in: the flags that every command shares (``arguments``). Goes out: a ``Stage``, which hands out *places* (an empty
store with an index) and starts nodes, each ``tickr serve`` in a process of its own, or knows the node of ``--url``.
"""

from __future__ import annotations

import argparse
import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

from bench.load.address import Address
from bench.stage.remote import Remote
from tests.processes import TickrProcess
from tests.servers import MariaDB, Redis, mysql_execute

STOPS_WITHIN_S = 60.0
ALL = "api,scheduler,worker"
DURABILITY = "@@innodb_flush_log_at_trx_commit, @@sync_binlog, @@log_bin, @@innodb_buffer_pool_size"


def arguments(parser: argparse.ArgumentParser, *, url: bool = False, workers: int = 50) -> None:
    """Add the flags that say where a command takes place. ``url``: whether it can be a node that runs already."""
    parser.add_argument("--store", default="mysql", help="mysql (a private MariaDB), sqlite, or an empty store's URL")
    parser.add_argument("--index", help="redis (a private one), heap: or a URL; redis with MySQL, heap: with SQLite")
    parser.add_argument("--workers", type=int, default=workers, help="jobs at once in a node")
    parser.add_argument("--processes", type=int, default=1, help="of each node")
    parser.add_argument("--log-level", default="warning", help="of the node")
    parser.add_argument("--buffer-pool", default="1G", help="of the private MariaDB")
    parser.add_argument("--data", type=Path, help="a folder for the private MariaDB's data, which stays there")
    parser.add_argument("--binlog", action="store_true", help="private MariaDB with a binary log and sync_binlog=1")
    if url:
        parser.add_argument("--url", help="a Tickr that runs already; its token is taken from TICKR_TOKEN")


class Place(NamedTuple):
    """A store and an index for nodes to work on."""

    store: str
    index: str


class Node(NamedTuple):
    """A node that serves; ``pid`` is 0 for one that somebody else started, and ``place`` None."""

    address: Address
    pid: int
    place: Place | None
    process: TickrProcess | None = None


class Stage:
    """Made by ``open_stage``.

    Attributes:
      name: of store and index, as the files of figures say it; ``url`` for a node that runs already.
      outside: the URL of that node, or None.
    """

    def __init__(self, given: argparse.Namespace, opened: ExitStack) -> None:
        self._given = given
        self._opened = opened
        self._number = itertools.count(1)
        self._places: list[Place] = []
        self.outside: str | None = getattr(given, "url", None)
        self._mariadb: MariaDB | None = None
        self._redis: Redis | None = None
        self._folder: Path | None = None
        self.name = "url" if self.outside else self._open()

    def _open(self) -> str:
        store, index = self._given.store, self._given.index
        kind = store.partition(":")[0]
        if store == "mysql":
            options = [f"--innodb-buffer-pool-size={self._given.buffer_pool}", "--innodb-log-file-size=1G"]
            if self._given.binlog:
                options += ["--log-bin=binlog", "--sync-binlog=1", "--binlog-format=ROW", "--server-id=1"]
            self._mariadb = self._opened.enter_context(MariaDB(tls=False, options=options, data=self._given.data))
            if self._given.data:
                self._opened.callback(self._mariadb.shut_down)
            kind = "mariadb"
        elif store == "sqlite":
            self._folder = Path(self._opened.enter_context(tempfile.TemporaryDirectory(prefix="tickr-bench-")))
        elif kind not in ("mysql", "mariadb", "sqlite"):
            raise SystemExit(f"--store {store}: it must last, so mysql, sqlite or a URL of either")
        elif kind != "sqlite":
            kind = "mariadb" if "MariaDB" in _ask(store, "SELECT VERSION()")[0] else "mysql"
        index = index or ("redis" if kind in ("mysql", "mariadb") else "heap:")
        if index == "redis":
            self._redis = self._opened.enter_context(Redis())
        return f"{kind}-{index.partition(':')[0]}"

    # -- places -------------------------------------------------------------------------------------------------------

    @property
    def private(self) -> bool:
        """Whether there can be more places than one."""
        return self._mariadb is not None or self._folder is not None

    def place(self) -> Place:
        """Return a new place with nothing in it; where the store was given, that, once."""
        if self._places and not self.private:
            raise SystemExit("this takes several databases: only with --store mysql or --store sqlite")
        name = f"bench{next(self._number)}"
        store, index = self._given.store, self._given.index or ""
        if self._mariadb:
            self._mariadb.execute(f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4")
            store = urlunsplit(urlsplit(self._mariadb.url)._replace(path=f"/{name}"))
        elif self._folder:
            store = f"sqlite:///{self._folder}/{name}.db"
        if self._redis:
            index = f"{self._redis.url}?namespace={name}"
        self._places.append(Place(store, index or "heap:"))
        return self._places[-1]

    def clear(self, place: Place) -> None:
        """Give up a place whose nodes have stopped, with everything in it; one that was given stays as it is."""
        if self._mariadb:
            self._mariadb.execute(f"DROP DATABASE {urlsplit(place.store).path.strip('/')}")
        elif self._folder:
            for path in self._folder.glob(Path(place.store).name + "*"):
                path.unlink()
        if self._redis:
            self._redis.flush()  # a node that still works on another place finds out and fills its index again

    def delayed_in_index(self, place: Place) -> int | None:
        """Return how many jobs that are not due the private Redis holds for ``place``; None without one."""
        if not self._redis:
            return None
        with self._redis.client() as client:
            namespace = place.index.partition("namespace=")[2]
            return int(client.zcard(f"tickr:{{{namespace}}}:waiting"))

    # -- processes ----------------------------------------------------------------------------------------------------

    @contextmanager
    def node(
        self,
        place: Place | None = None,
        *,
        roles: str = ALL,
        app: str = "bench.noop:jobs",
        wait: bool = True,
        more: Sequence[str] = (),
    ) -> Iterator[Node]:
        """Start a node on ``place``, or a new one, and stop it gracefully in the end; or go to that of ``--url``.

        Args:
          wait: until it serves; otherwise it has just been started.
          more: flags for ``tickr serve``.
        """
        if self.outside:
            yield Node(Address.of(self.outside, os.environ.get("TICKR_TOKEN")), 0, None)
            return
        place = place or self.place()
        flags = ["--log-level", self._given.log_level, *more]
        if self._given.processes > 1:
            flags += ["--processes", str(self._given.processes)]
        process = TickrProcess(
            store=place.store, index=place.index, workers=self._given.workers, app=app, roles=roles, arguments=flags
        )
        try:
            process.start(wait=wait)
            yield Node(Address("127.0.0.1", process.port), process.pid, place, process)
            process.terminate()
            if process.wait(STOPS_WITHIN_S) != 0:
                raise RuntimeError(f"the node ended badly: {process.log[-2000:]}")
        finally:
            process.close()

    def remote(self, name: str, target: Callable[..., None], *arguments: Any) -> Remote:
        """Start another process, which lives as long as the stage."""
        return self._opened.enter_context(Remote(name, target, *arguments))

    def parties(self, node: Node | int, *load: Remote) -> dict[str, list[int]]:
        """Return who is charged for what: the server (``node`` or a pid), its private servers, the load."""
        pid = node if isinstance(node, int) else node.pid
        named = {
            "server": [pid] if pid else [],
            "database": [self._mariadb.pid] if self._mariadb else [],
            "redis": [self._redis.pid] if self._redis else [],
            "load": [one.pid for one in load],
        }
        return {name: pids for name, pids in named.items() if pids}

    # -- what it is ---------------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Return what the figures were made on, without passwords."""
        found: dict[str, Any] = {"name": self.name, "versions": {}}
        if self.outside:
            return found
        store = self._mariadb.url if self._mariadb else self._given.store
        if store.startswith(("mysql:", "mariadb:")):
            version, *durability = _ask(store, f"SELECT VERSION(), {DURABILITY}")
            found["versions"]["mariadb" if "MariaDB" in version else "mysql"] = version
            words = [word.strip("@ ") for word in DURABILITY.split(",")]
            found["database"] = dict(zip(words, durability, strict=True))
        if self._redis:
            with self._redis.client() as client, suppress(OSError):
                found["versions"]["redis_server"] = client.info("server")["redis_version"]
        return found


def _ask(url: str, sql: str) -> list[str]:
    return mysql_execute(url.partition("?")[0], sql)[0]


@contextmanager
def open_stage(given: argparse.Namespace) -> Iterator[Stage]:
    with ExitStack() as opened:
        yield Stage(given, opened)
