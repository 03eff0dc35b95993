"""A schedule as the outside sees it, with its next ticks. The order of the fields is part of the contract."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, islice

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickr.api import wire
from tickr.envelopes import name_of
from tickr.schedules import Schedule, SkippedSummary, seconds
from tickr.ticks import BadTiming


class ScheduleDocument(msgspec.Struct, frozen=True):
    name: str
    cron: str | None
    timezone: str | None
    every: float | None
    function: str | None
    start_at: wire.Instant | None
    start: str | None
    end_at: wire.Instant | None
    times: int | None
    job: Raw
    missed: str
    overlap: str
    paused: bool
    version: int
    next_at: wire.Instant | None
    next: list[wire.Instant | None] | UnsetType
    ended: str | None
    fault: str | None
    last_tick: wire.Instant | None
    last_job: str | None
    fired: int
    skipped: SkippedSummary
    declared: bool
    encrypted: bool
    encryption_key: str | None
    created_at: wire.Instant | None
    updated_at: wire.Instant | None


class SchedulePage(msgspec.Struct, frozen=True):
    items: list[ScheduleDocument]
    next_cursor: str | None


def schedule_document(
    schedule: Schedule, next_ticks: int | None = None, live: Collection[str] | None = None
) -> ScheduleDocument:
    """Return ``schedule`` as a document, with so many of its next ticks; without that member for None.

    Args: live: the marks of what live nodes declare, if it is by function.
    """
    timing, sealed = schedule.timing, schedule.job.extras.sealed
    return ScheduleDocument(
        name=schedule.name,
        cron=None if timing.function else timing.cron,
        timezone=timing.timezone if timing.cron else None,
        every=seconds(timing.every_us),
        function=timing.function,
        start_at=wire.instant(timing.start_at),
        start="now" if timing.start_now else None,
        end_at=wire.instant(schedule.end_at),
        times=schedule.times,
        job=Raw(schedule.given),
        missed=schedule.missed,
        overlap=schedule.overlap,
        paused=schedule.paused,
        version=schedule.version,
        next_at=wire.instant(schedule.next_at),
        next=UNSET if next_ticks is None else [wire.instant(tick) for tick in _next(schedule, next_ticks)],
        ended=schedule.ended,
        fault=_fault(schedule, live or ()),
        last_tick=wire.instant(schedule.last_tick),
        last_job=schedule.last_job,
        fired=schedule.fired,
        skipped=SkippedSummary(schedule.missed_ticks, schedule.overlapped),
        declared=bool(schedule.declared),
        encrypted=sealed is not None,
        encryption_key=None if sealed is None else name_of(sealed),
        created_at=wire.instant(schedule.created_at),
        updated_at=wire.instant(schedule.updated_at),
    )


def _next(schedule: Schedule, count: int) -> list[int]:
    """Return the next ticks if all of them make a job; in a zone that is not known here only the one stored."""
    if schedule.next_at is None:
        return []
    try:
        most = count if schedule.left is None else min(count, schedule.left)
        return list(islice(chain([schedule.next_at], schedule.after(schedule.next_at)), most))
    except BadTiming:
        return [schedule.next_at]


def _fault(schedule: Schedule, live: Collection[str]) -> str | None:
    """Return why a function does not give it more ticks."""
    if schedule.foreseen is None or schedule.paused or schedule.ended:
        return None
    if not live or not set(schedule.declared[-1:]) <= set(live):
        return f"no live node has its function {schedule.timing.function}"
    return schedule.foreseen.fault


def etag(schedule: Schedule) -> str:
    """Return the entity tag: ``"v<version>"``, the version of what its owner says, whatever its ticks do."""
    return f'"v{schedule.version}"'
