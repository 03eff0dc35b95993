"""What operations on many jobs look like in a terminal: the jobs in groups, one line, a list, a whole."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from rich.table import Table
from rich.text import Text

from tickr.cli.remote_operations import RemoteCount, RemoteOperation
from tickr.cli.screen import absolute, harmless, plain_table, relative, state

_COLOURS = {"running": "cyan", "done": "green", "stopped": "yellow"}


def count(found: RemoteCount) -> str:
    """Return how many jobs there are, as a person says it."""
    more = "" if found.exact else " or more"
    return f"{found.total}{more} job{'' if found.total == 1 and found.exact else 's'}"


def group_list(found: RemoteCount, *, states: bool) -> Table:
    """Return a table of the groups, the largest first, with their ``states`` or without."""
    now = datetime.now(UTC)
    table = plain_table("JOBS", *(("STATE",) if states else ()), "TYPE", "FAULT", "NEWEST", "EXAMPLE")
    name = table.columns[2 if states else 1]
    name.no_wrap, name.overflow = False, "ellipsis"
    for one in found.groups:
        newest = relative(one.newest_at, now) if one.newest_at else ""
        words = (Text(harmless(word)) for word in (one.type, one.error or ""))
        lives = (state(one.state),) if states else ()
        table.add_row(str(one.count), *lives, *words, newest, one.example)
    return table


def line(one: RemoteOperation) -> Text:
    """Return an operation in one line; its id is the first word."""
    return Text.assemble(one.id, "  ", harmless(one.action), "  ", _state(one), "  ", _progress(one))


def operation_list(operations: Iterable[RemoteOperation]) -> Table:
    now = datetime.now(UTC)
    table = plain_table("ID", "ACTION", "STATE", "DONE", "SKIPPED", "BEGUN")
    for one in operations:
        done = f"{one.done}/{one.total}{'' if one.exact else '+'}"
        table.add_row(
            one.id, Text(harmless(one.action)), _state(one), done, str(one.skipped), relative(one.created_at, now)
        )
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
