"""``tickr log``: what a job has logged, as it is kept with it, the oldest line first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote, urlencode

import click
import msgspec
from rich.text import Text

from tickr.cli import known, screen
from tickr.cli.jobs import asking, remote_at
from tickr.cli.remote import Remote

PAGE = 500


class RemoteLine(msgspec.Struct, frozen=True):
    """A line as the API shows it."""

    attempt: int
    at: str
    message: str | None
    dropped: int = 0


class RemoteLog(msgspec.Struct, frozen=True):
    items: list[RemoteLine]
    cursor: str
    more: bool


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=known.jobs)
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Only what attempt N has logged.")
@click.option("--decrypt", is_flag=True, help="Show what is encrypted of it in the clear.")
@asking
def log(job_id: str, attempt: int | None, decrypt: bool, url: str | None, as_json: bool) -> None:
    """Show what the job ID has logged, of all its attempts, as far as it is kept.

    \b
    tickr log 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --attempt 2
    """
    console = screen.console()
    with remote_at(url) as remote:
        for page, raw in _pages(remote, job_id, {"attempt": attempt, "decrypt": "true" if decrypt else None}):
            if as_json:
                click.echo(raw)
                continue
            for one in page.items:
                console.print(line(one), soft_wrap=True)


def _pages(remote: Remote, job_id: str, wanted: dict[str, object]) -> Iterator[tuple[RemoteLog, bytes]]:
    query = {name: value for name, value in wanted.items() if value is not None} | {"limit": PAGE}
    more = True
    while more:
        page, raw = remote.asked("GET", f"/jobs/{quote(job_id, safe='')}/log?{urlencode(query)}", RemoteLog)
        yield page, raw
        query["after"], more = page.cursor, page.more


def line(one: RemoteLine) -> Text:
    """Return a line with its instant by this machine's clock, and the attempt that has said it."""
    said = "(encrypted)" if one.message is None else screen.harmless(one.message)
    dropped = f"({one.dropped} left out) " if one.dropped else ""
    at = f"{datetime.fromisoformat(one.at).astimezone():%Y-%m-%d %H:%M:%S}"
    return Text.assemble((f"{at}  {one.attempt}  ", "dim"), (dropped, "dim"), said)
