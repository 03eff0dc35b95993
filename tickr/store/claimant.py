"""Who claims. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple


class Claimant(NamedTuple):
    """Who claims, and what it may have: see ``Store.claim``."""

    node: str
    types: Collection[str]
    suspects: int | None
    keys: Collection[str] = ()
