"""Schedules: fires the ticks that are due, and sleeps exactly until the next one is.

Any number of nodes do it at once: each plans by itself what is to be done (``missed.py``), and the store lets one of
them do it, which makes the jobs in the transaction that moves the schedule on. The store's clock says what is due. A
ring tells of a tick that is earlier than what was slept for; one that is lost costs the longest sleep.

A schedule that cannot be dealt with here (a zone that this machine does not know, a row that the store refuses) is set
aside for a while, and keeps nobody else waiting. So is one whose ticks only its function could tell, until a node that
has it has told them (``foretell.py``). State: ``_aside`` and ``_left`` are written and read here only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog
import trio
import uuid_utils

from tickr.announce import Announcer
from tickr.bell import Bell, Ring
from tickr.errors import StoreError, StoreUnavailable
from tickr.failpoints import reach
from tickr.missed import due, is_known
from tickr.outage import Outage
from tickr.schedule_moves import Fire
from tickr.schedules import Schedule
from tickr.store.contract import DuePlace, MovedSchedule, Store
from tickr.ticks import BadTiming

PAGE = 100
"""Schedules that are looked at together."""
MOST_JOBS = 500
MOST_BYTES = 4 * 1024 * 1024
"""Jobs, and about how many bytes of them, that one transaction makes."""
LONGEST_SLEEP_S = 5.0
"""Safety net for a ring that was lost: never sleep longer, in seconds."""
AWAY_S = 1.0
"""Pause while the store is away, in seconds."""
ASIDE_S = 60.0
"""A schedule that cannot be dealt with is tried again after so long, in seconds."""

log = structlog.get_logger("tickr.scheduler")


class Schedules:
    """One node's part in it."""

    def __init__(self, store: Store, announcer: Announcer, bell: Bell, *, stretch: float = 1.0) -> None:
        """Args: stretch: how many times longer than ``LONGEST_SLEEP_S`` the longest sleep is."""
        self._longest_s = LONGEST_SLEEP_S * stretch
        self._store = store
        self._announcer = announcer
        self._bell = bell
        self._aside: dict[str, float] = {}  # until when, by trio's clock
        self._left: dict[str, int | None] = {}  # ticks that wait for the function of their schedule
        self._outage = Outage(log, "schedule")

    async def run(self) -> None:
        """Fire until cancelled. Cancellation: a job that was made and not announced is found by the audit."""
        async with self._bell.listen("schedule") as rings:
            while True:
                next_at: int | None = None
                with self._outage.outlived(StoreUnavailable):
                    next_at = await self._fire_all_due()
                if self._outage.on:
                    await trio.sleep(AWAY_S)
                else:
                    await self._sleep_until(next_at, rings)

    async def _fire_all_due(self) -> int | None:
        """Deal with everything that is due by now. Returns the next tick of all schedules."""
        place: DuePlace | None = None
        nexts: list[int] = []
        while True:
            found = await self._store.due_schedules(PAGE, place)
            for plans in _batches(self._planned(found.found, found.now)):
                answers = await self._move(plans)
                nexts += [one.after.next_at for one in answers if one.after and one.after.next_at is not None]
            if len(found.found) < PAGE:
                return min([*nexts, *([] if found.next_at is None else [found.next_at])], default=None)
            last = found.found[-1]
            assert last.next_at is not None
            place = DuePlace(last.next_at, last.name)

    def _planned(self, found: Sequence[Schedule], now: int) -> Iterator[Fire]:
        """Yield what is to be done about ``found``, but for those that were set aside."""
        self._aside = {name: until for name, until in self._aside.items() if until > trio.current_time()}
        for schedule in found:
            if schedule.name in self._aside:
                continue
            if not is_known(schedule, now):
                self._leave_to_function(schedule)
                continue
            try:
                yield due(schedule, now, lambda: str(uuid_utils.uuid7()))
            except BadTiming as error:
                self._set_aside(schedule.name, error)

    async def _move(self, plans: Sequence[Fire]) -> list[MovedSchedule]:
        """Have the store do what is planned, and tell everybody of the jobs that this has made."""
        await reach("schedule.before_fire")
        try:
            answers = await self._store.move_schedules(plans)
        except StoreUnavailable:
            raise
        except StoreError as error:
            if len(plans) > 1:  # one of them keeps the others from being done
                return [answer for plan in plans for answer in await self._move([plan])]
            self._set_aside(plans[0].name, error)
            return []
        await reach("schedule.after_fire")
        for plan, answer in zip(plans, answers, strict=True):
            _say(plan, answer)
        jobs = [job for answer in answers for job in answer.jobs]
        if jobs:
            await self._announcer.announce([job.entry() for job in jobs], at=jobs[0].created_at)
        return answers

    def _leave_to_function(self, schedule: Schedule) -> None:
        """Say once that a tick waits for the function. A node that has it rings when it has told more."""
        if self._left.get(schedule.name) != schedule.next_at:
            _say_unknown(schedule)
        self._left[schedule.name] = schedule.next_at

    def _set_aside(self, name: str, error: Exception) -> None:
        log.error("schedule.set_aside", schedule=name, for_s=ASIDE_S, error=str(error))
        self._aside[name] = trio.current_time() + ASIDE_S

    async def _sleep_until(self, tick: int | None, rings: trio.MemoryReceiveChannel[Ring]) -> None:
        """Return at ``tick``, or at an earlier one that a ring tells of, or after the longest sleep."""
        with trio.move_on_after(self._longest_s) as nap:
            while True:
                if tick is not None:
                    left_s = (tick - self._store.now_us()) / 1e6
                    nap.deadline = min(nap.deadline, trio.current_time() + left_s)
                ring = await rings.receive()
                if ring.at is not None:
                    tick = ring.at if tick is None else min(ring.at, tick)


def _batches(plans: Iterator[Fire]) -> Iterator[list[Fire]]:
    """Yield ``plans`` in parts, each for one transaction."""
    part: list[Fire] = []
    jobs = size = 0
    for plan in plans:
        if part and (jobs + len(plan.fired) > MOST_JOBS or size + plan.size_bytes > MOST_BYTES):
            yield part
            part, jobs, size = [], 0, 0
        part.append(plan)
        jobs, size = jobs + len(plan.fired), size + plan.size_bytes
    if part:
        yield part


def _say_unknown(schedule: Schedule) -> None:
    log.warning("schedule.not_foretold", schedule=schedule.name, function=schedule.timing.function)


def _say(plan: Fire, answer: MovedSchedule) -> None:
    for job in answer.jobs:
        log.info("job.created", job=job.id, type=job.type, queue=job.queue, schedule=plan.name)
    before, after = answer.before, answer.after
    if before is None or after is None:
        return
    if plan.skipped and after.missed_ticks > before.missed_ticks:
        log.warning("schedule.skipped", schedule=plan.name, reason=plan.skipped.reason, count=plan.skipped.count)
    if after.overlapped > before.overlapped:
        count = after.overlapped - before.overlapped
        log.warning("schedule.skipped", schedule=plan.name, reason="overlap", count=count)
    if after.foreseen is not None and after.next_at is None and not (after.ended or after.paused) and after != before:
        _say_unknown(after)
