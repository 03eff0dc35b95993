"""The tokens of the store as this node knows them, so that no request waits for the store to be let in.

A copy of all of them (there are 1,000 at most), read anew while they are asked for. Nobody is let in by a copy older
than ``OLD_S``: for so long at most a token is good that was revoked by another node. A token that is not in the copy
may be a new one, so whoever shows it waits for the next reading, which all of them share: however many unknown tokens
come, the store is asked for one number a few times a second. While the store is away, tokens that were good stay so
for ``AWAY_S``; of one that is not known nothing can be said then.

State: the copy is written by ``run`` alone, ``_seen`` by whoever lets a token in and emptied by ``run``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import trio

from tickr.errors import Overloaded, StoreError, StoreUnavailable
from tickr.store.contract import Store
from tickr.tokens import Kept, Token

FRESH_S = 2.0
"""A copy older than that is read anew, once it is asked, in seconds."""
OLD_S = 5.0
"""Nobody is let in by a copy older than that while the store is there, in seconds."""
AWAY_S = 60.0
"""Nor by one older than that while it is not, in seconds."""
PAUSE_S = 0.25
"""Pause between two readings, in seconds."""
AGAIN_S = 1.0
"""For so long after a reading that failed nobody waits for another, in seconds."""
MOST_ASKING = 100
"""So many may wait to have a token looked up that is not known; those with tokens that are do not wait behind them."""
USED_EVERY_S = 60.0
"""Pause between two notes in the store of when tokens were seen, in seconds."""


class NotKnown(Exception):
    """Whether the token is good has to be asked."""


class KnownTokens:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept = Kept(-1, {})
        self._read_at = self._failed_at = float("-inf")
        self._error: StoreError | None = None
        self._wanted, self._next, self._changed = trio.Event(), trio.Event(), trio.Event()
        self._watchers = self._asking = 0
        self._seen: dict[str, int] = {}
        self._used = trio.Event()

    def find_nowait(self, token_id: str) -> Token:
        """Return the token, from the copy. Raises: NotKnown: it is not in there, or the copy is too old."""
        age = trio.current_time() - self._read_at
        if age > FRESH_S:
            self._wanted.set()
        token = self._kept.tokens.get(token_id)
        if token is None or age > (AWAY_S if self._error else OLD_S):
            raise NotKnown
        return token

    async def find(self, token_id: str) -> Token | None:
        """Return the token; None if there is none.

        Raises: StoreUnavailable: nobody can tell. Overloaded: too many ask for tokens that are not known.
        """
        try:
            return self.find_nowait(token_id)
        except NotKnown:
            if self._error is None or trio.current_time() - self._failed_at > AGAIN_S:
                await self._look(token_id)
        with contextlib.suppress(NotKnown):
            return self.find_nowait(token_id)
        if self._error is not None:
            raise StoreUnavailable(f"Whether this token is good is not known: {self._error}")
        return None

    async def _look(self, token_id: str) -> None:
        """Wait for the next reading, among at most ``MOST_ASKING`` whose tokens are not in a copy that is not old."""
        if trio.current_time() - self._read_at > OLD_S or token_id in self._kept.tokens:
            await self.read_anew()
            return
        if self._asking >= MOST_ASKING:
            raise Overloaded(f"{MOST_ASKING} requests with tokens that are not known wait to be looked up already.")
        self._asking += 1
        try:
            await self.read_anew()
        finally:
            self._asking -= 1

    async def read_anew(self) -> None:
        """Return after the next reading, well or not, of all that has happened until now."""
        reading = self._next
        self._wanted.set()
        await reading.wait()

    def saw(self, token_id: str, now: int) -> None:
        """Note that a token was used."""
        self._seen[token_id] = now
        self._used.set()

    async def wait_over(self, token_id: str, digest: bytes) -> None:
        """Return once a token that was good is not any more, with the secret that ``digest`` is of."""
        with self._watching():
            while (left_s := self._left_s(token_id, digest)) > 0:
                changed = self._changed
                with trio.CancelScope(deadline=trio.current_time() + left_s):
                    await changed.wait()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        self._watchers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._watchers -= 1

    def _left_s(self, token_id: str, digest: bytes) -> float:
        token, now = self._kept.tokens.get(token_id), self._store.now_us()
        if token is None or not token.lives(now) or not token.takes(digest, now):
            return 0.0
        ends = [token.expires_at, None if token.takes(digest, 2**62) else token.old_until]
        return min(((end - now) / 1_000_000 for end in ends if end is not None), default=float("inf"))

    # -- the tasks ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Read when it is wanted, and note what was seen, until cancelled. Cancellation: what was seen is forgotten."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._note_used)
            while True:
                await self._wait_wanted()
                self._wanted, done = trio.Event(), self._next
                self._next = trio.Event()
                await self._read()
                done.set()
                await trio.sleep(PAUSE_S)

    async def _wait_wanted(self) -> None:
        """Wait until somebody wants to know; while somebody watches, no longer than ``FRESH_S``."""
        if self._watchers:
            with trio.move_on_after(FRESH_S):
                await self._wanted.wait()
        else:
            await self._wanted.wait()

    async def _read(self) -> None:
        began = trio.current_time()
        try:
            kept = await self._store.tokens(self._kept.version)
        except StoreError as error:
            self._error, self._failed_at = error, trio.current_time()
            return
        self._error, self._read_at = None, began
        if kept is not None:
            self._kept = kept
            self._changed.set()
            self._changed = trio.Event()

    async def _note_used(self) -> None:
        while True:
            await self._used.wait()
            seen, self._seen, self._used = self._seen, {}, trio.Event()
            with contextlib.suppress(StoreError):  # it is for people to look at, and comes again
                await self._store.use_tokens(seen)
            await trio.sleep(USED_EVERY_S)
