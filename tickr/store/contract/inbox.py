"""What is asked of a store about its inbox: a table into which other programs insert jobs, in their own transactions.

Rows come from outside, by plain SQL, and hold anything. Here they are looked at, and settled once it is known what
became of them. None of it locks a row that another program has inserted and not committed, or waits for one.
Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tickr.store.answers import InboxRow, RefusedRow


class Inbox(Protocol):
    """The inbox, by the numbers of its rows, which grow in the order in which a transaction inserts them."""

    async def inbox_rows(self, limit: int, *, max_bytes: int, max_row_bytes: int) -> list[InboxRow]:
        """Return the first rows that are committed and not refused, in the order of their numbers.

        Args:
          limit: at most so many, 1..MAX_BATCH.
          max_bytes: the page ends before the row that makes it longer, but for the first; >= 1.
          max_row_bytes: what is longer comes without its text, which is not read.
        Returns: an empty list only if there are none.
        """
        ...

    async def settle_inbox(self, taken: Sequence[int], refused: Mapping[int, str]) -> int:
        """Delete the rows ``taken``, and keep those of ``refused`` as refused for a reason, from now on.

        A row that is gone, or refused already, is passed over. Settled rows make no event.
        Args:
          taken, refused: together 1..MAX_BATCH.
        Returns: how many of ``taken`` were there.
        """
        ...

    async def inbox_refused(self, limit: int) -> list[RefusedRow]:
        """Return up to ``limit`` (1..MAX_BATCH) rows that were refused, those refused last first."""
        ...

    async def retry_inbox(self, seq: int) -> bool:
        """Have a row that was refused taken again. Returns: whether there was such a row."""
        ...

    async def drop_inbox(self, seq: int) -> bool:
        """Delete a row that was refused. Returns: whether there was such a row."""
        ...

    async def prune_inbox(self, before: int, limit: int) -> int:
        """Delete rows that were refused before the instant ``before`` (microseconds UTC), the oldest first.

        Args:
          limit: at most so many, 1..MAX_BATCH.
        Returns: how many were deleted.
        """
        ...
