"""What nodes look like in a terminal: a list of them, one line, a whole node with what it runs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from tickr.cli.remote_nodes import RemoteFleet, RemoteNode, RemoteRunning
from tickr.cli.screen import WIDE, absolute, harmless, plain_table, relative, span

COLOURS = {"running": "green", "quiet": "yellow", "stopping": "magenta"}
SHORT = 12
"""The end of an id that is shown in the list: its beginning is a time, and much alike among nodes."""
LATE = 0.7
"""A node whose last heartbeat is so much of its lease ago may be dead."""


def node_list(fleet: RemoteFleet, *, width: int) -> Table:
    """Return a table of nodes, ``width`` columns wide at most; if need be, names and types are cut."""
    now = datetime.now(UTC)
    wide = width >= WIDE
    table = plain_table("NODE", "NAME", "STATE", "BUSY", "UP", "SEEN", *(("VERSION", "QUEUES") if wide else ()), "RUNS")
    for number in (1, -1):
        table.columns[number].no_wrap, table.columns[number].overflow = False, "ellipsis"
    for node in (one.node for one in fleet.nodes):
        here = "*" if node.id == fleet.here else ""
        more = (Text(harmless(node.version)), Text(harmless(", ".join(node.queues or ["all"])))) if wide else ()
        table.add_row(
            Text(harmless(node.id[-SHORT:]) + here),
            Text(harmless(node.called)),
            state(node),
            busy(node),
            relative(node.started_at, now).removesuffix(" ago") if node.started_at else "",
            seen(node),
            *more,
            Text(harmless(runs(node)), no_wrap=True, overflow="ellipsis"),
        )
    return table


def line(node: RemoteNode) -> Text:
    """Return a node in one line; its id is the first word."""
    yet = "" if node.obeyed else "  (it has yet to hear of it)"
    return Text.assemble(harmless(node.id), "  ", harmless(node.called), "  ", state(node), "  ", busy(node), yet)


def state(node: RemoteNode) -> Text:
    if node.kind == "remote":
        return Text("remote", "cyan")
    return Text(harmless(node.state), COLOURS.get(node.state, ""))


def busy(node: RemoteNode) -> str:
    """Return how many of its workers have a job."""
    return f"{node.running}/{node.slots}"


def whole(node: RemoteNode) -> Iterable[Text | Table]:
    """Yield the paragraphs that show everything about a node."""
    now = datetime.now(UTC)
    yield line(node)
    facts = Table(box=None, padding=(0, 2, 0, 0), show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(node, now):
        facts.add_row(name, Text(harmless(value)))
    yield facts
    if node.jobs:
        yield _jobs(node.jobs, now)
    if node.running > len(node.jobs):
        yield Text(f"and {node.running - len(node.jobs)} more")


def _facts(node: RemoteNode, now: datetime) -> Iterable[tuple[str, str]]:
    yield "version", node.version
    yield "roles", ", ".join(node.roles)
    yield "queues", ", ".join(node.queues or ["all"])
    yield "types", ", ".join(node.types) or "none"
    if node.started_at:
        yield "started", absolute(node.started_at, now)
    yield "lease", f"{node.lease:g} s, renewed {span(node.lease_age)} ago"


def _jobs(jobs: Iterable[RemoteRunning], now: datetime) -> Table:
    table = plain_table("JOB", "TYPE", "QUEUE", "ATTEMPT", "FOR")
    table.columns[1].no_wrap, table.columns[1].overflow = False, "ellipsis"
    for job in jobs:
        lasts = relative(job.since, now).removesuffix(" ago") if job.since else ""
        stopping = " (to be cancelled)" if job.cancelling else ""
        table.add_row(
            Text(harmless(job.id)),
            Text(harmless(job.type)),
            Text(harmless(job.queue)),
            str(job.attempt),
            lasts + stopping,
        )
    return table


def seen(node: RemoteNode) -> Text:
    """Return how long ago it renewed its lease."""
    return Text(f"{span(node.lease_age)} ago", "red" if node.lease_age > LATE * node.lease else "")


def runs(node: RemoteNode) -> str:
    """Return the types of what it runs, those that run most often first."""
    counts: dict[str, int] = {}
    for job in node.jobs:
        counts[job.type] = counts.get(job.type, 0) + 1
    words = [
        f"{name} x{count}" if count > 1 else name for name, count in sorted(counts.items(), key=lambda one: -one[1])
    ]
    return ", ".join(words) + (" …" if node.running > len(node.jobs) else "")
