"""What is asked of a store about who may do what, and who did: tokens, and the trail of changes.

Part of ``Store``; see ``store/contract`` for what holds for every method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from tickr.tokens import Change, Kept, Token
from tickr.trail import Ended, Entry


class Access(Protocol):
    """Tokens and the trail."""

    async def tokens(self, known: int | None = None) -> Kept | None:
        """Return all tokens, at most ``tokens.MAX_TOKENS``; None if their version is ``known``, read alone then."""
        ...

    async def change_token(self, change: Change) -> Token:
        """Make, rotate or revoke a token, and return it as it is then.

        The names of tokens that are good are unique. Done twice, a change is done once.
        Raises: TokenExists, TooManyTokens (Make); TokenNotFound; TokenOver (Rotate): it is revoked or expired.
        """
        ...

    async def use_tokens(self, seen: Mapping[str, int]) -> None:
        """Note when tokens, by id, were last seen (microseconds UTC). The tokens' version stays."""
        ...

    # -- the trail ------------------------------------------------------------------------------------------------

    async def write_trail(self, begun: Sequence[Entry], ended: Sequence[Ended]) -> None:
        """Add ``begun``, and say of entries how they ended; each at most MAX_BATCH. Entries that are gone stay gone."""
        ...

    async def trail(
        self, limit: int, *, who: str | None = None, subject: str | None = None, before: str | None = None
    ) -> list[Entry]:
        """Return entries, the newest first, at most ``limit``, 1..MAX_BATCH.

        Args:
          who, subject: only those of just that. before: only those that come after the entry of that id, i.e. older.
        """
        ...

    async def prune_trail(self, before: int, limit: int) -> int:
        """Delete entries from before ``before`` (microseconds UTC), the oldest first, at most ``limit``.

        Returns: how many were deleted.
        """
        ...
