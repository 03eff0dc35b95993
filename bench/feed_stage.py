"""The stage of a feed benchmark: private servers or given ones, the node, and the other processes round it.

Everything runs on this machine, each part in a process of its own. Who leaves the stage has stopped all of them.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from bench.feed_load import write
from bench.feed_node import run_node
from bench.feed_subscribers import subscribe
from tests.servers import MariaDB, Redis, mysql_execute

ANSWER_WITHIN_S = 120.0


class Remote:
    """A process that answers questions over a pipe. A context manager: leaving it stops the process."""

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=target, args=(theirs, *arguments), name=name, daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, *question: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        self.pipe.send(question[0] if len(question) == 1 else question)
        return self.answer(within_s=within_s)

    def answer(self, within_s: float = ANSWER_WITHIN_S) -> Any:
        """Return what it says next. Raises: RuntimeError: nothing, or it has ended."""
        if not self.pipe.poll(within_s):
            raise RuntimeError(f"{self.name} said nothing for {within_s:g} s")
        try:
            return self.pipe.recv()
        except EOFError:
            raise RuntimeError(f"{self.name} ended: see above") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pipe.close()
        self.process.join(15)
        if self.process.is_alive():
            self.process.terminate()
            self.process.join(15)


@dataclass
class Stage:
    """A node that serves, and where.

    Attributes:
      name: of the store and the index, as the files of figures say it.
      pid: of the node's process.
    """

    name: str
    store: str
    index: str
    node: Remote
    port: int
    pid: int
    _opened: ExitStack

    def remote(self, name: str, target: Callable[..., None], *arguments: Any) -> Remote:
        return self._opened.enter_context(Remote(name, target, *arguments))

    def another_node(self) -> int:
        """Start a node that serves the API alone, on the same store and index; return its port."""
        node = self.remote("another node", run_node, _settings(self.store, self.index, 1, "api"))
        port, _ = node.answer()
        return int(port)

    def subscribers(self) -> Remote:
        return self.remote("subscribers", subscribe)

    def writer(self) -> Remote:
        writer = self.remote("writer", write, self.store, self.index)
        writer.answer()
        return writer


@contextmanager
def stage(
    store: str | None, index: str | None, *, workers: int, roles: str = "api,scheduler,worker"
) -> Iterator[Stage]:
    """Set up a node on ``store`` and ``index``.

    Args:
      store: ``mysql`` for a private MariaDB, ``sqlite`` for a file, or the URL of an empty store.
      index: ``redis`` for a private Redis, or a URL. None is a private Redis with MySQL and the heap otherwise.
    """
    with ExitStack() as opened:
        of_mysql = store is None or store.startswith(("mysql", "mariadb"))
        store_url, what = _store(store or "mysql", opened)
        index_url = _index(index or ("redis" if of_mysql else "heap:"), opened)
        node = opened.enter_context(Remote("node", run_node, _settings(store_url, index_url, workers, roles)))
        port, pid = node.answer()
        name = f"{what}-{index_url.partition(':')[0]}"
        print(f"node {pid} on {name} at port {port}", file=sys.stderr)
        yield Stage(name, store_url, index_url, node, port, pid, opened)


def _settings(store: str, index: str, workers: int, roles: str) -> dict[str, Any]:
    return {"store": store, "index": index, "workers": workers, "roles": roles, "port": 0}


def _store(store: str, opened: ExitStack) -> tuple[str, str]:
    """Return (URL, what it is)."""
    if store == "sqlite":
        return f"sqlite:///{opened.enter_context(tempfile.TemporaryDirectory())}/tickr.db", "sqlite"
    if store == "mysql":
        store = opened.enter_context(MariaDB(tls=False)).url
    if store.startswith(("mysql:", "mariadb:")):
        ((version,),) = mysql_execute(store.partition("?")[0], "SELECT VERSION()")
        return store, "mariadb" if "MariaDB" in version else "mysql"
    return store, store.partition(":")[0]


def _index(index: str, opened: ExitStack) -> str:
    return opened.enter_context(Redis()).url if index == "redis" else index
