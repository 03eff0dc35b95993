"""Wishes of a handler for the jobs of its type, beside those of its attempts: checked when it is registered.

They count where a submission says nothing (``api/submission.py``): the queue and priority of a job, what it is unique
by, how long it is kept after its end, and how many lost nodes it outlives. Pure.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Literal, TypedDict

import msgspec

from tickr import jobs, values
from tickr.keys import MAX_KEY_LENGTH, MAX_UNIQUE_S, OnConflict

LOWEST_PRIORITY = 9
_keep_s = values.seconds_between(0, jobs.MAX_KEEP_S)

_decode = msgspec.json.decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """What the jobs of a type are unique by: ``unique=tickr.Unique(by=("customer",))`` of a handler.

    Attributes:
      by: keys of the payload whose values count, one that is missing as null; none of them, ``()``: there is one job of
        the type at most; None: the whole payload counts.
      until: for how long a job holds its key: ``final``, until it has ended, ``started``, until it has begun, or so
        many seconds from its creation.
      on_conflict: what becomes of a submission whose key another job holds: ``return``, ``reject`` or ``replace``.
    Raises: TypeError, ValueError: it could not be used.
    """

    by: tuple[str, ...] | None = None
    until: float | Literal["final", "started"] = "final"
    on_conflict: Literal["return", "reject", "replace"] = "return"

    def __post_init__(self) -> None:
        given: object = self.by
        if given is not None and not (isinstance(given, tuple) and all(isinstance(one, str) for one in given)):
            raise TypeError(f"Unique takes by as a tuple of payload keys, not {given!r:.100}")
        until: object = self.until
        if until not in ("final", "started") and not (
            isinstance(until, int | float) and not isinstance(until, bool) and 0 < until <= MAX_UNIQUE_S
        ):
            days = f"{MAX_UNIQUE_S / 86_400:g} days"
            raise ValueError(
                f'Unique takes until as "final", "started" or seconds above 0, at most {days}, not {until!r:.100}'
            )
        if self.on_conflict not in list(OnConflict):
            raise ValueError(
                f"Unique takes on_conflict as one of {', '.join(OnConflict)}, not {self.on_conflict!r:.100}"
            )

    def key_of(self, type: str, payload: str) -> str:
        """Return the unique key of a job: its type and what counts of its payload, or what stands for a long one.

        The order of keys and the blanks of the JSON do not count. Of a payload that is no object all of it counts.
        """
        if self.by == ():
            return type
        value = _decode(payload)
        counts = {name: value.get(name) for name in self.by or value} if isinstance(value, dict) else value
        key = f"{type}:{_encode(counts).decode()}"
        if len(key) <= MAX_KEY_LENGTH:
            return key
        return f"{type}#{hashlib.sha256(key.encode()).hexdigest()}"


class Wishes(TypedDict):
    """Fields of ``Handler``; None: no wish."""

    queue: str | None
    priority: int | None
    unique: Unique | None
    max_crashes: int | None
    keep: float | None


def checked(
    type: str,
    *,
    queue: str | None,
    priority: int | None,
    unique: Unique | None,
    max_crashes: int | None,
    keep: float | timedelta | str | None,
) -> Wishes:
    """Return the wishes of the handler of ``type``. Raises: TypeError, ValueError: one of them is none."""
    if queue is not None and not (isinstance(queue, str) and jobs.is_queue(queue)):
        raise ValueError(f"handler {type!r}: {queue!r} is not the name of a queue; one looks like {jobs.QUEUE_PATTERN}")
    if unique is not None and not isinstance(unique, Unique):
        raise TypeError(f"handler {type!r}: unique takes a tickr.Unique, not {unique!r:.100}")
    _check_number(type, "priority", priority, LOWEST_PRIORITY)
    _check_number(type, "max_crashes", max_crashes, jobs.DEFAULT_MAX_CRASHES)
    return Wishes(queue=queue, priority=priority, unique=unique, max_crashes=max_crashes, keep=_kept_s(type, keep))


def _kept_s(type: str, given: float | timedelta | str | None) -> float | None:
    """Return seconds out of seconds, a ``timedelta``, or words like ``1h``."""
    if given is None:
        return None
    try:
        return _keep_s(given.total_seconds() if isinstance(given, timedelta) else given)
    except ValueError as wrong:
        raise ValueError(f"handler {type!r}: keep {wrong}, not {given!r:.100}") from None


def _check_number(type: str, name: str, given: object, most: int) -> None:
    if given is None:
        return
    if not isinstance(given, int) or isinstance(given, bool) or not 0 <= given <= most:
        raise ValueError(f"handler {type!r}: {name} must be a whole number from 0 to {most}")
