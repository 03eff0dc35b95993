"""``tickr stats`` and ``tickr mark``: how much was done and how long it took, and marks to see it by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import click
import msgspec
import uuid_utils

from tickr import values
from tickr.cli import hints, known, screen, statistics_screen, submission
from tickr.cli.jobs import asking, remote_at
from tickr.cli.submission import Read
from tickr.client.statistics import Mark, Statistics

STEPS = ("minute", "hour", "day")
MINUTES, HOURS = timedelta(hours=24), timedelta(days=60)
"""Up to so long a time is told by minute, and by hour, if nothing else is said."""


def _since(word: str) -> datetime:
    """Return an instant, or how long ago. Raises: ValueError."""
    try:
        return datetime.now(UTC) - timedelta(seconds=values.seconds(word))
    except (ValueError, OverflowError):
        try:
            return datetime.fromisoformat(submission.instant(word))
        except ValueError:
            raise ValueError("must be like 2h or 7d, or an instant like 2030-01-31T12:00:00Z") from None


SINCE = Read(_since, "time")


class _Marks(msgspec.Struct, frozen=True):
    items: list[Mark]


@click.command()
@click.option("--since", type=SINCE, metavar="TIME", help="From when on: 2h, 7d ago, or an instant. [1h]")
@click.option("--until", type=SINCE, metavar="TIME", help="Until when: likewise. [now]")
@click.option("--step", type=click.Choice(STEPS), help="In steps of which length; fits the time if not given.")
@click.option("--by", type=click.Choice(["type", "queue"]), default="type", help="A line for each of these. [type]")
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME",
    shell_complete=known.queues,
    help="Only jobs of this queue; may be repeated.",
)
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="TYPE",
    shell_complete=known.types,
    help="Only jobs of this type; may be repeated.",
)
@asking
def stats(
    since: datetime | None,
    until: datetime | None,
    step: str | None,
    by: str,
    queues: Sequence[str],
    types: Sequence[str],
    url: str | None,
    as_json: bool,
) -> None:
    """Show how much was done, how often it failed, and how long jobs waited and ran.

    \b
    tickr stats
    tickr stats --since 7d --by queue
    tickr stats --since 2h --type report --json
    """
    if since is None:
        since = (until or datetime.now(UTC)) - timedelta(hours=1)
    wanted: dict[str, Any] = {"since": since.isoformat(), "step": step or fitting(since, until or datetime.now(UTC))}
    wanted |= {"until": until.isoformat()} if until else {}
    wanted |= {"queue": queues, "type": types}
    with remote_at(url) as remote:
        found, raw = remote.asked("GET", _path(wanted | {"by": by}), Statistics)
        if as_json:
            click.echo(raw)
            return
        whole, _ = remote.asked("GET", _path(wanted), Statistics)
        said = [] if found.series else hints.of_names(remote, types=types, queues=queues)
    _show(found, whole, by)
    hints.say(*said)


def fitting(since: datetime, until: datetime) -> str:
    """Return the step for a time so long."""
    length = until - since
    return "minute" if length <= MINUTES else "hour" if length <= HOURS else "day"


@click.command()
@click.argument("text", required=False)
@click.option("--at", type=SINCE, metavar="TIME", help="When: an instant, or how long ago. [now]")
@click.option("--delete", "gone", metavar="ID", help="Delete the mark with this id.")
@asking
def mark(text: str | None, at: datetime | None, gone: str | None, url: str | None, as_json: bool) -> None:
    """Make a mark in the statistics and their charts, a deploy say. Without TEXT list those there are.

    \b
    tickr mark v1.2.3
    """
    if (text is not None) + (gone is not None) > 1 or (at is not None and text is None):
        raise click.UsageError("Say what the mark is, or --delete one.")
    with remote_at(url) as remote:
        if gone is not None:
            remote.done("DELETE", f"/marks/{quote(gone, safe='')}")
            if as_json:
                click.echo(submission.body({"id": gone, "deleted": True}))
            return
        if text is None:
            page, raw = remote.asked("GET", "/marks", _Marks)
            found = page.items
        else:
            said = {"text": text, "at": at.isoformat() if at else None, "id": str(uuid_utils.uuid7())}
            made, raw = remote.asked("POST", "/marks", Mark, body=submission.body(said))
            found = [made]
    if as_json:
        click.echo(raw)
        return
    if not found:
        click.echo("No marks.", err=True)
    for one in found:
        screen.console().print(f"{one.id}  {statistics_screen.when(one.at)}  {screen.harmless(one.text)}")


def _path(wanted: dict[str, Any]) -> str:
    return f"/statistics?{urlencode(wanted, doseq=True)}"


def _show(found: Statistics, whole: Statistics, by: str) -> None:
    console = screen.console()
    drawn = {"ascii_only": console.options.ascii_only}
    (everything,) = whole.series
    if not everything.points:
        click.echo("Nothing was done in that time.", err=True)
    else:
        several = everything if len(found.series) > 1 else None
        console.print(statistics_screen.headline(found, everything, **drawn))
        console.print(statistics_screen.table(found, several, by=by, width=console.width, **drawn))
    for line in statistics_screen.marks(found):
        console.print(line, soft_wrap=True)
