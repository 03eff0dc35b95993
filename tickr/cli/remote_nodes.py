"""The calls about nodes, as the commands make them on a running Tickr."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
from msgspec import Raw

from tickr.cli.exits import CONFLICT, NOT_FOUND, Exit
from tickr.cli.remote import Remote


class RemoteRunning(msgspec.Struct, frozen=True):
    """A job that a node runs."""

    id: str
    type: str
    queue: str
    attempt: int
    since: str | None = None
    cancelling: bool = False


class RemoteNode(msgspec.Struct, frozen=True):
    """A node as the API shows it; fields that a newer server adds are left aside."""

    id: str
    kind: str
    name: str
    pid: int | None
    version: str
    roles: list[str]
    types: list[str]
    slots: int
    state: str
    obeyed: bool
    lease: float
    lease_age: float
    running: int
    queues: list[str] = []
    started_at: str | None = None
    jobs: list[RemoteRunning] = []

    @property
    def called(self) -> str:
        """Return what people call it: ``HOST:PID``, or of a remote worker its name."""
        return self.name if self.pid is None else f"{self.name}:{self.pid}"


class NodeAnswer(msgspec.Struct, frozen=True):
    """A node and the bytes it came as."""

    node: RemoteNode
    raw: bytes


class RemoteFleet(msgspec.Struct, frozen=True):
    """All nodes. ``here``: the id of the one that answered; ``lost``: jobs whose node is gone."""

    nodes: list[NodeAnswer]
    here: str
    lost: int


class _Fleet(msgspec.Struct, frozen=True):
    items: list[Raw]
    here: str
    lost: int = 0


class RemoteNodes:
    """The nodes that ``remote`` knows. Every method raises ``Exit`` when the answer is no, or none comes."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def all(self) -> RemoteFleet:
        fleet, _ = self._remote.asked("GET", "/nodes", _Fleet)
        nodes = [NodeAnswer(self._remote.read(raw, RemoteNode), bytes(raw)) for raw in fleet.items]
        return RemoteFleet(nodes, fleet.here, fleet.lost)

    def get(self, name: str) -> NodeAnswer:
        return self._one("GET", name)

    def tell(self, name: str, order: str) -> NodeAnswer:
        """Have a node be ``quiet``, ``resume`` or ``stop``. Safe to repeat."""
        return self._one("POST", name, f"/{order}")

    def change(self, name: str, workers: int) -> NodeAnswer:
        """Have it run so many jobs at once. Safe to repeat."""
        return self._one("PATCH", name, body=msgspec.json.encode({"slots": workers}))

    def _one(self, method: str, name: str, action: str = "", body: bytes | None = None) -> NodeAnswer:
        path = f"/nodes/{quote(self._id(name), safe='')}{action}"
        return NodeAnswer(*self._remote.asked(method, path, RemoteNode, body=body))

    def _id(self, name: str) -> str:
        """Return the id of the node that is called so: by its id, the end of it, or HOST:PID."""
        if len(name) == 36 or name == "self":
            return name
        nodes = [one.node for one in self.all().nodes]
        found = [node for node in nodes if node.called == name] or [node for node in nodes if node.id.endswith(name)]
        if len(found) != 1:
            many = f"{len(found)} nodes are" if found else "No node is"
            raise Exit(f"{many} called {name}; `tickr nodes` lists them.", CONFLICT if found else NOT_FOUND)
        return found[0].id
