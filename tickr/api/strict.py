"""Strict JSON: what comes into the house is what every reader of it will understand the same way.

Parsers differ on duplicate keys, lone surrogates, NUL, NaN and byte order marks, databases refuse some of them, and
deep nesting breaks readers; so such a body is refused at the door, before anything is made of it. Pure and linear in
the size of the body; the largest body takes some tens of milliseconds.
"""

from __future__ import annotations

import json
import re
from collections import Counter

import msgspec

from tickr.api.problems import Problem

MAX_DEPTH = 64
"""How deep arrays and objects may be nested; deeper bodies are refused."""

# Matches whole strings in linear time, but only in text known to be JSON: always checked after a parser has taken it.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHER = bytes(byte for byte in range(256) if byte not in b"[]{}")


def check(body: bytes) -> None:
    """Return if ``body`` is strict JSON of any kind. Raises: Problem (400)."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _refused("invalid_utf8", f"The body is not UTF-8: see byte {error.start}.") from None
    if not text or text.isspace():
        raise _refused("invalid_json", "The body is empty; JSON is needed.")
    if text[0] == "\ufeff":
        raise _refused("byte_order_mark", "The body begins with a byte order mark; JSON has none (RFC 8259, 8.1).")
    _check_syntax(body)
    _check_depth(body)
    if "\\u0000" in text and _NUL.search(text):
        raise _refused("nul_character", "The character NUL (\\u0000) cannot be stored.")
    _check_keys(text)


def _check_syntax(body: bytes) -> None:
    try:
        msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except msgspec.DecodeError as error:
        hint = " A surrogate (\\ud800 to \\udfff) needs its other half." if _SURROGATE.search(body) else ""
        raise _refused("invalid_json", f"{error}.{hint}") from None


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _OTHER)
    # Each round takes off the innermost level everywhere, at the speed of memory.
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _too_deep()


def _check_keys(text: str) -> None:
    def unique(pairs: list[tuple[str, object]]) -> None:
        if len(dict(pairs)) != len(pairs):
            twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            raise _refused("duplicate_key", f"The key {json.dumps(twice[:64])} comes twice in one object.")

    try:
        json.loads(text, object_pairs_hook=unique)
    except ValueError as error:
        raise _refused("invalid_json", f"{error}.") from None


def _refused(code: str, detail: str) -> Problem:
    return Problem(400, code, detail)


def _too_deep() -> Problem:
    return _refused("too_deep", f"The body is nested deeper than {MAX_DEPTH} levels.")
