"""Tokens and the trail in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import trio

from tickr.store.contract import Clock
from tickr.store.token_changes import changed
from tickr.tokens import Change, Kept, Token
from tickr.trail import Ended, Entry


class MemoryAccess:
    """``Access`` of the contract. ``_tokens`` and ``_trail``: all there are, by id."""

    _clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self._tokens = Kept(0, {})
        self._trail: dict[str, Entry] = {}

    async def tokens(self, known: int | None = None) -> Kept | None:
        await trio.lowlevel.checkpoint()
        return None if known == self._tokens.version else Kept(self._tokens.version, dict(self._tokens.tokens))

    async def change_token(self, change: Change) -> Token:
        await trio.lowlevel.checkpoint()
        version, tokens = self._tokens
        token, gone = changed(change, tokens, self._clock())
        for one in gone:
            del tokens[one]
        tokens[token.id] = token
        self._tokens = Kept(version + 1, tokens)
        return token

    async def use_tokens(self, seen: Mapping[str, int]) -> None:
        await trio.lowlevel.checkpoint()
        tokens = self._tokens.tokens
        tokens.update({one: tokens[one]._replace(used_at=at) for one, at in seen.items() if one in tokens})

    async def write_trail(self, begun: Sequence[Entry], ended: Sequence[Ended]) -> None:
        await trio.lowlevel.checkpoint()
        for entry in begun:
            self._trail.setdefault(entry.id, entry)
        for id_, status, subject in ended:
            if id_ in self._trail:
                self._trail[id_] = self._trail[id_]._replace(status=status, subject=subject)

    async def trail(
        self, limit: int, *, who: str | None = None, subject: str | None = None, before: str | None = None
    ) -> list[Entry]:
        await trio.lowlevel.checkpoint()
        found = (
            self._trail[id_]
            for id_ in sorted(self._trail, reverse=True)
            if (before is None or id_ < before)
            and who in (None, self._trail[id_].who)
            and subject in (None, self._trail[id_].subject)
        )
        return list(islice(found, limit))

    async def prune_trail(self, before: int, limit: int) -> int:
        await trio.lowlevel.checkpoint()
        old = sorted((entry.at, entry.id) for entry in self._trail.values() if entry.at < before)[:limit]
        for _, id_ in old:
            del self._trail[id_]
        return len(old)
