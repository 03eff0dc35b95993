"""Who may ask: the bearer token, and guards against web pages that use somebody's browser to reach a local Tickr.

Looked at before anything else of a request; a refusal is a Problem. Without a token, a Tickr on loopback trusts every
program of this machine, but not every page in its browser: a page elsewhere may neither send changes (CSRF) nor reach
it under a name of its own (DNS rebinding), so the Host header must be a loopback name. What a GET answers such a page,
its browser keeps from it; of a websocket it does not, so none is opened for it.
"""

from __future__ import annotations

import hashlib
import hmac
import re

from quart import Request
from werkzeug.datastructures import Headers

from tickr.api import dashboard, description
from tickr.api.call import Call, Head
from tickr.api.problems import Problem
from tickr.config import Config
from tickr.values import is_loopback

OPEN_PATHS = frozenset({"/livez", "/readyz"})
"""Health is asked by machines without a token, under any name; it tells nothing about jobs."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_is_loopback_host = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?", re.IGNORECASE).fullmatch


def is_open(path: str) -> bool:
    """Whether a call needs no token: it tells nothing about jobs."""
    return path in OPEN_PATHS or path == description.PATH or dashboard.is_open(path)


class Guard:
    """Decides by the headers alone whether a request may go on."""

    def __init__(self, config: Config) -> None:
        self._digest = None if config.token is None else _digest(config.token.encode())
        self._loopback_names_only = config.token is None and is_loopback(config.host)

    def check(self, request: Request | Call) -> None:
        """Return if ``request`` may go on. Raises: Problem (401, 403 or 421)."""
        if request.path in OPEN_PATHS:
            return
        self._check_host(request.headers)
        if not is_open(request.path):
            self.check_token(request.headers)
        if request.method not in SAFE_METHODS:
            _check_same_site(request.headers, "change anything here")

    def check_handshake(self, headers: Headers | Head) -> None:
        """Return if a websocket may be opened, by someone who has not proven yet who they are (``check_token``).

        Raises: Problem (403 or 421).
        """
        self._check_host(headers)
        _check_same_site(headers, "open a websocket here")

    def check_token(self, headers: Headers | Head) -> None:
        """Return if the token is right, or none is needed. Raises: Problem (401)."""
        if self._digest is None:
            return
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            raise _unauthenticated("A bearer token is needed: Authorization: Bearer <token>.", "")
        # Digests, so that the time taken says nothing about the token, its length included.
        if not hmac.compare_digest(_digest(token.strip().encode("latin-1")), self._digest):
            raise _unauthenticated("This token is not valid.", ', error="invalid_token"')

    def _check_host(self, headers: Headers | Head) -> None:
        host = headers.get("Host", "")
        # Only a client that is no browser can leave the host out.
        if self._loopback_names_only and host and not _is_loopback_host(host):
            raise Problem(
                421,
                "unknown_host",
                "Without a token, Tickr on loopback answers only to localhost, 127.0.0.1 and [::1] as Host. "
                "Set TICKR_TOKEN to reach it under another name.",
            )


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


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
