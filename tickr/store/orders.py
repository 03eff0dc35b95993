"""What a node is told to do by others, and what it says of it. Pure: no trio, no I/O, no clock.

An *order* is a wish that the store carries out on the node's row, in one transaction with its event; the node reads
its row (``tickr/orders.py``) and does as it says. ``changed`` on the row counts what was wished, ``obeyed`` is the
last count that the node has acted on: while they differ it has yet to hear.
"""

from __future__ import annotations

import msgspec

from tickr.errors import TakesNoOrders
from tickr.events import ThingEvent
from tickr.store.node_answers import Node

MAX_SLOTS = 10_000
"""How many jobs a node can be told to run at once."""


REMOTE = "remote"
"""The role of a row that is the lease of a remote worker: it hears nothing but the answers to its own calls."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One wish; what is None stays as it is.

    Attributes:
      quiet: take nothing new, or take it again.
      stop: end gracefully, as after SIGTERM. There is no way back.
      slots: how many jobs to run at once, 1..MAX_SLOTS.
      obeyed: said by the node itself: everything up to this ``changed`` is done. Makes no event.
    """

    quiet: bool | None = None
    stop: bool = False
    slots: int | None = None
    obeyed: int | None = None


class Summary(msgspec.Struct, frozen=True):
    """A node in its events."""

    id: str
    host: str
    pid: int
    version: str
    roles: tuple[str, ...]
    slots: int
    state: str


class _Data(msgspec.Struct, frozen=True):
    node: Summary


_encode = msgspec.json.Encoder().encode


def apply(node: Node, order: Order, now: int) -> tuple[Node, list[ThingEvent]]:
    """Return the node after ``order``, and what is told of it: nothing if it was so already.

    Raises: TakesNoOrders: the node runs no jobs, so it can only be stopped; or it is a remote worker.
    """
    told: list[ThingEvent] = []
    if REMOTE in node.roles:
        raise TakesNoOrders(node.id, f"{node.id} is the lease of a remote worker, which comes by itself.")
    if (order.quiet is not None or order.slots is not None) and not node.slots:
        raise TakesNoOrders(node.id, f"Node {node.id} runs no jobs: it has not the role worker.")
    if order.quiet is not None and order.quiet != node.quiet:
        node = _changed(node, told, "quieted" if order.quiet else "resumed", now, quiet=order.quiet)
    if order.slots is not None and order.slots != node.slots:
        node = _changed(node, told, "changed", now, slots=order.slots)
    if order.stop and not node.stopping:
        node = _changed(node, told, "stopping", now, stopping=True)
    if order.obeyed is not None and order.obeyed > node.obeyed:
        node = msgspec.structs.replace(node, obeyed=order.obeyed)
    return node, told


def _changed(node: Node, told: list[ThingEvent], what: str, now: int, **fields: bool | int) -> Node:
    node = msgspec.structs.replace(node, changed=node.changed + 1, **fields)
    data = _Data(Summary(node.id, node.host, node.pid, node.version, node.roles, node.slots, node.state))
    told.append(ThingEvent(f"node.{what}", now, node.id, str(node.changed), msgspec.Raw(_encode(data))))
    return node
