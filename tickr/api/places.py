"""Where in a body the fault is: the slow walk that is made only when a body is refused anyway.

Comes in: the text of a body, perhaps no JSON at all from some point on. Goes out: the JSON pointer (RFC 6901) of the
first step that is at fault. Pure; the walk is iterative, however deep the nesting, and ends after ``MAX_STEPS``, so
that no refusal holds up the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import NamedTuple

MAX_STEPS = 20_000
"""Strings, numbers, words and brackets looked at, some tens of milliseconds; what comes later is told without place."""
MAX_POINTER = 200
"""Characters of a pointer about; a longer one ends at the innermost container that it can name."""

SURROGATE = re.compile("[\ud800-\udfff]")
_TOKEN = re.compile(
    r'[ \t\n\r]*+(?:("[^"\\]*+(?:\\.[^"\\]*+)*+")(?:[ \t\n\r]*+(:))?|([\[{])|([\]}])|(,)|([^ \t\n\r"\[\]{},:]++))',
    re.DOTALL,
)


class Step(NamedTuple):
    """One string, key, number, word or opening bracket. ``text`` is a string's meaning, anything else as it stands."""

    text: str
    is_string: bool = False
    twice: bool = False
    depth: int = 0


AtFault = Callable[[Step], bool]


class _Container:
    """An array or object that is open, and the member of it that the walk is at. None: before an object's first."""

    def __init__(self, bracket: str) -> None:
        self.keys: set[str] | None = set() if bracket == "{" else None
        self.at: str | int | None = None if bracket == "{" else 0


def find(text: str, at_fault: AtFault) -> tuple[Step, str] | None:
    """Return the first step of ``text`` that is ``at_fault`` and the pointer to it; None if the walk meets none."""
    opened: list[_Container] = []
    position = 0
    for _ in range(MAX_STEPS):
        token = _TOKEN.match(text, position)
        if token is None:
            return None
        position = token.end()
        string, colon, opening, closing, comma, word = token.groups()
        inner = opened[-1] if opened else None
        if closing:
            if not opened:
                return None
            opened.pop()
            continue
        if comma:
            if inner and isinstance(inner.at, int):
                inner.at += 1
            continue
        if opening:
            step = Step(opening, depth=len(opened) + 1)
        elif string:
            step = _string(string, inner if colon else None)
        else:
            step = Step(word)
        if at_fault(step):
            return step, _pointer(opened)
        if opening:
            opened.append(_Container(opening))
    return None


def _string(token: str, owner: _Container | None) -> Step:
    """Return the step for a string, which is a key of ``owner`` if that is given and an object."""
    try:
        meaning = str(json.loads(token, strict=False))
    except ValueError:
        meaning = token[1:-1]
    if owner is None or owner.keys is None:
        return Step(meaning, is_string=True)
    twice = meaning in owner.keys
    owner.keys.add(meaning)
    owner.at = meaning
    return Step(meaning, is_string=True, twice=twice)


def _pointer(opened: list[_Container]) -> str:
    told = ""
    for container in opened:
        name = str(container.at)
        # A key that cannot be said, or is too long to be: then the object that has it is the place.
        if container.at is None or len(told) + len(name) > MAX_POINTER or "\0" in name or SURROGATE.search(name):
            break
        told += pointer(name)
    return told


def pointer(name: str) -> str:
    """Return the part of a JSON pointer (RFC 6901) that leads to the member ``name``."""
    return "/" + name.replace("~", "~0").replace("/", "~1")
