"""What is asked of a store by those who look after nodes: one node, what all of them run, and orders.

Part of ``Store``; see ``store/contract`` for what holds for every method, and ``work.py`` for leases.
"""

from __future__ import annotations

from typing import Protocol

from tickr.store.node_answers import AtWork, Node
from tickr.store.orders import Order


class Nodes(Protocol):
    """Nodes as an operator sees them."""

    async def node(self, node_id: str) -> Node | None:
        """Return the row of a node; None: it has none, so it is not alive. One read by key."""
        ...

    async def at_work(self, limit: int, *, node: str | None = None) -> list[AtWork]:
        """Return up to ``limit`` jobs that run, those of ``node`` or of all. A read without locks.

        In order of queue, priority and ``run_at``; what a lost node ran is among them until it is taken back.
        """
        ...

    async def order_node(self, node_id: str, order: Order) -> Node:
        """Change the row of a node as ``order`` says (``orders.apply``), and tell of it.

        Asked again, nothing more happens. A node that has lost its lease has another row, and does not hear of it.
        Returns: the node after it. Raises: NodeNotFound, TakesNoOrders.
        """
        ...
