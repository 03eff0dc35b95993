"""Nodes in this process's memory, as an operator sees them: part of ``MemoryStore``."""

from __future__ import annotations

import heapq

import trio

from tickr import events
from tickr.errors import NodeNotFound
from tickr.jobs import WAITING, Job, State
from tickr.names import node_of_queue
from tickr.store import orders
from tickr.store.contract import Clock
from tickr.store.node_answers import AtWork, Node
from tickr.store.orders import Order


class MemoryNodes:
    """``Nodes`` of the contract, on dicts by id."""

    _clock: Clock
    _nodes: dict[str, Node]
    _by_state: dict[State, dict[str, Job]]
    _queues: set[str]

    def _tell(self, body: str, now: int) -> None:
        raise NotImplementedError

    def _abandoned(self) -> list[Job]:
        """Return what waits for nodes that are gone, and forget their queues when nothing is left in them."""
        gone = {name for name in self._queues if (node := node_of_queue(name)) is not None and node not in self._nodes}
        if not gone:
            return []
        left = [job for state in (*WAITING, State.BLOCKED, State.RUNNING) for job in self._by_state[state].values()]
        self._queues -= gone.difference(job.queue for job in left)
        return [job for job in left if job.queue in gone and job.state in WAITING]

    async def node(self, node_id: str) -> Node | None:
        await trio.lowlevel.checkpoint()
        return self._nodes.get(node_id)

    async def at_work(self, limit: int, *, node: str | None = None) -> list[AtWork]:
        await trio.lowlevel.checkpoint()
        running = (job for job in self._by_state[State.RUNNING].values() if node in (None, job.node))
        first = heapq.nsmallest(limit, running, key=lambda job: (job.queue, job.priority, job.run_at, job.id))
        return [
            AtWork(job.id, job.type, job.queue, job.attempt, job.started_at, job.node, job.cancel_requested)
            for job in first
        ]

    async def order_node(self, node_id: str, order: Order) -> Node:
        await trio.lowlevel.checkpoint()
        if node_id not in self._nodes:
            raise NodeNotFound(node_id)
        now = self._clock()
        self._nodes[node_id], told = orders.apply(self._nodes[node_id], order, now)
        if told:
            self._tell(events.encode(told), now)
        return self._nodes[node_id]
