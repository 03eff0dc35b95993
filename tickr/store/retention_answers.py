"""What stores answer to retention. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Edge(NamedTuple):
    """The last of the jobs that are too many: when its last attempt was due (microseconds UTC), and its id."""

    run_at: int
    id: str


MAX_RANGES_COUNTED = 1_000
"""So many ranges (of one queue and priority) ``Store.last_beyond`` looks at."""


class Removed(NamedTuple):
    """What ``Store.remove_due`` did: how many jobs it deleted, and the place to go on from; None: that was all."""

    deleted: int
    place: tuple[int, str] | None
