"""The command ``tickr top``: live on a terminal, or one picture of it for a script."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import UTC, datetime

import click
import trio

from tickr.cli import screen
from tickr.cli.exits import INTERRUPTED, MISUSED, Exit, plainly
from tickr.cli.jobs import asking, remote_at
from tickr.cli.pipes import ending_with_the_reader
from tickr.cli.remote import Remote
from tickr.cli.top import model, reading
from tickr.cli.top.frame import once as picture
from tickr.cli.top.live import Top
from tickr.cli.top.model import Listing, Room, State, View, wanted, with_listing

NO_TERMINAL = "tickr top needs a terminal for its screen and its keys; `tickr top --once` prints one picture without."


@click.command()
@click.option(
    "--view", type=click.Choice([str(view) for view in View]), default="queues", help="Which list comes first. [queues]"
)
@click.option("--filter", "words", default="", metavar="TEXT", help="What / would filter it by.")
@click.option("--once", is_flag=True, help="Print one picture and end; no terminal is needed.")
@asking
def top(view: str, words: str, once: bool, url: str | None, as_json: bool) -> None:
    """Watch queues, jobs, nodes and schedules live, with keys to act on them; ? lists them, q leaves.

    \b
    tickr top --view jobs --filter "queue=mail error=timeout"
    tickr top --once --json --view nodes

    With --once the variables COLUMNS and LINES say how large the picture is where there is no terminal. Ctrl-C ends
    with the exit code 130.
    """
    if as_json and not once:
        raise click.UsageError("--json is for --once.")
    if not once and not (sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"):
        raise Exit(NO_TERMINAL, MISUSED)
    state = with_listing(State(view=View(view)), Listing(filter=words.strip()))
    with remote_at(url) as remote:
        try:
            if once:
                _show_once(remote, state, as_json=as_json)
            else:
                _show_live(remote, state)
        except KeyboardInterrupt:
            raise Exit("", INTERRUPTED) from None


def _show_once(remote: Remote, state: State, *, as_json: bool) -> None:
    console = screen.console()
    room = Room(*shutil.get_terminal_size())
    console.width = room.width
    asked = wanted(state, room)
    found = reading.read(remote, asked)
    with ending_with_the_reader():
        if as_json:
            click.echo(reading.document(remote.url, state.view, found))
            return
        state = model.taken(state, asked, found.what, room)
        console.print(picture(state, room, console, url=remote.url, now=datetime.now(UTC)))


def _show_live(remote: Remote, state: State) -> None:
    console = screen.console()
    room = Room(console.width, console.height)
    # A first answer before the screen changes: who is not there, or says no, is told as by any other command.
    asked = wanted(state, room)
    state = model.taken(state, asked, reading.read(remote, asked).what, room)
    with plainly():
        code = trio.run(Top(remote, console, sys.stdin.fileno(), state).run)
    if code:
        raise Exit("", code)
