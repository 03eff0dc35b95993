"""What schedules look like in a terminal: one line, a list, a whole schedule with its next ticks."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from tickr.cli.remote_schedules import RemoteSchedule
from tickr.cli.screen import WIDE, absolute, harmless, plain_table, pretty, relative

MISSED = {
    "skip": "skip: ticks that are too late make no job",
    "once": "once: one job for all that were missed",
    "all": "all: a job for each",
}
ENDED = {
    "end_at": "end_at: no tick is left before its end",
    "times": "times: so many ticks have made a job",
    "never": "never: no tick comes in the next 50 years",
    "function": "function: its function has said that there are no more",
}
OVERLAP = {"allow": "allow", "skip": "skip: no job while the last one is not final"}


def line(schedule: RemoteSchedule) -> Text:
    """Return a schedule in one line; its name is the first word."""
    parts = (schedule.name, when(schedule), schedule.job.type)
    return Text.assemble(*(f"{harmless(part)}  " for part in parts), upcoming(schedule, "next "))


def schedule_list(schedules: Iterable[RemoteSchedule], *, width: int) -> Table:
    """Return a table of ``schedules``, ``width`` columns wide at most; if need be, long types are cut."""
    now = datetime.now(UTC)
    wide = width >= WIDE
    table = plain_table("NAME", "WHEN", "TYPE", "NEXT", "LAST", *(("MISSED", "OVERLAP") if wide else ()))
    for number in (0, 2):
        table.columns[number].no_wrap, table.columns[number].overflow = False, "ellipsis"
    for one in schedules:
        last = relative(one.last_tick, now) if one.last_tick else ""
        more = (one.missed, one.overlap) if wide else ()
        words = (Text(harmless(word)) for word in (one.name, when(one), one.job.type))
        table.add_row(*words, upcoming(one), last, *more)
    return table


def when(schedule: RemoteSchedule) -> str:
    """Return when its ticks come, as its owner said it."""
    if schedule.function is not None:
        return f"{schedule.function} {schedule.timezone or ''}".rstrip()
    if schedule.cron is not None:
        return f"{schedule.cron} {schedule.timezone or ''}".rstrip()
    return f"every {schedule.every:g} s" if schedule.every is not None else "?"


def whole(schedule: RemoteSchedule) -> Iterable[Text | Table]:
    """Yield the paragraphs that show everything about a schedule."""
    now = datetime.now(UTC)
    yield Text.assemble(
        (harmless(schedule.name), "bold"), "  ", harmless(when(schedule)), "  ", upcoming(schedule, "next ")
    )
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(schedule, now):
        facts.add_row(name, value)
    yield facts


def _facts(schedule: RemoteSchedule, now: datetime) -> Iterable[tuple[str, Text]]:
    yield "job", Text(harmless(f"{schedule.job.type}, queue {schedule.job.queue}"))
    yield "payload", Text(pretty(bytes(schedule.job.payload)))
    if schedule.start_at or schedule.start:
        yield "start", Text(absolute(schedule.start_at, now) if schedule.start_at else harmless(schedule.start or ""))
    if schedule.end_at:
        yield "end", Text(absolute(schedule.end_at, now))
    if schedule.times is not None:
        yield "times", Text(f"{schedule.fired} of {schedule.times}")
    if schedule.declared:
        yield "declared", Text("in the code of a node")
    yield "missed", Text(harmless(MISSED.get(schedule.missed, schedule.missed)))
    yield "overlap", Text(harmless(OVERLAP.get(schedule.overlap, schedule.overlap)))
    if schedule.skipped.missed or schedule.skipped.overlap:
        skipped = f"{schedule.skipped.missed} missed, {schedule.skipped.overlap} while the last job was not final"
        yield "skipped", Text(skipped, "yellow")
    if schedule.last_tick:
        yield "last tick", Text(absolute(schedule.last_tick, now))
    if schedule.last_job:
        yield "last job", Text(harmless(schedule.last_job))
    yield "changed", Text(absolute(schedule.updated_at, now))
    if schedule.ended:
        yield "ended", Text(harmless(ENDED.get(schedule.ended, schedule.ended)))
    if schedule.fault:
        yield "fault", Text(harmless(schedule.fault), "yellow")
    for number, tick in enumerate(schedule.next):
        yield "" if number else "next", Text(absolute(tick, now))


def upcoming(schedule: RemoteSchedule, before: str = "") -> Text:
    """Return when its next tick comes, or why none does."""
    if schedule.paused:
        return Text("paused", "yellow")
    if schedule.next_at is None:
        return Text("unknown", "yellow") if schedule.function and not schedule.ended else Text("ended", "dim")
    now = datetime.now(UTC)
    return Text(
        f"{before if datetime.fromisoformat(schedule.next_at) > now else 'due '}{relative(schedule.next_at, now)}"
    )
