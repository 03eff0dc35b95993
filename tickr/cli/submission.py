"""From the words of ``tickr submit`` to the body of ``POST /jobs``. Pure, but for reading the payload's file or stdin.

What is said here is only what the server could not know: that a word is no number, no instant, no JSON. What a job may
be is the server's to judge, and its sentences are shown as they come.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

import click
import msgspec
from msgspec import Raw

from tickr import values
from tickr.jobs import State
from tickr.keys import MAX_KEY_LENGTH

_is_pair = re.compile(r"([A-Za-z_][A-Za-z0-9_.-]*)(:?=)(.*)", re.DOTALL).fullmatch
_encode = msgspec.json.encode
KINDS = ("constant", "linear", "exponential")


def payload(words: Sequence[str]) -> Raw | None:
    """Return the payload as JSON text, exactly as given where it was JSON; None for no words.

    One word may be JSON, ``-`` (stdin) or ``@path``. Otherwise each is ``key=text`` or ``key:=JSON``: an object.
    Raises: click.BadParameter.
    """
    if not words:
        return None
    pairs = [_is_pair(word) for word in words]
    if all(pairs):
        return _object([(pair[1], pair[2], pair[3]) for pair in pairs if pair])
    if len(words) > 1:
        wrong = next(word for word, pair in zip(words, pairs, strict=True) if not pair)
        raise click.BadParameter(f"{wrong!r} is neither key=text nor key:=JSON. (Quote JSON as one word.)")
    (word,) = words
    if word == "-":
        return _json(sys.stdin.buffer.read(), "stdin")
    if word.startswith("@"):
        return _json(_file(word[1:]), word[1:])
    hint = " (Text goes as key=text, or in quotes of its own: '\"text\"'.)"
    return _json(word.encode(errors="surrogateescape"), repr(word), hint)


def _object(pairs: Sequence[tuple[str, str, str]]) -> Raw:
    found: dict[str, Any] = {}
    for key, sign, text in pairs:
        if key in found:
            raise click.BadParameter(f"{key} is given twice.")
        found[key] = _json(text.encode(errors="surrogateescape"), f"{key}:={text}") if sign == ":=" else text
    return Raw(_encoded(found))


def _file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise click.BadParameter(f"{path} cannot be read: {error.strerror or error}.") from None


def _json(text: bytes, origin: str, hint: str = "") -> Raw:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.BadParameter(f"{origin} is not JSON: {error}.{hint}") from None
    return Raw(text)


def body(fields: Mapping[str, object]) -> bytes:
    """Return the request's body; fields that are None or empty were not given."""
    return _encoded({name: value for name, value in fields.items() if value not in (None, {}, ())})


def _encoded(document: object) -> bytes:
    try:
        return _encode(document)
    except UnicodeEncodeError:
        raise click.BadParameter("an argument is not valid UTF-8.") from None


def labels(words: Sequence[str]) -> dict[str, str]:
    """Return the labels in words like ``customer=42``. Raises: click.BadParameter."""
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{word!r} is not like name=value.")
        found[name] = value
    return found


def unique(key: str | None, until: object, on_conflict: str | None) -> dict[str, object]:
    """Return the unique key that three flags describe; nothing if there is none. Raises: click.BadParameter."""
    more = {name: value for name, value in (("until", until), ("on_conflict", on_conflict)) if value is not None}
    if key is None and more:
        raise click.BadParameter("--unique-until and --on-conflict go with --unique-key.")
    return {} if key is None else {"key": key, **more}


def depends_on(ids: Sequence[str], on_failure: str | None) -> dict[str, object]:
    """Return the dependencies that two flags describe; nothing if there are none. Raises: click.BadParameter."""
    if on_failure is not None and not ids:
        raise click.BadParameter("--on-failure goes with --depends-on.")
    how = {} if on_failure is None else {"on_failure": on_failure}
    return {"jobs": [*ids], **how} if ids else {}


def until(text: str) -> object:
    """Return for how long a unique key is held: a word, or seconds. Raises: ValueError, with what would be right."""
    if text in ("final", "started"):
        return text
    try:
        return values.seconds(text)
    except ValueError as wrong:
        raise ValueError(f"must be final, started, or {str(wrong).removeprefix('must be ')}") from None


def idempotency_key(text: str) -> str:
    """Return ``text`` as the header has it. Raises: ValueError, with what would be right."""
    if not 1 <= len(text) <= MAX_KEY_LENGTH or not text.isascii() or not text.isprintable():
        raise ValueError(f"must be 1 to {MAX_KEY_LENGTH} printable ASCII characters")
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def backoff(text: str) -> object:
    """Return the back-off in ``KIND``, ``KIND:BASE`` or ``KIND:name=value,…``, durations in seconds or with a unit.

    Raises: ValueError, with what would be right.
    """
    wrong = ValueError("must be like exponential, constant:5s or exponential:base=10s,factor=2,cap=1h,jitter=0.1")
    kind, _, rest = text.partition(":")
    if kind not in KINDS:
        raise wrong
    found: dict[str, object] = {"kind": kind}
    for word in rest.split(",") if rest else ():
        name, equals, value = word.partition("=")
        if not equals:
            name, value = "base", word
        if name not in ("base", "factor", "cap", "jitter") or name in found:
            raise wrong
        found[name] = values.seconds(value)
    return found


def instant(text: str) -> str:
    """Return the instant in RFC 3339 UTC. Without an offset it is this machine's local time.

    Raises: ValueError, with what would be right.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("must be an instant like 2030-01-31T12:00:00Z, or 2030-01-31 12:00 in local time") from None
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def state(text: str) -> str:
    """Return the name of a state. Raises: ValueError, with those there are and the nearest."""
    if text in list(State):
        return text
    near = get_close_matches(text.lower(), list(State), n=1, cutoff=0.5)
    raise ValueError(f"must be one of {', '.join(State)}{f' (did you mean {near[0]}?)' if near else ''}")


class Read(click.ParamType[Any]):
    """A parameter read by one of the functions that raise ``ValueError("must …")``."""

    def __init__(self, read: Any, name: str) -> None:
        self._read = read
        self.name = name

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._read(value)
        except ValueError as wrong:
            self.fail(f"{wrong}, not {value!r}.", param, ctx)
