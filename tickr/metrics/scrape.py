"""Scrape: what ``GET /metrics`` is answered with, by any process of a node for all of them.

What this process has done it knows; what the others have done stands on the board; what only the store knows is asked
of it, within bounds. Nobody who scrapes gets an error for what is away: that is what the figures are for.
"""

from __future__ import annotations

import sys
from dataclasses import replace

import trio

from tickr.api.context import Context, Scraped
from tickr.lease import Lease
from tickr.metrics import own
from tickr.metrics.asked import Asked
from tickr.metrics.board import Seat
from tickr.metrics.jobs import Tallied
from tickr.metrics.own import Parts
from tickr.metrics.process import Lag
from tickr.metrics.snapshot import Snapshot, decode, encode, joined, lasting
from tickr.scheduler.audit import Audit
from tickr.worker.worker import Worker

TELL_S = 1.0
"""How often a process tells the others what it has counted, in seconds."""


def measured(
    context: Context,
    lease: Lease,
    worker: Worker | None,
    audit: Audit | None,
    tallied: Tallied,
    seat: Seat | None,
    nursery: trio.Nursery,
) -> Context:
    """Return ``context`` with the metrics of the node whose parts these are; they are kept in ``nursery``."""
    seen = (context.store, context.index, lease, context.intake, context.feed, context.requests)
    metrics = Metrics(Parts(*seen, worker, audit, tallied, context.stopping.is_set), seat)
    nursery.start_soon(metrics.run)
    return replace(context, metrics=metrics.scrape)


class Metrics:
    """One for a process. ``run`` must be running while it is scraped.

    Args:
      seat: where the process leaves its figures for the others of its node; None: it is alone.
    """

    def __init__(self, parts: Parts, seat: Seat | None = None) -> None:
        self._parts = parts
        self._seat = seat
        self._asked = Asked(parts.store)
        self._lag = Lag()
        self._before = lasting(decode(seat.board.read(seat.place).text)) if seat else {}

    async def run(self) -> None:
        """Measure, ask and tell the others, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._asked.run)
            nursery.start_soon(self._lag.run)
            if self._seat:
                nursery.start_soon(self._tell, self._seat)

    async def _tell(self, seat: Seat) -> None:
        await loaded()
        while True:
            self._said(seat)
            await trio.sleep(TELL_S)

    async def scrape(self, accept: str) -> Scraped:
        """Return all metrics of the node in the format that ``accept`` asks for.

        Takes no longer than ``asked.WITHIN_S`` and what the writing takes. Cancellation: nothing has changed.
        """
        asked = await self._asked.look()
        await loaded()
        return await trio.to_thread.run_sync(_write, self._of_node() | asked, accept)

    def _of_node(self) -> Snapshot:
        if self._seat is None:
            return self._own()
        # First of all where the others read: what has been told once, none of them tells less of later.
        own = self._said(self._seat)
        board = self._seat.board
        others = [board.read(place) for place in range(board.places) if place != self._seat.place]
        return joined([own, *(decode(one.text) if one.lives else lasting(decode(one.text)) for one in others)])

    def _said(self, seat: Seat) -> Snapshot:
        now = joined([self._before, self._own()])
        seat.board.write(seat.place, encode(now))
        return now

    def _own(self) -> Snapshot:
        return own.snapshot(self._parts) | self._lag.snapshot()


async def loaded() -> None:
    """Have prometheus-client loaded, which takes a tenth of a second: not at the start, and not in the event loop."""
    if "tickr.metrics.exposition" not in sys.modules:
        await trio.to_thread.run_sync(load)


def load() -> None:
    import tickr.metrics.exposition  # noqa: F401


def _write(snapshot: Snapshot, accept: str) -> Scraped:
    from tickr.metrics.exposition import write

    return write(snapshot, accept)
