"""Asked: what only the store knows, asked when somebody scrapes, and at most once in ``FRESH_S``.

One question is under way at a time, in a task of its own, so that a store that hangs holds up no scrape for longer than
``WITHIN_S``, and many scrapes ask no more than one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import trio

from tickr.config import ROLES
from tickr.errors import StoreError
from tickr.meters import OTHER
from tickr.metrics.snapshot import Labels, Snapshot, Value
from tickr.names import is_queue
from tickr.store.contract import REMOTE, Node, QueueDepth, Store

FRESH_S = 1.0
"""For so long an answer of the store is told again, in seconds."""
WITHIN_S = 1.5
"""How long a scrape waits for the store, in seconds."""
COUNT_TO = 20_000
"""No state of a queue is counted further; a gauge that stands there says "so many or more"."""
MAX_QUEUES = 100
"""Queues with a label of their own, the first by name; the rest is ``other``."""

STORE_DOWN: Snapshot = {"tickr_store_up": {(): 0.0}}


class Asked:
    """What the store says. ``run`` must be running. State, its own: the last answer, and when it came."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._answer = STORE_DOWN
        self._at = -math.inf
        self._wanted, self._answered = trio.Event(), trio.Event()

    async def run(self) -> None:
        """Ask whenever somebody wants to know, until cancelled."""
        while True:
            await self._wanted.wait()
            self._answer = await self._ask()
            self._at = trio.current_time()
            self._wanted = trio.Event()  # who has asked meanwhile has this answer
            answered, self._answered = self._answered, trio.Event()
            answered.set()

    async def look(self) -> Snapshot:
        """Return what the store says; ``STORE_DOWN`` if it does not in time."""
        if trio.current_time() - self._at >= FRESH_S:
            self._wanted.set()
            with trio.move_on_after(WITHIN_S) as waiting:
                await self._answered.wait()
            if waiting.cancelled_caught:
                return STORE_DOWN
        return self._answer

    async def _ask(self) -> Snapshot:
        try:
            await self._store.ping()
            nodes = await self._store.nodes()
            depths = await self._store.queues(count_to=COUNT_TO)
        except StoreError:
            return STORE_DOWN
        now = self._store.now_us()
        return {"tickr_store_up": {(): 1.0}, **_of_nodes(nodes), **_of_queues(depths, now)}


def _of_nodes(nodes: Sequence[Node]) -> Snapshot:
    return {
        "tickr_cluster_nodes": {(role,): float(sum(role in node.roles for node in nodes)) for role in (*ROLES, REMOTE)}
    }


def _of_queues(depths: Sequence[QueueDepth], now: int) -> Snapshot:
    depths = sorted((depth for depth in depths if is_queue(depth.name)), key=lambda depth: depth.name)
    own, rest = depths[:MAX_QUEUES], depths[MAX_QUEUES:]
    named = {depth.name: [depth] for depth in own}
    if rest:
        named.setdefault(OTHER, []).extend(rest)  # there may be a queue of this very name
    found: Snapshot = {}
    for state in ("ready", "scheduled", "retrying", "running"):
        values: dict[Labels, Value] = {
            (name,): float(sum(getattr(one, state) for one in some)) for name, some in named.items()
        }
        found[f"tickr_queue_{state}_jobs"] = values
    found["tickr_queue_oldest_due_seconds"] = {(name,): _age_s(some, now) for name, some in named.items()}
    return found


def _age_s(depths: Sequence[QueueDepth], now: int) -> float:
    """Return for how long the oldest due job of these queues has waited, in seconds."""
    oldest = min((depth.oldest_due_at for depth in depths if depth.oldest_due_at is not None), default=now)
    return max(0.0, (now - oldest) / 1e6)
