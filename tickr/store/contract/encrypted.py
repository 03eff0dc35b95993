"""What is asked of a store about encrypted jobs: which keys they need, and to have their texts written anew.

Part of ``Store``; see ``store/contract`` for what holds for every method. A store never sees a key, nor any text in the
clear: it knows the names of keys alone (``Extras.sealed``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tickr.store.sealed import KeyUses, Resealed


class Encrypted(Protocol):
    """Encrypted jobs, for the operator who changes keys."""

    async def key_uses(self, limit: int, after: str | None = None) -> KeyUses:
        """Look at up to ``limit`` (1..MAX_BATCH) jobs by id, those after ``after``; tell their keys and signatures."""
        ...

    async def reseal(self, jobs: Sequence[Resealed]) -> int:
        """Write the texts of jobs anew, as encrypted with another key: of each its payload, result, error and progress.

        No change of state: no event, and the version stays. A job that runs, or has moved on since it was read, is left
        as it is; it can be read again.

        Args:
          jobs: 1..MAX_BATCH, each with those of its attempts that tell an error.
        Returns: how many were written.
        """
        ...
