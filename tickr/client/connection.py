"""What both faces tell httpx2, and what it tells them: whether a request that got no answer may have arrived."""

from __future__ import annotations

import zlib
from typing import Any

import httpx2

from tickr.client.address import Address
from tickr.client.steps import Lost, Request

CONNECT_S = 5.0
"""Longest time for a connection to be made, in seconds."""
CONNECTIONS = 100
"""Most connections of a client at once; each subscription to the feed has one."""
IDLE_CONNECTIONS = 10
IDLE_S = 20.0
"""An idle connection is closed after so many seconds: before the server does it, at 30."""
GZIP = 31
"""What zlib calls the gzip format, in its longest window."""

_SENDING = "http11.send_request_headers.started"
"""What httpx2 says when a request is about to leave."""


class Departure:
    """Notes whether one request has begun to leave: before that, it was surely not done. Written by httpx2's trace."""

    __slots__ = ("sent",)

    def __init__(self) -> None:
        self.sent = False

    def note(self, step: str, about: Any) -> None:
        self.sent |= step == _SENDING

    async def anote(self, step: str, about: Any) -> None:
        self.note(step, about)

    def lost(self, error: httpx2.RequestError) -> Lost:
        return Lost(f"{str(error) or 'no answer'} ({type(error).__name__})", self.sent)

    def too_late(self, within_s: float) -> Lost:
        return Lost(f"no answer within {within_s:.3g} s", self.sent, hurried=within_s < HURRY_S)


HURRY_S = 0.1
"""A try that had less time than this, in seconds, was cut off by the end of all tries."""


def options(address: Address) -> dict[str, Any]:
    """Return the arguments of a client of httpx2."""
    return {
        "auth": address.login,
        "headers": address.headers,
        "verify": address.verify,
        "trust_env": address.through_proxies,
        "limits": httpx2.Limits(
            max_connections=CONNECTIONS,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_S,
        ),
    }


def parts(url: str, request: Request, within_s: float, compress_above: int | None = None) -> dict[str, Any]:
    """Return the arguments of one request that no single wait of may take longer than ``within_s`` seconds.

    Args:
      compress_above: a longer body, in bytes, is sent compressed; None: none is.
    """
    body, headers = request.body, dict(request.headers)
    if body is not None and compress_above is not None and len(body) > compress_above:
        body, headers["Content-Encoding"] = zlib.compress(body, 1, wbits=GZIP), "gzip"
    return {
        "method": request.method,
        "url": url + request.path,
        "content": body,
        "params": dict(request.query) or None,
        "headers": headers,
        "timeout": httpx2.Timeout(within_s, connect=min(CONNECT_S, within_s)),
    }
