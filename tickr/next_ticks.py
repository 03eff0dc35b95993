"""Functions that give a schedule its next tick: what they are known by, and what they are asked. Pure.

Such a function is the user's. It gets an instant and returns the first tick after it, or None if there is none; both
are aware. Nothing that it does wrong is an error here: it is told in words, which are kept with the schedule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache, partial
from hashlib import sha256
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from tickr.instants import EPOCH, datetime_of
from tickr.ticks import HORIZON_US, SECOND_US

NextTick = Callable[[datetime], datetime | None]

MAX_NAME = 200
MAX_FAULT = 300
"""Lengths in characters; longer ones are cut."""
MOST_ASKED = 1_000
"""Ticks that a function is asked for at a time."""
_DEPTH = 8

_Cached = type(cache(len))

_address = re.compile(r" at 0x[0-9a-fA-F]+")


# -- what it is known by ----------------------------------------------------------------------------------------------


def name_of(function: NextTick) -> str:
    """Return what a function is called: ``module.name``, or how an object shows itself."""
    if isinstance(function, partial):
        return name_of(function.func)
    name = getattr(function, "__qualname__", None)
    shown = f"{function.__module__}.{name}" if isinstance(name, str) else _shown(function)
    return shown[:MAX_NAME]


def code_of(function: NextTick) -> str:
    """Return a digest of what a function does, as far as it says so itself.

    That is its code, its defaults and what it has closed over. What it calls and what it reads elsewhere is not looked
    at; the same code compiled by another release of Python has another digest.
    """
    return sha256("\n".join(_said(function, _DEPTH)).encode(errors="backslashreplace")).hexdigest()[:16]


def _said(value: object, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    parts: list[Any] | None = None
    if isinstance(value, partial):
        parts = [value.func, value.args, value.keywords]
    elif isinstance(value, _Cached):
        parts = [value.__wrapped__]
    elif isinstance(value, MethodType):
        parts = [value.__func__, value.__self__]
    elif isinstance(value, FunctionType):
        parts = [value.__code__, value.__defaults__, value.__kwdefaults__, *map(_content, value.__closure__ or ())]
    elif isinstance(value, CodeType):
        parts = [value.co_code, value.co_names, value.co_consts]
    elif isinstance(value, (set, frozenset)):
        parts = sorted(map(_shown, value))  # whose order is another one in each process
    elif isinstance(value, (tuple, list)):
        parts = list(value)
    elif isinstance(value, dict):
        parts = list(value.items())
    if parts is None:
        yield _shown(value)
        return
    yield f"{type(value).__name__} {len(parts)}"
    for part in parts:
        yield from _said(part, depth - 1)


def _content(cell: Any) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # empty as yet
        return None


def _shown(value: object) -> str:
    try:
        return _clean(_address.sub("", repr(value)))
    except Exception:
        return type(value).__qualname__


def _clean(words: str) -> str:
    """Return ``words`` as every store takes them: lone surrogates can not be encoded, and some dislike NUL."""
    return words.encode(errors="backslashreplace").decode().replace("\0", "?")


# -- what it is asked -------------------------------------------------------------------------------------------------


class Walked(NamedTuple):
    """What a function has told: ticks in order, whether there are no more after them, or what was wrong then."""

    ticks: list[int]
    no_more: bool = False
    fault: str | None = None


def walk(
    function: NextTick,
    zone: ZoneInfo | None,
    after: int,
    *,
    now: int,
    wanted: int,
    end_at: int | None = None,
    enough: Callable[[], bool] = lambda: False,
) -> Walked:
    """Ask ``function`` for tick after tick, until ``wanted`` of them are after ``now``. Never raises.

    Args:
      zone: in which the instants are that it gets; None: UTC.
      after: the first tick is asked for after this instant.
      end_at: nobody wants ticks after the first one that is later.
      enough: asked after each tick; if it says so, this returns with what there is.
    """
    ticks: list[int] = []
    at, ahead = after, 0
    while ahead < wanted and len(ticks) < MOST_ASKED and (end_at is None or at <= end_at):
        try:
            answer = function(datetime_of(at).astimezone(zone or UTC))
            tick = None if answer is None else _micros(answer)
        except _NoInstant as error:
            return Walked(ticks, fault=str(error))
        except BaseException as error:  # it runs in a thread, and whatever it does is no reason to end the node
            return Walked(ticks, fault=_raised(error))
        if tick is None or tick > at + HORIZON_US:
            return Walked(ticks, no_more=True)
        if tick <= at or (ticks and tick < at + SECOND_US):
            least = "later" if tick <= at else "at least a second later"
            return Walked(ticks, fault=f"gave {answer}, which is not {least} than {datetime_of(at).isoformat()}")
        ticks.append(tick)
        at, ahead = tick, ahead + (tick > now)
        if enough():
            break
    return Walked(ticks)


def _raised(error: BaseException) -> str:
    try:
        words = _clean(str(error))
    except Exception:
        words = ""
    return f"raised {type(error).__name__}: {words}".removesuffix(": ")[:MAX_FAULT]


class _NoInstant(Exception):
    """What was given is not the instant that it should be."""


def _micros(answer: object) -> int:
    """Raises: _NoInstant, with what it is."""
    if not isinstance(answer, datetime):
        raise _NoInstant(f"gave {_shown(answer):.100}, which is neither a datetime nor None")
    if answer.utcoffset() is None:
        raise _NoInstant(f"gave {answer}, which has no time zone")
    return (answer - EPOCH) // datetime.resolution
