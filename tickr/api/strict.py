"""Strict JSON: what comes into the house is what every reader of it will understand the same way.

Parsers differ on duplicate keys, lone surrogates, NUL, NaN and byte order marks, databases refuse some of them, and
deep nesting breaks readers; so such a body is refused at the door, before anything is made of it. Pure and linear in
the size of the body; the largest body takes some tens of milliseconds. Only for a body that is refused is the place of
the fault looked for.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections import Counter

import msgspec

from tickr.api import places
from tickr.api.places import Step
from tickr.api.problems import Fault, Problem
from tickr.encoding import MAX_DEPTH

LARGE_BYTES = 64 * 1024
"""A body of so many bytes is looked at without the garbage collector in between."""

# Matches whole strings in linear time, but only in text known to be JSON: always checked after a parser has taken it.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHER = bytes(byte for byte in range(256) if byte not in b"[]{}")
_NOT_IN_JSON = frozenset({"NaN", "Infinity", "-Infinity"})

_SURROGATE = "holds half of a surrogate pair (\\ud800 to \\udfff); the other half must come right beside it"
_NUMBER = "is a number larger than a double can hold, or of too many digits"
_DEEP = f"is nested deeper than {MAX_DEPTH} levels"


def check(body: bytes) -> None:
    """Return if ``body`` is strict JSON of any kind. Raises: Problem (400) that says where the fault is."""
    if len(body) < LARGE_BYTES or not gc.isenabled():
        _check(body)
        return
    # A parser makes hundreds of thousands of objects of a large body, and the collector would look through all of them
    # again and again: that is nine tenths of the time for a body of empty arrays.
    gc.disable()
    try:
        _check(body)
    finally:
        gc.enable()


def _check(body: bytes) -> None:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _refused("invalid_utf8", f"is not UTF-8 at byte {error.start}, in line {line}") from None
    if not text or text.isspace():
        raise _refused("invalid_json", "is empty; JSON is needed")
    if text[0] == "\ufeff":
        raise _refused("byte_order_mark", "begins with a byte order mark; JSON has none (RFC 8259, 8.1)")
    _check_syntax(body, text)
    _check_depth(body, text)
    if "\\u0000" in text and _NUL.search(text):
        place = _place(text, lambda step: step.is_string and "\0" in step.text)
        raise _refused("nul_character", "holds the character NUL (\\u0000), which cannot be stored", place)
    _check_keys(text)


def _check_syntax(body: bytes, text: str) -> None:
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise _no_json(text, error) from None


def _check_depth(body: bytes, text: str) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    brackets = _STRING.sub(b"", body).translate(_BRACKETS, _OTHER)
    # Each round takes off the innermost level everywhere, at the speed of memory.
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
    if brackets:
        raise _refused("too_deep", _DEEP, _place(text, _is_too_deep))


def _check_keys(text: str) -> None:
    try:
        _read_pairs(text)
    except _Twice as twice:
        problem = f"comes twice in one object: the key {json.dumps(twice.name[:64])}"
        raise _refused("duplicate_key", problem, _place(text, lambda step: step.twice)) from None
    except ValueError as error:
        raise _no_json(text, error) from None


class _Twice(Exception):
    """An object has the key ``name`` more than once."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def _unique(pairs: list[tuple[str, object]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Twice(Counter(name for name, _ in pairs).most_common(1)[0][0])


_read_pairs = json.JSONDecoder(object_pairs_hook=_unique).decode


# -- only for what is refused ----------------------------------------------------------------------------------------


def _no_json(text: str, error: Exception) -> Problem:
    """Return what is wrong with ``text``, which made a parser raise ``error``: the first fault in it, in our words."""
    found = places.find(text, lambda step: _fault_of(step) is not None)
    if found and (fault := _fault_of(found[0])):
        return _refused(*fault, found[1])
    if isinstance(error, RecursionError):
        return _refused("too_deep", _DEEP)
    try:
        json.loads(text)
    except json.JSONDecodeError as wrong:
        return _refused("invalid_json", f"is no JSON at line {wrong.lineno}, column {wrong.colno}: {wrong.msg}")
    except RecursionError:
        return _refused("too_deep", _DEEP)
    except ValueError:
        return _refused("invalid_json", _NUMBER)
    # Python takes what the other does not: one of these, too far behind to be found by the walk.
    return _refused("invalid_json", "holds NaN, an infinity, half of a surrogate pair, or too large a number")


def _fault_of(step: Step) -> tuple[str, str] | None:
    """Return code and fault of a step that no strict JSON has; None for a good one."""
    if step.is_string:
        return ("invalid_json", _SURROGATE) if places.SURROGATE.search(step.text) else None
    if _is_too_deep(step):
        return "too_deep", _DEEP
    if step.text in _NOT_IN_JSON:
        return "invalid_json", f"is {step.text}, which JSON does not have"
    return ("invalid_json", _NUMBER) if _is_too_large(step.text) else None


def _is_too_deep(step: Step) -> bool:
    return step.depth > MAX_DEPTH


def _is_too_large(word: str) -> bool:
    if not word.lstrip("-").isdecimal():
        try:
            return word[-1].isdecimal() and math.isinf(float(word))
        except ValueError:
            return False  # no number at all
    try:
        int(word)
    except ValueError:
        return True  # more digits than Python reads
    return False


def _place(text: str, at_fault: places.AtFault) -> str:
    found = places.find(text, at_fault)
    return found[1] if found else ""


def _refused(code: str, fault: str, pointer: str = "") -> Problem:
    where = f"What is at {pointer}" if pointer else "The body"
    return Problem(400, code, f"{where} {fault}.", faults=[Fault(pointer, fault)])
