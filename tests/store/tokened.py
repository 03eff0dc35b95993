"""Tokens and entries of the trail, as the tests of stores put them there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import uuid_utils

from tests.store.backends import START
from tickr.scopes import Scope
from tickr.store.contract import Store
from tickr.tokens import Make, Revoke, Rotate, Token, digest_of, new_id, new_secret
from tickr.trail import Ended, Entry

if TYPE_CHECKING:
    from tests.store.explained import Asking


def a_token(name: str, **given: Any) -> Token:
    values: dict[str, Any] = {"scopes": (Scope.JOBS_READ,), "created_at": START, "created_by": "me"}
    return Token(**({"id": new_id(), "name": name, "digest": digest_of(new_secret())} | values | given))


def an_entry(number: int = 0, at: int = START) -> Entry:
    said = "127.0.0.1", "cancel", "POST", "/jobs/x/cancel"
    return Entry(str(uuid_utils.uuid7()), at, f"t{number % 3}", None, *said, f"s{number}")


async def ask_about_access(asking: Asking, store: Store, now: int) -> None:
    """A few tokens, one after the other; and many entries of the trail."""
    tokens = [a_token(f"t{n}") for n in range(3)]
    asking.asked.add("change_token")
    for change in (*map(Make, tokens), Rotate(tokens[0].id, bytes(32), 1), Revoke(tokens[1].id)):
        await store.change_token(change)
    await asking.tokens()
    await asking.use_tokens({token.id: now for token in tokens})
    entries = [an_entry(n % 7, now - n) for n in range(900)]
    for first in range(0, len(entries), 100):
        await asking.write_trail(entries[first : first + 100], [])
    await store.write_trail([], [Ended(entry.id, 200, entry.subject) for entry in entries[:3]])
    for who in (None, "t1"):
        for subject in (None, "s1"):
            await asking.trail(20, who=who, subject=subject, before=entries[-1].id)
    await asking.trail(20)
    for before in (now - 890, now):
        await asking.prune_trail(before, 20)
