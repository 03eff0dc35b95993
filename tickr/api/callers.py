"""Callers: who asks, and what he may do; made by the guard for each request, and kept with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple, cast

from quart import Request

from tickr import tokens
from tickr.api.problems import Problem
from tickr.scopes import Scope

EVERYTHING = frozenset(Scope)

_KEY = "tickr.caller"


class Caller(NamedTuple):
    """Who asks.

    Attributes:
      who: name of the token; ``TICKR_TOKEN``; or ``anybody``, where nobody is asked for one.
      scopes: all of them for who has ``ADMIN``.
      token: id of the token, if it is kept in the store, and the digest of the secret it was shown with.
      expires_at: microseconds UTC, None: never.
    """

    who: str
    scopes: frozenset[Scope] = EVERYTHING
    token: tuple[str, bytes] | None = None
    expires_at: int | None = None

    def require(self, scope: Scope | None) -> None:
        """Return if that is among what he may do. Raises: Problem (403)."""
        if scope is None or scope in self.scopes:
            return
        has = ", ".join(shown(self.scopes)) or "none"
        raise Problem(
            403,
            "forbidden",
            f"This needs the scope {scope}; the token {self.who} has {has}.",
            headers={"WWW-Authenticate": f'Bearer realm="tickr", error="insufficient_scope", scope="{scope}"'},
            members={"needed": scope, "scopes": shown(self.scopes)},
        )


ANYBODY = Caller(tokens.ANYBODY)
OWNER = Caller(tokens.OWNER)


def shown(scopes: Collection[Scope]) -> list[Scope]:
    """Return scopes in the order they are declared in."""
    return [scope for scope in Scope if scope in scopes]


def all_of(scopes: Collection[Scope]) -> frozenset[Scope]:
    """Return ``scopes`` with what they imply."""
    return EVERYTHING if Scope.ADMIN in scopes else frozenset(scopes)


def keep_caller(scope: Any, caller: Caller) -> None:
    """Note who asks, in the ASGI scope of his request."""
    scope[_KEY] = caller


def caller_of(request: Request) -> Caller:
    """Return who asks; known for each request that the guard has let in."""
    return cast("Caller", cast("Any", request.scope)[_KEY])
