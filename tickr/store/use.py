"""How a store's connections are in use: what ``Store.use`` returns. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Lane(NamedTuple):
    """Connections that are shared: ``busy`` of at most ``most``, and ``waiting`` callers whose turn has not come."""

    name: str
    busy: int
    most: int
    waiting: int


class StoreUse(NamedTuple):
    """Attributes:
    lanes: in the store's own order; none where there are no connections.
    repeated: how many transactions were begun again so far, after a deadlock or a lost connection.
    """

    lanes: tuple[Lane, ...] = ()
    repeated: int = 0
