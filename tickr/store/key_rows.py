"""A row of the table of keys, as all adapters have it. Pure; what rows mean is in ``keys.py`` and ``sequences.py``."""

from __future__ import annotations

from typing import NamedTuple

FIRST_LOOK_US = 3_600_000_000
"""When ``prune_keys`` looks first at a key that is held until its job is final; then after as long as it was kept."""


class Key(NamedTuple):
    """One row: what is kept under a name (``tickr/keys.py``). Instants in microseconds UTC.

    Attributes:
      job_id: the job that has the unique key, or that came of the request.
      expires_at: from then on the row stands for nothing; None: that is up to the job.
      digest: of the request; None for a unique key.
      made: whether the request made the job, or was told of one that was there.
    """

    name: str
    job_id: str
    created_at: int
    expires_at: int | None
    digest: bytes | None = None
    made: bool = True

    @property
    def look_at(self) -> int:
        """When ``prune_keys`` is to look at it."""
        return self.created_at + FIRST_LOOK_US if self.expires_at is None else self.expires_at
