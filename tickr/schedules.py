"""The schedule: its record, and how its events tell it. Pure: no trio, no I/O, no clock.

A schedule is a template of jobs with a timing (``ticks.py``). ``next_at`` is its next tick that nobody has dealt with;
whoever does moves it on in the same transaction, so that of any number of schedulers one makes the job. What a change
does to a schedule is decided in ``schedule_moves.py``, which ticks make jobs in ``missed.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Literal

import msgspec

from tickr import ticks
from tickr.events import ThingEvent
from tickr.foresight import Foresight
from tickr.instants import rfc3339
from tickr.jobs import NewJob
from tickr.ticks import SECOND_US, Timing

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
"""What the name of a schedule looks like, whole; ``is_name`` asks it."""
MAX_SCHEDULES = 10_000

Missed = Literal["skip", "once", "all"]
Overlap = Literal["allow", "skip"]
Ended = Literal["end_at", "times", "never", "function"]
"""Why there are no more ticks; ``never``: none in the next 50 years; ``function``: its function has said so."""
MAX_TIMES = 1_000_000

_is_name = re.compile(NAME_PATTERN).fullmatch


def is_name(name: str) -> bool:
    return _is_name(name) is not None


class Schedule(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A schedule as the store has it. Instants are microseconds since 1970 UTC.

    Attributes:
      anchor_at: where the grid of an interval begins.
      job: what its jobs are like, but for what each has of its own (id, instants).
      given: the template as its owner wrote it, JSON text.
      missed: what becomes of ticks that nobody dealt with in time. ``overlap``: what becomes of one whose turn comes
        while the job made last is not final.
      end_at: no instant after it is a tick. ``times``: how many ticks make a job in all.
      next_at: None while it is paused, after its last tick, and while only its function could tell. ``ended``: why
        there are no more.
      version: raised by 1 by whoever changes, pauses or resumes it. ``told``: how many events there were of it.
      last_tick: the last one dealt with, whether it made a job or not; ticks only go on from there.
      last_job: id of the job it made last.
      fired: how many ticks made a job. ``missed_ticks``, ``overlapped``: how many made none, and why.
      declared: marks of what the code of nodes said of it, the one that counts last (``declared.py``); none for one
        that no code has put.
      foreseen: what is known of its ticks, if a function gives them; the next one is the first of those.
    """

    name: str
    timing: Timing
    anchor_at: int
    job: NewJob
    given: str
    missed: Missed = "once"
    overlap: Overlap = "allow"
    paused: bool = False
    next_at: int | None = None
    version: int = 1
    told: int = 0
    created_at: int
    updated_at: int
    last_tick: int | None = None
    last_job: str | None = None
    missed_ticks: int = 0
    overlapped: int = 0
    end_at: int | None = None
    times: int | None = None
    fired: int = 0
    ended: Ended | None = None
    declared: tuple[str, ...] = ()
    foreseen: Foresight | None = None

    @property
    def left(self) -> int | None:
        """How many more ticks may make a job; None: any number."""
        return None if self.times is None else max(0, self.times - self.fired)

    def after(self, at: int) -> Iterator[int]:
        """Yield the ticks after ``at``, in order, up to its end; by function, as far as known. Raises: BadTiming."""
        end, known = self.end_at, self.foreseen
        found = ticks.after(self.timing, self.anchor_at, at) if known is None else known.after(at)
        return found if end is None else takewhile(lambda tick: tick <= end, found)

    def latest(self, since: int, until: int, count: int) -> list[int]:
        """Return the last ``count`` ticks after ``since`` up to ``until``, in order. Raises: BadTiming."""
        if self.foreseen is not None:
            return self.foreseen.latest(since, until, count)
        return ticks.latest(self.timing, self.anchor_at, since, until, count)

    def next_after(self, at: int) -> int | None:
        """Return the next tick after ``at``, and after those that were dealt with. Raises: BadTiming."""
        return next(self.after(max(at, self.last_tick or 0)), None)

    def waiting_for(self, tick: int | None) -> Schedule:
        """Return it with ``tick`` as its next one, if it still has any and is not paused."""
        spent = self.left == 0
        if spent or (tick is not None and self.end_at is not None and tick > self.end_at):
            tick = None
        ended: Ended | None = None
        if tick is None:
            ended = "times" if spent else self._without_ticks()
        return msgspec.structs.replace(self, next_at=None if self.paused else tick, ended=ended)

    def _without_ticks(self) -> Ended | None:
        if self.foreseen is None:
            return "never" if self.end_at is None else "end_at"
        if self.end_at is not None and self.foreseen.horizon > self.end_at:
            return "end_at"
        return "function" if self.foreseen.no_more else None


class Skipped(msgspec.Struct, frozen=True, array_like=True):
    """Ticks that make no job: how many (counted to ``missed.MOST_MISSED``), the first and the last of them, and why."""

    reason: Literal["missed", "too_many", "overlap"]
    count: int
    first: int
    last: int


# -- what is told -----------------------------------------------------------------------------------------------------


class TemplateSummary(msgspec.Struct, frozen=True):
    type: str
    queue: str


class SkippedSummary(msgspec.Struct, frozen=True):
    missed: int
    overlap: int


class Summary(msgspec.Struct, frozen=True):
    """A schedule as events tell it: all but the payload of its jobs."""

    name: str
    cron: str | None
    timezone: str | None
    every: float | None
    function: str | None
    start_at: str | None
    start: str | None
    end_at: str | None
    times: int | None
    job: TemplateSummary
    missed: str
    overlap: str
    paused: bool
    version: int
    next_at: str | None
    ended: str | None
    last_tick: str | None
    last_job: str | None
    fired: int
    skipped: SkippedSummary


class _Reason(msgspec.Struct, frozen=True):
    schedule: Summary
    reason: str
    count: int
    first_tick: str
    last_tick: str


class _Data(msgspec.Struct, frozen=True):
    schedule: Summary


_encode = msgspec.json.Encoder().encode


def seconds(us: int | None) -> float | None:
    """Return microseconds as seconds, whole ones without a fraction."""
    if us is None:
        return None
    return us // SECOND_US if us % SECOND_US == 0 else us / SECOND_US


def told(schedule: Schedule, what: str, now: int, skipped: Skipped | None = None) -> tuple[Schedule, ThingEvent]:
    """Return the schedule, of which one more event is told, and that event."""
    schedule = msgspec.structs.replace(schedule, told=schedule.told + 1)
    data: _Data | _Reason = _Data(_summary(schedule))
    if skipped:
        first, last = rfc3339(skipped.first), rfc3339(skipped.last)
        data = _Reason(_summary(schedule), skipped.reason, skipped.count, first, last)
    mark = f"{schedule.created_at}.{schedule.told}"
    return schedule, ThingEvent(f"schedule.{what}", now, schedule.name, mark, msgspec.Raw(_encode(data)))


def _summary(schedule: Schedule) -> Summary:
    timing = schedule.timing
    return Summary(
        name=schedule.name,
        cron=None if timing.function else timing.cron,
        timezone=timing.timezone if timing.cron else None,
        every=seconds(timing.every_us),
        function=timing.function,
        start_at=instant(timing.start_at),
        start="now" if timing.start_now else None,
        end_at=instant(schedule.end_at),
        times=schedule.times,
        job=TemplateSummary(schedule.job.type, schedule.job.queue),
        missed=schedule.missed,
        overlap=schedule.overlap,
        paused=schedule.paused,
        version=schedule.version,
        next_at=instant(schedule.next_at),
        ended=schedule.ended,
        last_tick=instant(schedule.last_tick),
        last_job=schedule.last_job,
        fired=schedule.fired,
        skipped=SkippedSummary(schedule.missed_ticks, schedule.overlapped),
    )


def instant(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
