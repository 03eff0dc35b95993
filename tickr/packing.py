"""Packing: long texts are stored compressed, if the configuration says so. Pure.

A text that is packed is no JSON, so nothing plain is ever taken for one:

    tickrz:<length of the text in bytes>:<base64 of its gzip form>

What is encrypted is compressed before, inside its envelope (``ciphers.py``). Who reads needs no configuration: whatever
is stored packed is unpacked wherever it is shown or run.
"""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from contextlib import suppress
from typing import overload

from tickr.errors import CannotOpen

PREFIX = "tickrz:"
MAX_BYTES = 256 * 1024 * 1024
"""Of a longer text nothing is packed, and nothing unpacked: somebody may have written it into the database."""

_LEVEL = 1
"""Twice as quick as zlib's own choice, and a tenth longer."""
_GZIP = 31
_MAGIC = b"\x1f\x8b"
"""How every gzip file begins, and no text in UTF-8 does."""


def packed(text: str, above: int | None) -> str:
    """Return what to store of ``text``: itself if it has ``above`` bytes or fewer, or would not become shorter.

    Args:
      above: None: nothing is packed.
    """
    if above is None or 4 * len(text) <= above or is_packed(text):  # a character has four bytes at most
        return text
    raw = text.encode()
    made = f"{PREFIX}{len(raw)}:{b64encode(pack(raw, above)).decode()}"
    return made if len(made) < len(raw) and len(raw) > above else text


def is_packed(text: str | None) -> bool:
    return text is not None and text.startswith(PREFIX)


@overload
def unpacked(text: str) -> str: ...
@overload
def unpacked(text: str | None) -> str | None: ...
def unpacked(text: str | None) -> str | None:
    """Return ``text`` as it was before it was packed; itself if it is not. Raises: CannotOpen: it was damaged."""
    if text is None or not is_packed(text):
        return text
    length = full_size(text)
    try:
        raw = unpack(b64decode(text.split(":", 2)[2], validate=True), length)
        if len(raw) == length:
            return raw.decode()
    except (ValueError, IndexError):
        pass
    raise _damaged()


def same(one: str, other: str) -> bool:
    """Whether two texts are the same, packed or not. What was damaged is like itself alone."""
    if one == other:
        return True
    with suppress(CannotOpen):
        return unpacked(one) == unpacked(other)
    return False


def full_size(text: str) -> int:
    """Return how long ``text`` was before it was packed, in bytes; how many characters it has, if it is not."""
    if not is_packed(text):
        return len(text)
    length = text.split(":", 2)[1]
    return int(length) if length.isdecimal() and len(length) < 12 else 0


def pack(raw: bytes, above: int | None) -> bytes:
    """Return ``raw``, or its gzip form if it has more than ``above`` bytes and becomes shorter by it."""
    if above is None or not above < len(raw) <= MAX_BYTES:
        return raw
    made = zlib.compress(raw, _LEVEL, _GZIP)
    return made if len(made) < len(raw) else raw


def unpack(raw: bytes, most: int = MAX_BYTES) -> bytes:
    """Return what ``pack`` was given, text in UTF-8. Raises: CannotOpen: it was damaged, or has more than ``most``."""
    if not raw.startswith(_MAGIC):
        return raw
    stream = zlib.decompressobj(_GZIP)
    try:
        text = stream.decompress(raw, min(most, MAX_BYTES) + 1)
    except zlib.error:
        raise _damaged() from None
    if not stream.eof or len(text) > most:
        raise _damaged()
    return text


def _damaged() -> CannotOpen:
    return CannotOpen("It was changed after it was stored compressed.", key="")
