"""Values of a program → the JSON that says them, or the place of what JSON cannot say. Pure.

For submissions from Python, on either side of the wire; ``msgspec`` alone would write NaN and infinities as null.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

MAX_DEPTH = 64
"""JSON nested deeper than this is taken from nobody."""

_encode = msgspec.json.Encoder().encode


class Unencodable(Exception):
    """There is no JSON for a value. ``pointer`` (RFC 6901) says which, ``detail`` why not."""

    def __init__(self, pointer: str, detail: str) -> None:
        super().__init__(f"{pointer} {detail}".strip())
        self.pointer = pointer
        self.detail = detail


def encode(value: Any) -> bytes:
    """Return ``value`` as JSON. Raises: Unencodable, for the first thing in it for which there is none."""
    try:
        text = _encode(value)
        if b"null" in text:  # only such a text may hide what was no number
            _look_through(msgspec.to_builtins(value, enc_hook=_ready_made))
    except Unencodable:
        raise
    except Exception as error:  # encoding runs code of the values' own types
        _look_through(value)
        raise Unencodable("", _why(error)) from error
    return text


Kind = TypeVar("Kind")


def typed(value: Any, kind: type[Kind], what: str) -> Kind:
    """Return ``value``, which was read from JSON, as a ``kind``: what ``encode`` has made of one, made one again.

    Args:
      what: it is, for the error.
    Raises: ValueError: it is none; says where. TypeError: no ``kind`` can be made from JSON.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise ValueError(f"The {what} is no {getattr(kind, '__name__', kind)}: {error}") from None


def _ready_made(text: msgspec.Raw) -> None:
    """Stand in for JSON that was handed in as such: nothing of Python's is in it."""


def _look_through(value: Any, at: str = "", depth: int = 0) -> None:
    """Return if there is JSON for ``value``, which stands at the pointer ``at``. Raises: Unencodable."""
    if depth > MAX_DEPTH:
        raise Unencodable("", f"is nested deeper than {MAX_DEPTH} levels, or holds itself")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unencodable(at, f"is {value}, which JSON does not have")
    if not isinstance(value, dict | list | tuple):
        _try(value, at)
        return
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict):
            _try(name, at, "has a key that ")
        step = str(name).replace("~", "~0").replace("/", "~1")
        _look_through(member, f"{at}/{step}", depth + 1)


def _try(value: object, at: str, before: str = "") -> None:
    try:
        _encode(value)
    except UnicodeEncodeError:
        raise Unencodable(at, f"{before}holds half of a surrogate pair (\\ud800 to \\udfff)") from None
    except Exception as error:
        raise Unencodable(at, f"{before}{_why(error)}") from None


def _why(error: Exception) -> str:
    return f"cannot be written as JSON ({type(error).__name__}: {error})"[:300]
