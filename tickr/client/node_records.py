"""What the client tells of nodes. All frozen; docs/nodes.md says what each field holds."""

from __future__ import annotations

from datetime import datetime

import msgspec


class RunningJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job that a node runs."""

    id: str
    type: str
    queue: str
    attempt: int
    since: datetime | None = None
    cancelling: bool


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A live node, or the lease of a remote worker. No ``queues``: all. ``lease`` and ``lease_age``: seconds."""

    id: str
    kind: str
    name: str
    pid: int | None = None
    version: str
    roles: list[str]
    types: list[str]
    queues: list[str]
    slots: int
    state: str
    obeyed: bool
    started_at: datetime | None = None
    lease: float
    lease_age: float
    running: int
    jobs: list[RunningJob]


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes. ``here``: the id of the one that answered. ``lost``: jobs that run on nodes that are gone.

    No running job is counted beyond ``counted_to``.
    """

    items: list[Node]
    here: str
    lost: int
    counted_to: int
