"""Orders: what a node is told to do while it runs, from whichever node that is asked, and how it comes to do it.

Comes in: a wish for any live node (``give``). Goes out: its row in the store and a ring; the node that is meant reads
its row then, or when it looks by itself once a second, does as the row says, and writes down that it has (``obey``).
What a node is told by a signal (``tell_self``) goes the same way, and holds here at once.

State: what this node has obeyed last is written here only.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

import structlog
import trio

from tickr.bell import Bell, Ring
from tickr.errors import NodeNotFound, StoreUnavailable
from tickr.store.contract import Node, Store
from tickr.store.orders import Order

NET_S = 1.0
"""How long an order whose ring was lost may stay unheard, in seconds."""

log = structlog.get_logger("tickr.orders")


class Subject(Protocol):
    """The node that obeys; in ``service.py``."""

    @property
    def about(self) -> Node:
        """What it says of itself; its ``id`` is another one after each lease that was lost."""
        ...

    def set_quiet(self, quiet: bool) -> None:
        """Take nothing new from now on, or take it again. What runs goes on."""
        ...

    def set_slots(self, slots: int) -> None:
        """Run up to so many jobs at once from now on. What runs goes on, though it may be more."""
        ...

    def stop(self) -> None:
        """End gracefully; told again, nothing more happens."""
        ...


class Orders:
    """Gives orders to any node, and has one node obey.

    Args:
      stretch: how many times longer than ``NET_S`` a node waits that is told of everything.
    """

    def __init__(self, store: Store, bell: Bell, *, stretch: float = 1.0) -> None:
        self._store = store
        self._bell = bell
        self._net_s = NET_S * stretch

    async def give(self, node_id: str, order: Order) -> Node:
        """Have a node do something: in about a second, or as soon as it can be reached.

        Returns: the node as the store has it now. Raises: NodeNotFound, TakesNoOrders, StoreUnavailable.
        Cancellation: it may have been told or not; ask again.
        """
        node = await self._store.order_node(node_id, order)
        if node.changed != node.obeyed:
            log.info("node.ordered", node=node_id, state=node.state, slots=node.slots)
            await self._bell.ring(Ring("node", node=node_id))
        return node

    async def tell_self(self, subject: Subject, order: Order) -> None:
        """Have ``subject`` do something at once, and let the others know as soon as the store takes it."""
        _act(subject, order.quiet, order.slots, stop=order.stop)
        while True:
            with suppress(StoreUnavailable, NodeNotFound):
                await self.give(subject.about.id, order)
                return
            await trio.sleep(self._net_s)

    async def obey(self, subject: Subject) -> None:
        """Have ``subject`` do what it is told, until cancelled."""
        async with self._bell.listen("node") as rings:
            while True:
                with trio.move_on_after(self._net_s):
                    while (await rings.receive()).node != subject.about.id:
                        pass
                with suppress(StoreUnavailable, NodeNotFound):  # without a row it has lost its lease
                    await self._look(subject)

    async def _look(self, subject: Subject) -> None:
        node = await self._store.node(subject.about.id)
        if node is None or node.changed == node.obeyed:
            return
        log.info("node.obeys", node=node.id, state=node.state, slots=node.slots)
        _act(subject, node.quiet, node.slots, stop=node.stopping)
        await self._store.order_node(node.id, Order(obeyed=node.changed))


def _act(subject: Subject, quiet: bool | None, slots: int | None, *, stop: bool) -> None:
    about = subject.about
    if quiet is not None and quiet != about.quiet:
        subject.set_quiet(quiet)
    if slots is not None and slots != about.slots:
        subject.set_slots(slots)
    if stop:
        subject.stop()
