"""The stage of a feed benchmark: a node that notes its commits, and the other processes round it."""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bench.feed.load import write
from bench.feed.node import run_node
from bench.feed.subscribers import subscribe
from bench.stage.remote import Remote
from bench.stage.stage import ALL, Place, Stage, open_stage


class FeedStage:
    """A node that serves, and where.

    Attributes:
      port, pid: of the node.
    """

    def __init__(self, on: Stage, *, workers: int, roles: str) -> None:
        self._on = on
        self._place = on.place()
        self.node = on.remote("node", run_node, settings(self._place, workers, roles))
        self.port, self.pid = self.node.answer()

    def remote(self, name: str, target: Any, *arguments: Any) -> Remote:
        return self._on.remote(name, target, *arguments)

    def another_node(self) -> int:
        """Start a node that serves the API alone, on the same store and index; return its port."""
        port, _ = self.remote("another node", run_node, settings(self._place, 1, "api")).answer()
        return int(port)

    def subscribers(self) -> Remote:
        return self.remote("subscribers", subscribe)

    def writer(self) -> Remote:
        writer = self.remote("writer", write, *self._place)
        writer.answer()
        return writer

    def describe(self) -> dict[str, Any]:
        return self._on.describe()


@contextmanager
def feed_stage(given: argparse.Namespace, *, workers: int = 1, roles: str = ALL) -> Iterator[FeedStage]:
    with open_stage(given) as on:
        yield FeedStage(on, workers=workers, roles=roles)


def settings(place: Place, workers: int, roles: str) -> dict[str, Any]:
    return {"store": place.store, "index": place.index, "workers": workers, "roles": roles, "port": 0}


def arrivals(report: Mapping[str, Any]) -> Iterator[tuple[int, str, int]]:
    """Yield (subscriber, event id, arrival in ns) for everything that the subscribers of ``report`` got."""
    rows, ids = array("q"), report["ids"]
    rows.frombytes(report["arrived"])
    for at in range(0, len(rows), 4):
        subscriber, first, count, arrived = rows[at : at + 4]
        for number in range(first, first + count):
            yield subscriber, ids[number], arrived
