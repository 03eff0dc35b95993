"""What a change of tokens does, computed from all that are kept. Pure; shared by all adapters."""

from __future__ import annotations

from collections.abc import Mapping

from tickr.errors import TokenExists, TokenNotFound, TokenOver, TooManyTokens
from tickr.tokens import MAX_TOKENS, Change, Make, Revoke, Rotate, Token


def changed(change: Change, tokens: Mapping[str, Token], now: int) -> tuple[Token, list[str]]:
    """Return the token as it is afterwards, and the ids of those that go for it.

    A change that was made already gives the token as it is. Raises: TokenError.
    """
    if isinstance(change, Make):
        return _made(change.token, tokens, now)
    token = tokens.get(change.id)
    if token is None:
        raise TokenNotFound(change.id)
    if isinstance(change, Revoke):
        return (token if token.revoked_at is not None else token._replace(revoked_at=now)), []
    return _rotated(change, token, now), []


def _made(token: Token, tokens: Mapping[str, Token], now: int) -> tuple[Token, list[str]]:
    if token.id in tokens:
        return tokens[token.id], []
    if any(one.name == token.name and one.lives(now) for one in tokens.values()):
        raise TokenExists(token.name)
    over = sorted((one for one in tokens.values() if not one.lives(now)), key=lambda one: (one.created_at, one.id))
    too_many = max(0, len(tokens) + 1 - MAX_TOKENS)
    if too_many > len(over):
        raise TooManyTokens(token.name, MAX_TOKENS)
    return token, [one.id for one in over[:too_many]]


def _rotated(change: Rotate, token: Token, now: int) -> Token:
    if not token.lives(now):
        raise TokenOver(token.id)
    if token.digest == change.digest:
        return token
    return token._replace(digest=change.digest, old_digest=token.digest, old_until=now + change.grace_us)
