"""The calls about tokens: made, listed, rotated and revoked under ``/tokens``; and ``GET /whoami``.

A token's text is told once, by the call that makes it. What holds of a change: on this node at once, on the others
after ``known_tokens.OLD_S`` at the latest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Response, request

from tickr import tokens
from tickr.api import incoming, wire
from tickr.api.callers import caller_of, shown
from tickr.api.context import Context
from tickr.api.known_tokens import KnownTokens
from tickr.api.problems import Fault, Problem
from tickr.api.submission import read_record, whole
from tickr.scopes import Scope
from tickr.store.contract import us_of
from tickr.tokens import MAX_LIFE_S, NAME_RULE, Make, Revoke, Rotate, Token

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/tokens"
MAX_GRACE_S = 30 * 86_400
GRACE_S = 3600.0
"""How long the old secret of a token stays good, in seconds, if nothing else is said."""

_is_id = re.compile(tokens.ID).fullmatch


class TokenBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token as it is asked for. ``expires_in``: seconds; None: it does not expire."""

    name: Annotated[str, whole(tokens.NAME)]
    scopes: Annotated[tuple[Scope, ...], Meta(min_length=1, max_length=len(Scope))]
    expires_in: Annotated[float, Meta(ge=1, le=MAX_LIFE_S)] | None = None


class RotateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``grace``: how long the old secret stays good, in seconds."""

    grace: Annotated[float, Meta(ge=0, le=MAX_GRACE_S)] = GRACE_S


RULES = {
    "name": NAME_RULE,
    "scopes": f"must be a list of {', '.join(Scope)}, at least one",
    "expires_in": f"must be a number of seconds, 1 to {MAX_LIFE_S}, or null",
    "grace": f"must be a number of seconds, 0 to {MAX_GRACE_S}",
}
"""What to say about a field that is wrong."""


class TokenDocument(msgspec.Struct, frozen=True):
    """A token; ``token`` is its text, told once. ``old_until``: up to then its secret from before is good."""

    id: str
    name: str
    prefix: str
    scopes: Sequence[Scope]
    state: str
    created_at: str | None
    created_by: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None
    old_until: str | None
    token: str | UnsetType = UNSET


class WhoDocument(msgspec.Struct, frozen=True):
    """Who asks. ``asked``: whether this Tickr asks for tokens at all."""

    who: str
    token: str | None
    scopes: Sequence[Scope]
    expires_at: str | None
    asked: bool


def token_document(token: Token, now: int, text: str | UnsetType = UNSET) -> TokenDocument:
    state = "revoked" if token.revoked_at is not None else "good" if token.lives(now) else "expired"
    return TokenDocument(
        token.id,
        token.name,
        f"{tokens.PREFIX}{token.id}",
        shown(token.scopes),
        state,
        wire.instant(token.created_at),
        token.created_by,
        wire.instant(token.expires_at),
        wire.instant(token.used_at),
        wire.instant(token.revoked_at),
        wire.instant(token.old_until),
        text,
    )


def add_routes(app: Edge, context: Context) -> None:
    routes = _Tokens(context, app.guard.known)
    app.add_call("GET", "/whoami", "whoami", routes.whoami, None)
    app.add_call("POST", PATH, "make_token", routes.make, Scope.ADMIN)
    app.add_call("GET", PATH, "tokens", routes.all, Scope.ADMIN)
    app.add_call("DELETE", f"{PATH}/<token_id>", "revoke_token", routes.revoke, Scope.ADMIN)
    app.add_call("POST", f"{PATH}/<token_id>/rotate", "rotate_token", routes.rotate, Scope.ADMIN)


class _Tokens:
    def __init__(self, context: Context, known: KnownTokens) -> None:
        self._store = context.store
        self._known = known
        self._asked = context.config.closed

    async def whoami(self) -> Response:
        incoming.known_query(request)
        caller = caller_of(request)
        told = WhoDocument(
            caller.who,
            caller.token and caller.token[0],
            shown(caller.scopes),
            wire.instant(caller.expires_at),
            self._asked,
        )
        return wire.json_response(wire.encode(told), headers={"Cache-Control": "no-store"})

    async def make(self) -> Response:
        said = read_record(incoming.json_body(await incoming.call_of(request)), TokenBody, RULES)
        token, text = tokens.made(
            said.name,
            said.scopes,
            now=self._store.now_us(),
            by=caller_of(request).who,
            expires_in_us=None if said.expires_in is None else us_of(said.expires_in),
        )
        return await self._changed(Make(token), 201, text)

    async def all(self) -> Response:
        incoming.known_query(request)
        found = await self._store.tokens()
        assert found is not None
        now = self._store.now_us()
        newest = sorted(found.tokens.values(), key=lambda token: (token.created_at, token.id), reverse=True)
        return wire.json_response(wire.encode({"items": [token_document(token, now) for token in newest]}))

    async def rotate(self, token_id: str) -> Response:
        incoming.known_query(request)
        said = await incoming.optional_body(request, RotateBody, RULES)
        name, secret = _checked(token_id), tokens.new_secret()
        change = Rotate(name, tokens.digest_of(secret), us_of(said.grace))
        return await self._changed(change, 200, tokens.text_of(name, secret))

    async def revoke(self, token_id: str) -> Response:
        incoming.known_query(request)
        await incoming.no_body(request)
        return await self._changed(Revoke(_checked(token_id)), 200)

    async def _changed(self, change: tokens.Change, status: int, text: str | UnsetType = UNSET) -> Response:
        token = await self._store.change_token(change)
        await self._known.read_anew()
        told = wire.encode(token_document(token, self._store.now_us(), text))
        headers = {"Cache-Control": "no-store"} | ({"location": f"{PATH}/{token.id}"} if status == 201 else {})
        return wire.json_response(told, status, headers)


def _checked(token_id: str) -> str:
    """Return a token's id out of a path. Raises: Problem (400)."""
    if not _is_id(token_id):
        raise Problem(400, "invalid_id", "This is not the id of a token.", faults=[Fault("/id", "is 16 hex digits")])
    return token_id
