"""``tickr watch``: what happens to jobs, as it happens, until Ctrl-C.

On a terminal an event is a coloured line for a person. Elsewhere, and with ``--json``, it is the CloudEvent itself, one
a line, each written out before the next is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

import click
from rich.console import Console
from rich.text import Text

from tickr.cli import hints, known, lines, screen
from tickr.cli.exits import INTERRUPTED, Exit
from tickr.cli.jobs import asking, remote_at
from tickr.cli.pipes import ending_with_the_reader
from tickr.cli.subscription import EARLIEST, Subscription, Told

Print = Callable[[Told], None]


@click.command()
@click.option("--job", multiple=True, metavar="ID", shell_complete=known.jobs, help="Only this job; may be repeated.")
@click.option(
    "--queue",
    multiple=True,
    metavar="NAME",
    shell_complete=known.queues,
    help="Only jobs in this queue; may be repeated.",
)
@click.option(
    "--type", multiple=True, metavar="TYPE", shell_complete=known.types, help="Only jobs of this type; may be repeated."
)
@click.option(
    "--event",
    multiple=True,
    metavar="EVENT",
    shell_complete=known.fixed(lines.COLOURS),
    help="Only this: created, started, failed, …; may be repeated.",
)
@click.option(
    "--name", "name", multiple=True, metavar="NAME", help="Only events that jobs emit as NAME; may be repeated."
)
@click.option(
    "--after", metavar="CURSOR", help=f"From that place in the feed on; {EARLIEST} for all that is kept. [now]"
)
@asking
def watch(after: str | None, url: str | None, as_json: bool, **filters: Sequence[str]) -> None:
    """Watch what happens to jobs, as it happens. Ctrl-C ends.

    On a terminal a line for each event, elsewhere (or with --json) a CloudEvent in JSON for each. A lost connection is
    made again, and nothing is missed meanwhile. The exit code is 130 after Ctrl-C.

    \b
    tickr watch --queue mail --event failed --event retrying
    tickr watch --after earliest | jq .subject
    """
    with ending_with_the_reader():
        try:
            with remote_at(url) as remote:
                feed = Subscription(remote, filters, after=after)
                feed.open()
                begin = {None: "now", EARLIEST: "the earliest event that is kept"}.get(after, "the cursor given")
                click.echo(f"watching {remote.url} from {begin}; Ctrl-C ends", err=True)
                hints.say(*([] if as_json else hints.of_filters(remote, filters)))
                _listen(feed, _printer(as_json=as_json))
        except KeyboardInterrupt:
            raise Exit("", INTERRUPTED) from None


def _listen(feed: Subscription, show: Print) -> None:
    for item in feed:
        if isinstance(item, Told):
            show(item)
        elif words := feed.words(item):
            click.echo(words, err=True)


def _printer(*, as_json: bool) -> Print:
    console = screen.console()
    if as_json or not screen.is_watched(console):
        return lambda told: click.echo(told.raw)
    return _Lines(console).show


class _Lines:
    """A line for each event, and one for each new day."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._day = f"{datetime.now().astimezone():%Y-%m-%d}"

    def show(self, told: Told) -> None:
        day = lines.day(told.event)
        if day != self._day:
            self._day = day
            self._console.print(Text(day, "dim"))
        width, ascii_only = self._console.width, self._console.options.ascii_only
        self._console.print(lines.line(told.event, width=width, ascii_only=ascii_only))
