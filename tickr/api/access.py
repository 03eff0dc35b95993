"""Who may ask: bearer tokens, and guards against web pages that use somebody's browser to reach a local Tickr.

Looked at before anything else of a request; a refusal is a Problem. ``TICKR_TOKEN`` may do everything, with nothing in
the store; tokens of the store what their scopes say. Where nobody is asked for one (on loopback, if nothing else is
said), a Tickr trusts every program of this machine, but not every page in its browser: a page elsewhere may neither
send changes (CSRF) nor reach it under a name of its own (DNS rebinding), so the Host header must be a loopback name.
What a GET answers such a page, its browser keeps from it; of a websocket it does not, so none is opened for it.

A token is in a header that no page can make a browser send by itself, never in a cookie or an address: so there is
nothing that another site could ride on, and no token against that.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from quart import Request
from werkzeug.datastructures import Headers

from tickr import tokens
from tickr.api import dashboard, description
from tickr.api.call import Call, Head
from tickr.api.callers import ANYBODY, OWNER, Caller, all_of
from tickr.api.known_tokens import KnownTokens
from tickr.api.problems import Problem
from tickr.config import Config
from tickr.store.contract import Store
from tickr.tokens import Token
from tickr.values import is_loopback

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Health is asked by machines without a token, under any name; it tells nothing about jobs."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Value = TypeVar("Value")

_is_loopback_host = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE).fullmatch


def is_open(path: str) -> bool:
    """Whether a call needs no token: it tells nothing about jobs."""
    return path in OPEN_PATHS or path == description.PATH or dashboard.is_open(path)


class Guard:
    """Decides by the headers alone whether a request may go on, and who asks.

    Attributes:
      known: the tokens of the store. Whoever serves the application runs it.
    """

    def __init__(self, config: Config, store: Store) -> None:
        self.known = KnownTokens(store)
        self._store = store
        self._closed = config.closed
        self._digest = None if config.token is None else _digest(config.token.encode())
        self._loopback_names_only = not config.closed and is_loopback(config.host)

    def admit_nowait(self, request: Request | Call) -> Caller:
        """Return who asks, if the request may go on. Raises: Problem (401, 403 or 421); NotKnown: ask ``admit``."""
        if self._check_way(request):
            return ANYBODY
        found = self._recognised(request.headers)
        if isinstance(found, Caller):
            return found
        return self._caller(self.known.find_nowait(found[0]), found[1])

    async def admit(self, request: Request) -> Caller:
        """Return who asks, if the request may go on. Raises: Problem; StoreUnavailable: nobody can tell."""
        return ANYBODY if self._check_way(request) else await self.recognise(request.headers)

    def check_handshake(self, headers: Headers | Head) -> None:
        """Return if a websocket may be opened, by someone who has not proven yet who they are (``recognise``).

        Raises: Problem (403 or 421).
        """
        self._check_host(headers)
        _check_same_site(headers, "open a websocket here")

    async def recognise(self, headers: Headers | Head) -> Caller:
        """Return whose token that is, or ANYBODY if none is needed. Raises: Problem (401); StoreUnavailable."""
        found = self._recognised(headers)
        if isinstance(found, Caller):
            return found
        return self._caller(await self.known.find(found[0]), found[1])

    async def wait_over(self, caller: Caller) -> Problem:
        """Return the refusal once ``caller``, who was let in, would not be any more."""
        assert caller.token is not None
        await self.known.wait_over(*caller.token)
        return _invalid("This token is not valid any more: it has expired, or was rotated or revoked.")

    async def while_good(self, caller: Caller, wait: Callable[[], Awaitable[Value]]) -> Value:
        """Return what ``wait`` does. It is cancelled once ``caller`` would not be let in any more.

        Raises: Problem (401); and what ``wait`` does.
        """
        if caller.token is None:
            return await wait()
        failure: Exception | None = None
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal failure
                failure = await self.wait_over(caller)
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            try:
                return await wait()
            except Exception as error:
                failure = error
            finally:
                nursery.cancel_scope.cancel()
        assert failure is not None
        try:
            raise failure
        finally:
            del failure  # a cycle of error, traceback and this frame, otherwise

    def _check_way(self, request: Request | Call) -> bool:
        """Check where a request comes from; return whether it goes to what is open to everybody. Raises: Problem."""
        if request.path in OPEN_PATHS:
            return True
        self._check_host(request.headers)
        if request.method not in SAFE_METHODS:
            _check_same_site(request.headers, "change anything here")
        return is_open(request.path)

    def _recognised(self, headers: Headers | Head) -> Caller | tuple[str, bytes]:
        """Return who asks; or the id of his token and the digest of its secret, to be looked for. Raises: Problem."""
        if not self._closed:
            return ANYBODY
        scheme, _, text = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthenticated("A bearer token is needed: Authorization: Bearer <token>.", "")
        text = text.strip()
        # Digests, so that the time taken says nothing about the token, its length included.
        if self._digest is not None and hmac.compare_digest(_digest(text.encode("latin-1")), self._digest):
            return OWNER
        parts = tokens.parts_of(text)
        if parts is None:
            raise _invalid("This token is not valid.")
        return parts

    def _caller(self, token: Token | None, digest: bytes) -> Caller:
        """Return who shows a secret of which this is the digest. Raises: Problem."""
        now = self._store.now_us()
        if token is None or not token.takes(digest, now):
            raise _invalid("This token is not valid.")
        if token.revoked_at is not None:
            raise _invalid("This token was revoked.")
        if not token.lives(now):
            raise _invalid("This token has expired.")
        self.known.saw(token.id, now)
        return Caller(token.name, all_of(token.scopes), (token.id, digest), token.expires_at)

    def _check_host(self, headers: Headers | Head) -> None:
        host = headers.get("Host", "")
        # Only a client that is no browser can leave the host out.
        if self._loopback_names_only and host and not _is_loopback_host(host):
            raise Problem(
                421,
                "unknown_host",
                "Without a token, Tickr on loopback answers only to localhost, 127.0.0.1 and [::1] as Host. "
                "To reach it under another name, have it ask for tokens: --require-token or TICKR_TOKEN.",
            )


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


def _invalid(detail: str) -> Problem:
    return _unauthenticated(detail, ', error="invalid_token"')


def _unauthenticated(detail: str, error: str) -> Problem:
    return Problem(401, "unauthenticated", detail, headers={"WWW-Authenticate": f'Bearer realm="tickr"{error}'})


def _check_same_site(headers: Headers | Head, what: str) -> None:
    fetch_site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if fetch_site is not None:
        foreign = fetch_site not in ("same-origin", "none")
    else:
        # A browser without Sec-Fetch-Site still sends Origin; what is no browser sends neither.
        foreign = origin is not None and origin.partition("://")[2].lower() != headers.get("Host", "").lower()
    if foreign:
        raise Problem(403, "cross_site", f"A web page of another site may not {what}.")
