"""Nodes: which are there, what they run, and what they are told to do. What may be asked about them, on both faces.

``NodeCalls`` is what is asked, as steps; ``Nodes`` and ``AsyncNodes`` have it done and are the attribute ``nodes`` of
the two clients. An order says how a node is to be, so what was not answered is asked again; but not of ``self``, as
another node may answer to that.
"""

from __future__ import annotations

import msgspec

from tickr.client.calls import Calls
from tickr.client.node_records import Fleet, Node
from tickr.client.paths import path
from tickr.client.steps import JSON, AsyncRun, Request, Run, Steps

NodeRef = str | Node
"""What names a node: its id, or a record of it."""
SELF = "self"
"""Names the node that answers."""


class NodeCalls:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self) -> Steps[Fleet]:
        return self._calls.asked(Request("GET", "/nodes"), Fleet)

    def get(self, node: NodeRef) -> Steps[Node]:
        return self._calls.asked(Request("GET", _path(node)), Node)

    def tell(self, node: NodeRef, order: str) -> Steps[Node]:
        return self._calls.asked(Request("POST", _path(node, f"/{order}")), Node, repeatable=node != SELF)

    def change(self, node: NodeRef, slots: int) -> Steps[Node]:
        body = msgspec.json.encode({"slots": slots})
        request = Request("PATCH", _path(node), body, headers=JSON)
        return self._calls.asked(request, Node, repeatable=node != SELF)


def _path(node: NodeRef, order: str = "") -> str:
    return path("nodes", node if isinstance(node, str) else node.id, order)


class Nodes:
    """``Client.nodes``. Every method raises ``ClientError``."""

    def __init__(self, run: Run, calls: Calls) -> None:
        self._run = run
        self._calls = NodeCalls(calls)

    def list(self) -> Fleet:
        """Return all live nodes, and the leases of remote workers."""
        return self._run(self._calls.list())

    def get(self, node: NodeRef) -> Node:
        return self._run(self._calls.get(node))

    def change(self, node: NodeRef, *, slots: int) -> Node:
        """Have it run so many jobs at once, until it is started anew."""
        return self._run(self._calls.change(node, slots))

    def quiet(self, node: NodeRef) -> Node:
        """Have it take nothing new. What it runs goes on."""
        return self._run(self._calls.tell(node, "quiet"))

    def resume(self, node: NodeRef) -> Node:
        """Have a quiet one take jobs again."""
        return self._run(self._calls.tell(node, "resume"))

    def stop(self, node: NodeRef) -> Node:
        """Have it end as after SIGTERM. There is no way back."""
        return self._run(self._calls.tell(node, "stop"))


class AsyncNodes:
    """``AsyncClient.nodes``; see ``Nodes``."""

    def __init__(self, run: AsyncRun, calls: Calls) -> None:
        self._run = run
        self._calls = NodeCalls(calls)

    async def list(self) -> Fleet:
        """Return all live nodes, and the leases of remote workers."""
        return await self._run(self._calls.list())

    async def get(self, node: NodeRef) -> Node:
        return await self._run(self._calls.get(node))

    async def change(self, node: NodeRef, *, slots: int) -> Node:
        """Have it run so many jobs at once, until it is started anew."""
        return await self._run(self._calls.change(node, slots))

    async def quiet(self, node: NodeRef) -> Node:
        """Have it take nothing new. What it runs goes on."""
        return await self._run(self._calls.tell(node, "quiet"))

    async def resume(self, node: NodeRef) -> Node:
        """Have a quiet one take jobs again."""
        return await self._run(self._calls.tell(node, "resume"))

    async def stop(self, node: NodeRef) -> Node:
        """Have it end as after SIGTERM. There is no way back."""
        return await self._run(self._calls.tell(node, "stop"))
