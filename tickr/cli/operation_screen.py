"""What operations on many jobs look like in a terminal: the jobs in groups, one line, a list, a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tickr.cli import lines, screen
from tickr.cli.remote_operations import RemoteCount, RemoteOperation
from tickr.cli.screen import absolute, harmless, plain_table, relative, state

BAR = 24
"""Columns of the bar of an operation."""
UNSEEN = "None among the jobs that were counted; there are others that were not."
"""Of none that is not exact."""

_COLOURS = {"running": "cyan", "done": "green", "stopped": "yellow"}


def count(found: RemoteCount) -> str:
    """Return how many jobs there are, as a person says it."""
    more = "" if found.exact else " or more"
    return f"{found.total}{more} job{'' if found.total == 1 and found.exact else 's'}"


def group_list(found: RemoteCount, *, states: bool, width: int) -> Table:
    """Return a table of the groups, the largest first, with their ``states`` or without, ``width`` columns wide."""
    now = datetime.now(UTC)
    newest = ("NEWEST",) if width >= screen.NARROW + 10 * states else ()
    fault = ("FAULT",) if width >= screen.NARROW else ()
    table = plain_table("JOBS", *(("STATE",) if states else ()), "TYPE", *fault, *newest, "EXAMPLE")
    name = table.columns[2 if states else 1]
    name.no_wrap, name.overflow = False, "ellipsis"
    for one in found.groups:
        cells = [str(one.count), *((state(one.state),) if states else ()), Text(harmless(one.type))]
        cells += [Text(harmless(one.error or ""))] if fault else []
        cells += [relative(one.newest_at, now) if one.newest_at else ""] if newest else []
        table.add_row(*cells, one.example)
    return table


def line(one: RemoteOperation) -> Text:
    """Return an operation in one line; its id is the first word."""
    return Text.assemble(one.id, "  ", harmless(one.action), "  ", _state(one), "  ", _progress(one))


def picture(seen: Sequence[RemoteOperation], console: Console) -> Text:
    """Return how far the last one of ``seen`` is, in one line: a bar, numbers, and how long it will take yet."""
    if not seen:
        return Text("waiting …", "dim")
    one = seen[-1]
    left = screen.span(max(0, one.total - one.done - one.skipped) / one.rate) if one.rate else ""
    told = f"{_progress(one)}{f', {left} left at least' if left and one.exact else ''}"
    share = min(1.0, (one.done + one.skipped) / one.total) if one.total else float(one.exact)
    bar = lines.progress(share, told, BAR, ascii_only=console.options.ascii_only)
    whole_line = Text.assemble(harmless(one.action), "  ", bar)
    whole_line.truncate(console.width, overflow="ellipsis")
    return whole_line


def operation_list(operations: Iterable[RemoteOperation], *, width: int) -> Table:
    now = datetime.now(UTC)
    more = ("SKIPPED", "BEGUN") if width >= screen.NARROW else ()
    table = plain_table("ID", "ACTION", "STATE", "DONE", *more)
    for one in operations:
        done = f"{one.done}/{one.total}{'' if one.exact else '+'}"
        cells = (str(one.skipped), relative(one.created_at, now))
        table.add_row(one.id, Text(harmless(one.action)), _state(one), done, *cells[: len(more)])
    return table


def whole(one: RemoteOperation) -> Iterable[Text | Table]:
    """Yield the paragraphs that show everything about an operation."""
    now = datetime.now(UTC)
    yield line(one)
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("filter", _json(one.filter))
    if bytes(one.changes) != b"{}":
        facts.add_row("changes", _json(one.changes))
    if one.reason:
        facts.add_row("reason", Text(harmless(one.reason)))
    facts.add_row("rate", Text(f"{one.rate:g} jobs a second at most"))
    facts.add_row("begun", Text(absolute(one.created_at, now)))
    if one.finished_at:
        facts.add_row("ended", Text(absolute(one.finished_at, now)))
    yield facts


def _state(one: RemoteOperation) -> Text:
    return Text(harmless(one.state), _COLOURS.get(one.state, ""))


def _progress(one: RemoteOperation) -> str:
    skipped = f", {one.skipped} skipped" if one.skipped else ""
    return f"{one.done} of {one.total}{'' if one.exact else ' or more'}{skipped}"


def _json(raw: msgspec.Raw) -> Text:
    return Text(harmless(msgspec.json.format(bytes(raw), indent=0).decode()))
