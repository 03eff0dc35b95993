"""The lists of ``tickr top`` as tables: which columns there are at which width, and what stands in them. Pure.

The last column has what is left over; all others are as wide as what is in them, long words up to a share of the width.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

from rich.table import Table
from rich.text import Text

from tickr.cli import node_screen, schedule_screen, screen
from tickr.cli.lines import one_line, progress
from tickr.cli.remote_nodes import RemoteNode
from tickr.cli.remote_records import RemoteJob, RemoteQueue
from tickr.cli.remote_schedules import RemoteSchedule
from tickr.cli.top.model import Row, View
from tickr.cli.top.rates import Rates

Cell = str | Text
AnyRow = TypeVar("AnyRow")

SHORT_ID = 8
WHOLE_IDS = 132
"""From so many columns on there is room for whole ids of jobs."""
WIDE, WIDER = 100, 120
BAR = 8


class Look(NamedTuple):
    """What a cell needs besides its row. ``here``: the id of the node that answered."""

    now: datetime
    rates: Rates
    here: str = ""
    ascii_only: bool = False
    width: int = 80


class Column(NamedTuple, Generic[AnyRow]):
    """``from_width``, ``below``: only where the screen is so wide. ``share``: of the width, that it takes at most.
    ``least``: columns that it always has, so that what stands after it stays in its place."""

    header: str
    cell: Callable[[AnyRow, Look], Cell]
    from_width: int = 0
    below: int = sys.maxsize
    share: float = 1
    least: int | None = None
    right: bool = False


def table(view: View, rows: Sequence[Row], look: Look, marked: int | None) -> Table:
    """Return ``rows`` of a list, one line each. ``marked``: the place of the selected one."""
    columns = [column for column in COLUMNS[view] if column.from_width <= look.width < column.below]
    made = Table(box=None, padding=(0, 1), pad_edge=True, expand=True, header_style="bold")
    for column in columns:
        made.add_column(
            column.header,
            no_wrap=True,
            overflow="ellipsis",
            justify="right" if column.right else "left",
            ratio=1 if column is columns[-1] else None,
            min_width=column.least,
            max_width=int(column.share * look.width),
        )
    for place, row in enumerate(rows):
        cells = [column.cell(row, look) for column in columns]
        if place == marked:  # in one colour from end to end, or it would be in patches
            made.add_row(*map(str, cells), style="reverse")
        else:
            made.add_row(*cells)
    return made


def rate(known: bool, per_s: float) -> Text:
    """Return jobs a second in four columns or so; a dash where nobody has counted."""
    if not known:
        return Text("-", "dim")
    return Text(f"{per_s:.1f}" if per_s < 100 else f"{per_s:,.0f}", "dim" if per_s == 0 else "")


def number(count: int, style: str = "") -> Text:
    return Text(f"{count:,}", style if count else "dim")


# -- queues ----------------------------------------------------------------------------------------------------------


def _oldest(queue: RemoteQueue, look: Look) -> str:
    if queue.oldest_due_at is None:
        return ""
    return screen.span(max(0.0, (look.now - datetime.fromisoformat(queue.oldest_due_at)).total_seconds()))


def _set(queue: RemoteQueue, look: Look) -> Text:
    """Return what is set on a queue; of a timed pause how long it still lasts."""
    said = screen.set_on(queue)
    if not queue.paused_until:
        return said
    left = f"paused for {screen.span((datetime.fromisoformat(queue.paused_until) - look.now).total_seconds())}"
    limits = said.plain.partition(", ")[2]
    return Text(f"{left}, {limits}" if limits else left, "bold yellow")


QUEUES: tuple[Column[RemoteQueue], ...] = (
    Column("QUEUE", lambda queue, _: one_line(queue.name), share=0.22),
    Column("DUE", lambda queue, _: number(queue.ready, "blue"), right=True),
    Column("RUNNING", lambda queue, _: number(queue.running, "cyan"), right=True),
    Column("SCHEDULED", lambda queue, _: number(queue.scheduled), right=True, from_width=WIDE),
    Column("RETRYING", lambda queue, _: number(queue.retrying, "yellow"), right=True, from_width=WIDE),
    Column("LATER", lambda queue, _: number(queue.scheduled + queue.retrying), right=True, below=WIDE),
    Column("OLDEST", _oldest, least=6, right=True),
    Column("IN/s", lambda queue, look: rate(look.rates.known, look.rates.of(queue.name).into), right=True),
    Column("OUT/s", lambda queue, look: rate(look.rates.known, look.rates.of(queue.name).out), right=True),
    Column("SET", _set),
)


# -- jobs ------------------------------------------------------------------------------------------------------------


def short(job_id: str, width: int) -> str:
    return one_line(job_id if width >= WHOLE_IDS else f"…{job_id[-SHORT_ID:]}")


def _says(job: RemoteJob, look: Look) -> Cell:
    """Return how far it is, what went wrong, or else whose it is."""
    if job.state == "running" and job.progress is not None:
        if look.width >= WIDE:
            return progress(job.progress, job.progress_message, BAR, ascii_only=look.ascii_only)
        return Text(f"{job.progress:.0%}  {one_line(job.progress_message or '')}", "cyan")
    if job.notice:
        return Text(one_line(job.notice), "yellow")
    if job.error:
        kind = "" if job.error.kind == "exception" else f"{job.error.kind}: "  # whose message begins with what it is
        return Text(screen.cut(one_line(f"{kind}{job.error.message}")), "red")
    return Text(one_line(" ".join(f"{name}={value}" for name, value in job.labels.items())), "dim")


JOBS: tuple[Column[RemoteJob], ...] = (
    Column("ID", lambda job, look: short(job.id, look.width)),
    Column("TYPE", lambda job, _: one_line(job.type), share=0.18),
    Column("QUEUE", lambda job, _: one_line(job.queue), share=0.13),
    Column("STATE", lambda job, _: screen.state(job.state), least=9),
    Column("TRY", lambda job, _: f"{job.attempt}/{job.max_attempts}", right=True),
    Column("PRIO", lambda job, _: str(job.priority), right=True, from_width=WIDER),
    Column("WHEN", lambda job, look: screen.when(job, look.now), least=10),
    Column("SAYS", _says),
)


# -- nodes -----------------------------------------------------------------------------------------------------------


def _busy(node: RemoteNode, _: Look) -> Text:
    return Text(node_screen.busy(node), "cyan" if node.running else "")


def _up(node: RemoteNode, look: Look) -> str:
    return screen.relative(node.started_at, look.now).removesuffix(" ago") if node.started_at else ""


NODES: tuple[Column[RemoteNode], ...] = (
    Column("NODE", lambda node, look: f"{one_line(node.id[-12:])}{'*' if node.id == look.here else ' '}"),
    Column("NAME", lambda node, _: one_line(node.called), share=0.25),
    Column("STATE", lambda node, _: node_screen.state(node)),
    Column("BUSY", _busy, right=True),
    Column("LEASE", lambda node, _: node_screen.seen(node), least=9),
    Column("UP", _up, right=True),
    Column("VERSION", lambda node, _: one_line(node.version), from_width=WIDE),
    Column("ROLES", lambda node, _: one_line(", ".join(node.roles)), share=0.16, from_width=WIDE),
    Column("QUEUES", lambda node, _: one_line(", ".join(node.queues or ["all"])), share=0.16),
    Column("RUNS", lambda node, _: one_line(node_screen.runs(node)), from_width=WIDER),
)


# -- schedules -------------------------------------------------------------------------------------------------------


def _last(schedule: RemoteSchedule, look: Look) -> str:
    return screen.relative(schedule.last_tick, look.now) if schedule.last_tick else ""


SCHEDULES: tuple[Column[RemoteSchedule], ...] = (
    Column("SCHEDULE", lambda one, _: one_line(one.name), share=0.2),
    Column("WHEN", lambda one, _: one_line(schedule_screen.when(one)), share=0.32),
    Column("NEXT", lambda one, _: schedule_screen.upcoming(one), least=9),
    Column("LAST", _last, least=9),
    Column("MADE", lambda one, _: number(one.fired), right=True),
    Column("OVERLAP", lambda one, _: one_line(one.overlap), from_width=WIDE),
    Column("MISSED", lambda one, _: one_line(one.missed), from_width=WIDE),
    Column("QUEUE", lambda one, _: one_line(one.job.queue), from_width=WIDE, share=0.2),
    Column("TYPE", lambda one, _: one_line(one.job.type)),
)

COLUMNS: Mapping[View, tuple[Column[Any], ...]] = {
    View.QUEUES: QUEUES,
    View.JOBS: JOBS,
    View.NODES: NODES,
    View.SCHEDULES: SCHEDULES,
}
