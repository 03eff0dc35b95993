"""What may be done to a schedule. Pure: no trio, no I/O, no clock.

A *move* (``Put``, ``Pause`` … ``Fire``) is a wish that names its schedule. The store locks the row, hands what it has
to ``apply``, and writes what comes back: the schedule, new jobs, events. Nothing else decides what a change does to a
schedule's fields.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from tickr.envelopes import Seal
from tickr.errors import ScheduleExists, ScheduleMismatch, ScheduleNotFound, TooManySchedules
from tickr.events import ThingEvent
from tickr.foresight import Foresight
from tickr.jobs import NewJob
from tickr.schedules import MAX_SCHEDULES, Missed, Overlap, Schedule, Skipped, told
from tickr.ticks import Timing

MOST_MARKS = 20
"""How many declarations of a schedule are known from each other."""


class Seen(NamedTuple):
    """What a store has found for a move, and its clock.

    Attributes:
      busy: the job that ``watched`` names is there, and not final.
      full: there are ``MAX_SCHEDULES``; looked at for a schedule that is not there.
    """

    schedule: Schedule | None
    now: int
    busy: bool = False
    full: bool = False


class Moved(NamedTuple):
    """What a move does: the schedule before it and after it (None: there is none), new jobs, events of the schedule."""

    before: Schedule | None
    after: Schedule | None
    jobs: tuple[NewJob, ...] = ()
    told: tuple[ThingEvent, ...] = ()


# -- from outside -----------------------------------------------------------------------------------------------------


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """Have a schedule be so: make it, or change what is different.

    Attributes:
      version: the schedule must be there, and at it; None: whatever is there. ``only_new``: none must be there.
      seal: what the payload of ``job`` is known by, where that is encrypted.
    """

    name: str
    timing: Timing
    job: NewJob
    given: str
    missed: Missed = "once"
    overlap: Overlap = "allow"
    end_at: int | None = None
    times: int | None = None
    version: int | None = None
    only_new: bool = False
    seal: Seal | None = None

    def apply(self, seen: Seen) -> Moved:
        """Raises: ScheduleExists, ScheduleMismatch, ScheduleNotFound, TooManySchedules, BadTiming."""
        old, now = seen.schedule, seen.now
        if old is None and self.version is None:
            return self._created(seen)
        old = _expected(self.name, old, self.version)
        if self.only_new:
            raise ScheduleExists(self.name)
        same_timing = old.timing == self.timing
        same_end = (old.end_at, old.times) == (self.end_at, self.times)
        new = msgspec.structs.replace(
            old,
            timing=self.timing,
            job=self._like(old.job),
            given=self.given,
            missed=self.missed,
            overlap=self.overlap,
            end_at=self.end_at,
            times=self.times,
            anchor_at=old.anchor_at if same_timing else now,
        )
        if new == old:
            return Moved(old, old)
        if not same_timing:
            new = _begun(new, now, _overdue(old, self.timing, now))
        elif not same_end:
            new = _going_on(new, now) if old.next_at is None else new.waiting_for(old.next_at)
        return _changed(old, new, "changed", now)

    def _like(self, old: NewJob) -> NewJob:
        """Return the template, with the very envelope of ``old`` if it holds the same: that is no change."""
        same = self.seal is not None and old.extras.sealed == self.job.extras.sealed and self.seal.same(old.payload)
        return msgspec.structs.replace(self.job, payload=old.payload) if same else self.job

    def _created(self, seen: Seen) -> Moved:
        if seen.full:
            raise TooManySchedules(self.name, MAX_SCHEDULES)
        new = Schedule(
            name=self.name,
            timing=self.timing,
            anchor_at=seen.now,
            job=self.job,
            given=self.given,
            missed=self.missed,
            overlap=self.overlap,
            end_at=self.end_at,
            times=self.times,
            version=0,
            created_at=seen.now,
            updated_at=seen.now,
        )
        return _changed(None, _begun(new, seen.now), "created", seen.now)


class Declare(Put, frozen=True, kw_only=True):
    """Have a schedule be as the code of a node says; see ``declared.py``.

    Attributes:
      mark: names what the code says.
      over: the mark that counted when this was planned. If it does not any more somebody else was first, and nothing
        happens.
    """

    mark: str
    over: str | None

    def apply(self, seen: Seen) -> Moved:
        """Raises: TooManySchedules, BadTiming."""
        old = seen.schedule
        marks = old.declared if old else ()
        if old is not None and (marks[-1] if marks else None) != self.over:
            return Moved(old, old)
        before, after, jobs, events = super().apply(seen)
        assert after is not None, "what is put is there"
        marks = (*(mark for mark in marks if mark != self.mark), self.mark)[-MOST_MARKS:]
        return Moved(before, msgspec.structs.replace(after, declared=marks), jobs, events)


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """Have no ticks come. ``version`` as in ``Put``."""

    name: str
    version: int | None = None

    def apply(self, seen: Seen) -> Moved:
        """Raises: ScheduleNotFound, ScheduleMismatch."""
        old = _expected(self.name, seen.schedule, self.version)
        if old.paused:
            return Moved(old, old)
        return _changed(old, msgspec.structs.replace(old, paused=True, next_at=None), "paused", seen.now)


class Resume(msgspec.Struct, frozen=True, kw_only=True):
    """Have ticks come again, from now on: what would have come meanwhile is no missed tick."""

    name: str
    version: int | None = None

    def apply(self, seen: Seen) -> Moved:
        """Raises: ScheduleNotFound, ScheduleMismatch, BadTiming."""
        old = _expected(self.name, seen.schedule, self.version)
        if not old.paused:
            return Moved(old, old)
        new = _going_on(msgspec.structs.replace(old, paused=False), seen.now)
        return _changed(old, new, "resumed", seen.now)


class Delete(msgspec.Struct, frozen=True, kw_only=True):
    """Take it away. Its jobs stay."""

    name: str
    version: int | None = None

    def apply(self, seen: Seen) -> Moved:
        """Raises: ScheduleNotFound, ScheduleMismatch."""
        old = _expected(self.name, seen.schedule, self.version)
        last, event = told(old, "deleted", seen.now)
        return Moved(last, None, told=(event,))


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """Make a job of it at once, under the id ``job_id``; its ticks do not change by that."""

    name: str
    job_id: str

    def apply(self, seen: Seen) -> Moved:
        """Raises: ScheduleNotFound."""
        old = _expected(self.name, seen.schedule, None)
        if old.last_job == self.job_id:
            return Moved(old, old)
        new = msgspec.structs.replace(old, last_job=self.job_id)
        return Moved(old, new, jobs=(_job_of(old, self.job_id, None),))


def _expected(name: str, found: Schedule | None, version: int | None) -> Schedule:
    if found is None:
        raise ScheduleNotFound(name)
    if version is not None and version != found.version:
        raise ScheduleMismatch(name, found.version)
    return found


def _changed(old: Schedule | None, new: Schedule, what: str, now: int) -> Moved:
    new = msgspec.structs.replace(new, version=new.version + 1, updated_at=now)
    after, event = told(new, what, now)
    after, ended = _told_end(old, after, now)
    return Moved(old, after, told=(event, *ended))


def _begun(schedule: Schedule, now: int, overdue: Foresight | None = None) -> Schedule:
    """Return it with the first tick of a timing that it is given now. ``overdue``: ticks that come before."""
    at_once = schedule.timing.start_now and now > (schedule.last_tick or 0)
    if schedule.timing.function is None:
        schedule = msgspec.structs.replace(schedule, foreseen=None)
        return schedule.waiting_for(now if at_once else schedule.next_after(now))
    known = overdue or Foresight(max(now, schedule.last_tick or 0))
    if at_once and now not in known.ticks:
        known = msgspec.structs.replace(known, ticks=(*known.ticks, now))
    return msgspec.structs.replace(schedule, foreseen=known).waiting_for(known.first)


def _overdue(old: Schedule, timing: Timing, now: int) -> Foresight | None:
    """Return the ticks that are due and not dealt with, if ``timing`` is only another code of the same function."""
    same = msgspec.structs.replace(timing, code=old.timing.code) == old.timing
    if not same or old.next_at is None or old.foreseen is None:
        return None
    ticks = tuple(tick for tick in old.foreseen.ticks if tick <= now)
    return Foresight(old.foreseen.since, ticks) if ticks else None


def _going_on(schedule: Schedule, now: int) -> Schedule:
    """Return it with the first of its ticks after ``now``."""
    if schedule.foreseen is not None:
        schedule = msgspec.structs.replace(schedule, foreseen=schedule.foreseen.dealt_with(now))
    return schedule.waiting_for(schedule.next_after(now))


def _told_end(old: Schedule | None, new: Schedule, now: int) -> tuple[Schedule, tuple[ThingEvent, ...]]:
    """Return ``new``, and what is told if it has no more ticks, and ``old`` had."""
    if new.ended is None or (old is not None and old.ended is not None):
        return new, ()
    new, event = told(new, "ended", now)
    return new, (event,)


def _job_of(schedule: Schedule, job_id: str, tick: int | None) -> NewJob:
    """Return the job of ``tick``, due at it, or one that is due at once."""
    extras = msgspec.structs.replace(schedule.job.extras, schedule=schedule.name, tick=tick)
    return msgspec.structs.replace(schedule.job, id=job_id, run_at=tick, extras=extras)


# -- by the clock -----------------------------------------------------------------------------------------------------


class Fire(msgspec.Struct, frozen=True, kw_only=True):
    """Deal with ticks that are due. What comes after the last one that may make a job is no tick, and is not told.

    Attributes:
      version, due: the schedule's version and next tick as they were when this was planned. If they are not so any more
        somebody else was first, and nothing happens.
      fired: those that make a job, each with the job's id, in order.
      skipped: those that do not.
      next_at: the next one to deal with.
      size_bytes: about how much this adds to a batch.
    """

    name: str
    version: int
    due: int
    fired: tuple[tuple[int, str], ...]
    skipped: Skipped | None
    next_at: int | None
    size_bytes: int

    def apply(self, seen: Seen) -> Moved:
        old = seen.schedule
        if old is None or (old.version, old.next_at) != (self.version, self.due):
            return Moved(old, old)
        runs, overlaps = self.fired, self.fired[:0]
        if old.overlap == "skip":
            free = 0 if seen.busy else 1
            runs, overlaps = runs[:free], runs[free:]
        if old.left is not None and len(runs) >= old.left:
            runs, overlaps = runs[: old.left], overlaps[:0]
        skipped = [self.skipped] if self.skipped else []
        if overlaps:
            skipped.append(Skipped("overlap", len(overlaps), overlaps[0][0], overlaps[-1][0]))
        dealt_with = [*(one.last for one in skipped), *(tick for tick, _ in runs)]
        last = max(dealt_with)
        foreseen = old.foreseen and old.foreseen.dealt_with(last)
        new = msgspec.structs.replace(
            old,
            foreseen=foreseen,
            last_tick=last,
            last_job=runs[-1][1] if runs else old.last_job,
            fired=old.fired + len(runs),
            missed_ticks=old.missed_ticks + (self.skipped.count if self.skipped else 0),
            overlapped=old.overlapped + len(overlaps),
        ).waiting_for(self.next_at if foreseen is None else foreseen.first)
        events: list[ThingEvent] = []
        for one in skipped:
            new, event = told(new, "skipped", seen.now, one)
            events.append(event)
        new, ended = _told_end(old, new, seen.now)
        return Moved(old, new, tuple(_job_of(old, job_id, tick) for tick, job_id in runs), (*events, *ended))


class Foresee(msgspec.Struct, frozen=True, kw_only=True):
    """Keep what the function of a schedule has told of its ticks.

    Attributes:
      version, horizon: the schedule's version, and up to where its ticks were known, when the function was asked. If
        they are not so any more somebody else was first, and nothing happens.
      after: the instant after which ``ticks`` come; what is known of later ones makes way for them.
      no_more: there are none after ``ticks``. ``fault``: why there are no more of them now.
    """

    name: str
    version: int
    horizon: int
    after: int
    ticks: tuple[int, ...]
    no_more: bool = False
    fault: str | None = None

    def apply(self, seen: Seen) -> Moved:
        old = seen.schedule
        if old is None or old.foreseen is None or (old.version, old.foreseen.horizon) != (self.version, self.horizon):
            return Moved(old, old)
        known = old.foreseen.told(self.after, self.ticks, no_more=self.no_more, fault=self.fault, now=seen.now)
        if known == old.foreseen:
            return Moved(old, old)
        new = msgspec.structs.replace(old, foreseen=known).waiting_for(known.first)
        new, ended = _told_end(old, new, seen.now)
        return Moved(old, new, told=ended)


Move = Put | Pause | Resume | Delete | Run | Fire | Foresee


def watched(move: Move, schedule: Schedule | None) -> str | None:
    """Return the id of the job whose end ``move`` hangs on, if there is one: ``Seen.busy`` is about it."""
    if schedule is None or not isinstance(move, Fire) or schedule.overlap == "allow":
        return None
    return schedule.last_job
