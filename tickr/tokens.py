"""Tokens: what a caller of the API shows, and what is kept of it. Pure.

The text of a token is ``tickr_<id>_<secret>``: its id, which is no secret and is shown to people, and 256 random bits.
Of these, the store has the SHA-256 alone. A plain hash is right here, without salt and without work factor: what slow
hashes make dear is to go through the passwords that people think of, and nobody goes through 2^256.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from typing import NamedTuple

from tickr.scopes import Scope

MAX_TOKENS = 1_000
"""Tokens that are kept; for one more the oldest of those that are over goes."""
ANYBODY, OWNER = "anybody", "TICKR_TOKEN"
"""What is said for a name of who asks without a token of the store; the trail has both kinds beside each other."""
NAME = rf"(?!(?:{ANYBODY}|{OWNER})$)[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,62}}[A-Za-z0-9])?"
"""A token's name, as a regular expression."""
NAME_RULE = (
    f"must be 1 to 64 letters, digits and . _ -, a letter or digit first and last, and neither {ANYBODY} nor {OWNER}"
)
MAX_LIFE_S = 10 * 365 * 86_400
ID = r"[0-9a-f]{16}"
PREFIX = "tickr_"

is_name = re.compile(NAME).fullmatch
_parts = re.compile(rf"{PREFIX}({ID})_([A-Za-z0-9_-]{{43}})").fullmatch


class Token(NamedTuple):
    """What is kept of a token; instants in microseconds UTC.

    Attributes:
      digest: SHA-256 of its secret.
      created_by: who made it, in words.
      used_at: when it was last seen, give or take a minute.
      old_digest: of the secret that it had before it was rotated; good until ``old_until``.
    """

    id: str
    name: str
    digest: bytes
    scopes: tuple[Scope, ...]
    created_at: int
    created_by: str
    expires_at: int | None = None
    used_at: int | None = None
    revoked_at: int | None = None
    old_digest: bytes | None = None
    old_until: int | None = None

    def lives(self, now: int) -> bool:
        """Whether it is good at all."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def takes(self, digest: bytes, now: int) -> bool:
        """Whether ``digest`` is of a secret of it that is good. Takes as long whatever the digest is."""
        is_new = hmac.compare_digest(digest, self.digest)
        is_old = hmac.compare_digest(digest, self.old_digest or bytes(32))
        return is_new or (is_old and self.old_until is not None and now < self.old_until)


class Kept(NamedTuple):
    """All tokens, by id, and a number that is another whenever one was made, rotated or revoked."""

    version: int
    tokens: dict[str, Token]


class Make(NamedTuple):
    """Make ``token``. Made already, it is answered as it is."""

    token: Token


class Rotate(NamedTuple):
    """Give a token another secret; the one it has stays good for ``grace_us``."""

    id: str
    digest: bytes
    grace_us: int


class Revoke(NamedTuple):
    """Have a token be good no longer, at once and for ever."""

    id: str


Change = Make | Rotate | Revoke


def made(name: str, scopes: Collection[Scope], *, now: int, by: str, expires_in_us: int | None) -> tuple[Token, str]:
    """Return a new token, and its text, which is nowhere else."""
    token_id, secret = new_id(), new_secret()
    expires_at = None if expires_in_us is None else now + expires_in_us
    in_order = tuple(scope for scope in Scope if scope in scopes)
    return Token(token_id, name, digest_of(secret), in_order, now, by, expires_at), text_of(token_id, secret)


def new_secret() -> str:
    return secrets.token_urlsafe(32)


def new_id() -> str:
    return secrets.token_hex(8)


def text_of(token_id: str, secret: str) -> str:
    """Return the token as its owner has it."""
    return f"{PREFIX}{token_id}_{secret}"


def parts_of(text: str) -> tuple[str, bytes] | None:
    """Return the id and the digest of the secret in a token's text; None if it is none of ours."""
    found = _parts(text)
    return (found[1], digest_of(found[2])) if found else None


def digest_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
