"""Compressed bodies: unpacked while they arrive, so that no more is ever unpacked than a body may be long. Pure.

``direct.py`` and ``connection.py`` have every piece of a body go through here; what is behind them sees the body as it
was before somebody compressed it, and all bounds are bounds of that.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from tickr.api.problems import Problem, body_too_large

_WINDOWS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings that are taken (RFC 9110, 8.4.1), and what zlib calls them."""
TAKEN = "gzip, deflate"


class _Headers(Protocol):
    def get(self, name: str, default: str, /) -> str: ...


class Unpacking:
    """One compressed body on its way."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)
        self._packed_bytes = 0
        self._bytes = 0

    def feed(self, piece: bytes, most: int) -> bytes:
        """Return what ``piece`` holds. Raises: Problem (400: it is broken; 413: longer than ``most`` bytes).

        Of a body that is too long hardly more than ``most`` bytes were unpacked; it is over with it then.
        """
        self._packed_bytes += len(piece)
        if self._packed_bytes > most:  # nothing that is worth compressing; empty blocks without an end, perhaps
            raise body_too_large(most)
        pieces = []
        while piece:
            if self._stream.eof:  # gzip files may be put one behind the other (RFC 1952, 2.2)
                self._stream = zlib.decompressobj(self._window)
            try:
                pieces.append(self._stream.decompress(piece, most + 1 - self._bytes))
            except zlib.error:
                raise _broken() from None
            self._bytes += len(pieces[-1])
            if self._bytes > most:
                raise body_too_large(most)
            piece = self._stream.unused_data
        return b"".join(pieces)

    def end(self) -> None:
        """Return if the body is whole. Raises: Problem (400)."""
        if not self._stream.eof and self._packed_bytes:
            raise _broken()


def unpacking(headers: _Headers) -> Unpacking | None:
    """Return what unpacks a body with these headers; None if it is not compressed. Raises: Problem (415)."""
    coding = headers.get("content-encoding", "identity").strip().lower()
    if coding in ("identity", ""):
        return None
    window = _WINDOWS.get(coding)
    if window is None:
        detail = f"A body may be compressed by one of {TAKEN} (Content-Encoding), or not at all."
        raise Problem(415, "unsupported_encoding", detail, headers={"Accept-Encoding": TAKEN})
    return Unpacking(window)


def _broken() -> Problem:
    return Problem(400, "invalid_encoding", "The body is not compressed as Content-Encoding says, or not whole.")
