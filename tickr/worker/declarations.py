"""Declarations: the schedules that an application's code says there are, beside its handlers.

    @jobs.schedule("nightly", cron="30 2 * * *", timezone="Europe/Berlin")
    @jobs.handler("report")
    async def report(job: tickr.Job) -> None: ...

What is wrong with a name or with its timing is said here; the rest of it is read as a ``PUT /schedules/<name>`` is,
when a node starts (``declared.py``), which also decides what becomes of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict, Unpack

import msgspec

from tickr import jobs, schedules, ticks
from tickr.encoding import Unencodable, encode
from tickr.errors import SpecRejected
from tickr.next_ticks import NextTick
from tickr.retry import Backoff
from tickr.ticks import Timing

MAX_DECLARED = 1_000
"""Schedules that one application may declare: their marks are in the row of each of its nodes."""
MAX_FUNCTIONS = 100
"""How many of them may be by a function: each of those has a task, and a thread while it is asked."""


class Timed(TypedDict, total=False):
    """When a schedule is due and how it behaves; docs/schedules.md has the rules of each."""

    cron: str
    timezone: str
    every: float | timedelta
    next_tick: NextTick
    start_at: datetime
    start: Literal["now"]
    end_at: datetime
    times: int
    missed: schedules.Missed
    overlap: schedules.Overlap


class Wish(Timed, total=False):
    """All that may be said of a schedule beside its name and the type and payload of its jobs."""

    queue: str
    priority: int
    max_attempts: int
    timeout: float | timedelta
    backoff: str | Backoff
    labels: Mapping[str, str]
    limit_key: str


class Declaration(msgspec.Struct, frozen=True):
    """A schedule that code declares: ``body`` is what would be sent to put it; ``type`` is that of its jobs.

    ``next_tick``: gives its ticks, and cannot be sent.
    """

    name: str
    type: str
    body: bytes
    next_tick: NextTick | None = None


class Declarations:
    """The schedules that an application declares, by name."""

    def __init__(self) -> None:
        self._declared: dict[str, Declaration] = {}

    def add(self, name: str, type: str, payload: Any = None, **wish: Unpack[Wish]) -> None:
        """Declare that the schedule ``name`` makes jobs of ``type``.

        Args:
          payload: anything JSON can say; None is an empty object.
          wish: the other fields of a schedule, and of its jobs; durations in seconds or as ``timedelta``. In the place
            of ``cron`` or ``every``, ``next_tick``: a plain function that is given an instant, in ``timezone``, and
            returns the first tick after it, or None if there are no more. The same answer for the same instant.
        Raises: TypeError, ValueError: it cannot be declared, and why.
        """
        if not (isinstance(name, str) and schedules.is_name(name)):
            raise ValueError(f"{name!r} is not the name of a schedule; one looks like {schedules.NAME_PATTERN}")
        if not (isinstance(type, str) and jobs.is_type(type)):
            raise ValueError(f"schedule {name!r}: {type!r} is not the name of a job type")
        unknown = [word for word in wish if word not in Wish.__annotations__ and word not in Timed.__annotations__]
        if unknown:
            raise TypeError(f"schedule {name!r}: {', '.join(unknown)} is not known here")
        _check_timing(name, wish)
        self._take([Declaration(name, type, _body(name, type, payload, wish), wish.get("next_tick"))])

    def include(self, other: Declarations) -> None:
        """Take over those of ``other``. Raises: ValueError: one is in both, or they are too many; none was taken."""
        self._take(list(other))

    def __iter__(self) -> Iterator[Declaration]:
        return iter(list(self._declared.values()))

    def __len__(self) -> int:
        return len(self._declared)

    def _take(self, more: list[Declaration]) -> None:
        for one in more:
            if one.name in self._declared:
                raise ValueError(f"schedule {one.name!r} is declared already")
        if len(self._declared) + len(more) > MAX_DECLARED:
            raise ValueError(f"there may be {MAX_DECLARED} schedules in a tickr.Jobs")
        if sum(one.next_tick is not None for one in [*self._declared.values(), *more]) > MAX_FUNCTIONS:
            raise ValueError(f"there may be {MAX_FUNCTIONS} schedules with a next_tick in a tickr.Jobs")
        self._declared.update((one.name, one) for one in more)


def _check_timing(name: str, wish: Wish) -> None:
    """Raises: TypeError, ValueError: nobody knows when it is due."""
    if len({"cron", "every", "next_tick"} & wish.keys()) != 1:
        raise ValueError(f"schedule {name!r}: give either cron or every or next_tick")
    for word in ("start_at", "end_at"):
        at = wish.get(word)
        if isinstance(at, datetime) and at.tzinfo is None:
            raise ValueError(f"schedule {name!r}: {word} has no time zone; give it tzinfo=datetime.UTC")
    if "next_tick" in wish:
        _check_function(name, wish["next_tick"])
    if "cron" in wish:
        if not isinstance(wish["cron"], str):
            raise TypeError(f"schedule {name!r}: cron is an expression like '30 2 * * *', not {wish['cron']!r}")
        try:
            ticks.check(Timing(cron=" ".join(wish["cron"].split()), timezone=wish.get("timezone", "UTC")), 0)
        except SpecRejected as error:
            raise ValueError(f"schedule {name!r}: {error.pointer.removeprefix('/')} {error.problem}") from None


def _check_function(name: str, function: object) -> None:
    """Raises: TypeError: nobody could ask it."""
    called = function if inspect.isroutine(function) else getattr(function, "__call__", None)  # noqa: B004
    if not callable(function) or inspect.iscoroutinefunction(called) or inspect.isgeneratorfunction(called):
        raise TypeError(
            f"schedule {name!r}: next_tick is a plain function from an instant to the next tick, not {function!r:.100}"
        )


def _body(name: str, type: str, payload: Any, wish: Wish) -> bytes:
    said = {word: _in_seconds(value) for word, value in wish.items() if word != "next_tick"}
    own = {word: value for word, value in said.items() if word in Timed.__annotations__}
    job = {word: value for word, value in said.items() if word not in own}
    try:
        return encode({**own, "job": {"type": type, "payload": {} if payload is None else payload, **job}})
    except Unencodable as error:
        raise ValueError(f"schedule {name!r}: {error}") from error


def _in_seconds(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value
