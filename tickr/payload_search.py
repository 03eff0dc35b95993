"""Searches in payloads: what may be asked, and whether a payload meets it. Pure.

A payload is looked into as the text that it is stored as, in Python and not by the databases: of these no two agree
about numbers, texts and missing keys. Of what is asked for by a path only that part is decoded, so whole numbers of any
size stay exact.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from decimal import Decimal, InvalidOperation

import msgspec
from msgspec import Raw

from tickr.envelopes import is_sealed
from tickr.errors import CannotOpen
from tickr.packing import unpacked

MAX_PATH_LENGTH, MAX_STEPS = 256, 16
MAX_VALUE_LENGTH = 1_024
MAX_CONDITIONS = 10
"""Paths with their values, and texts, that one filter may have in all."""

_encode, _decode = msgspec.json.encode, msgspec.json.decode
_decode_raw, _decode_object = msgspec.json.Decoder(Raw).decode, msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)

Scalar = tuple[str, object]
"""A kind and a value: a text, a number, or one of true, false and null."""


def is_path(text: str) -> bool:
    """Whether ``text`` is keys of objects and places in lists (from 0), joined by dots: ``order.items.0.sku``."""
    steps = text.split(".")
    return len(text) <= MAX_PATH_LENGTH and len(steps) <= MAX_STEPS and all(steps) and _is_text(text)


def is_value(text: str) -> bool:
    return len(text) <= MAX_VALUE_LENGTH and _is_text(text)


def is_part(text: str) -> bool:
    """Whether ``text`` can be looked for anywhere in a payload."""
    return bool(text) and is_value(text)


def _is_text(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def searcher(values: Iterable[tuple[str, str]], parts: Iterable[str]) -> Callable[[str], bool]:
    """Return what says whether a payload, JSON text, meets all that is asked for. One that is encrypted never does.

    Args:
      values: paths with what is to be there; of one path any of its values will do. A value stands for the text that
        it is, and for the number or word (``true``, ``false``, ``null``, or a text in quotes) that it is as JSON.
      parts: all of these occur somewhere in it.
    """
    wanted: dict[str, set[Scalar]] = {}
    for path, value in values:
        wanted.setdefault(path, set()).update(_meant(value))
    conditions = [(path.split("."), found) for path, found in wanted.items()]
    texts = tuple(parts)

    def meets(payload: str) -> bool:
        if is_sealed(payload):
            return False
        try:
            payload = unpacked(payload)
            has_all = _has_all(payload, texts)
            return has_all and all(_is_one_of(payload, steps, scalars) for steps, scalars in conditions)
        except (
            msgspec.DecodeError,
            CannotOpen,
        ):  # somebody else has written it, which must not keep others from theirs
            return False

    return meets


def _meant(value: str) -> set[Scalar]:
    """Return what a value may stand for."""
    meant: set[Scalar] = {("text", value)}
    try:
        raw = bytes(_decode_raw(value.encode())).strip()
    except msgspec.DecodeError:
        return meant
    scalar = _scalar(raw)
    return meant if scalar is None else {*meant, scalar}


def _is_one_of(payload: str, steps: Iterable[str], scalars: set[Scalar]) -> bool:
    raw = payload.encode()
    for step in steps:
        found = _step(raw, step)
        if found is None:
            return False
        raw = found
    return _scalar(raw) in scalars


def _step(raw: bytes, step: str) -> bytes | None:
    """Return what the object or list ``raw`` has under ``step``, or None."""
    raw = raw.strip()
    found: Raw | None = None
    if raw[:1] == b"{":
        found = _decode_object(raw).get(step)
    elif raw[:1] == b"[" and step.isascii() and step.isdecimal() and len(step) < 9:
        found = next(iter(_decode_list(raw)[int(step) :][:1]), None)
    return None if found is None else bytes(found)


def _scalar(raw: bytes) -> Scalar | None:
    """Return what ``raw``, JSON, is; None for an object, a list, and what is longer than any value can be."""
    raw = raw.strip()
    first = raw[:1]
    if first in (b"{", b"["):
        return None
    if first == b'"':
        return "text", _decode(raw, type=str)
    if first in (b"t", b"f", b"n"):
        return "word", raw
    if len(raw) > MAX_VALUE_LENGTH:
        return None
    try:
        return "number", Decimal(raw.decode())
    except InvalidOperation:  # an exponent beyond all numbers
        return "number", raw


def _has_all(payload: str, parts: Collection[str]) -> bool:
    if parts and "\\" in payload:
        payload = _STRING.sub(_unescaped, payload)
    return all(part in payload for part in parts)


def _unescaped(found: re.Match[str]) -> str:
    return f'"{_decode(found[0].encode(), type=str)}"' if "\\" in found[0] else found[0]
