"""``tickr audit``: who changed what, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlencode

import click
import msgspec
from rich.text import Text

from tickr.cli import lines, screen
from tickr.cli.jobs import asking, remote_at

PAGE = 200


class RemoteEntry(msgspec.Struct, frozen=True):
    """The parts of an entry that a person reads."""

    at: str
    who: str
    address: str
    action: str
    subject: str
    status: int | None = None


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next_cursor: str | None = None


@click.command()
@click.option("--who", metavar="NAME", help="Only what was changed with this token.")
@click.option("--subject", metavar="NAME", help="Only what was done to this: the id of a job, the name of a queue.")
@click.option("--limit", type=click.IntRange(1), default=50, metavar="N", help="How many at most. [50]")
@asking
def audit(who: str | None, subject: str | None, limit: int, url: str | None, as_json: bool) -> None:
    """Show who changed what, the newest first. Needs a token with the scope admin.

    \b
    tickr audit --who anna
    tickr audit --subject mail
    """
    wanted = {name: word for name, word in (("who", who), ("subject", subject)) if word}
    found: list[msgspec.Raw] = []
    cursor: str | None = None
    with remote_at(url) as remote:
        while len(found) < limit:
            query = wanted | {"limit": str(min(PAGE, limit - len(found)))} | ({"cursor": cursor} if cursor else {})
            page, _ = remote.asked("GET", f"/audit?{urlencode(query)}", _Page)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        entries = [remote.read(raw, RemoteEntry) for raw in found]
    if as_json:
        for raw in found:
            click.echo(bytes(raw))
        return
    if not entries:
        click.echo("No such changes." if wanted else "No changes.", err=True)
        return
    table = screen.plain_table("WHEN", "WHO", "FROM", "DID", "TO", "ANSWER")
    for one in entries:
        answer = "unknown" if one.status is None else str(one.status)
        words = (screen.relative(one.at, datetime.now(UTC)), one.who, one.address, one.action, one.subject, answer)
        table.add_row(*(Text(lines.one_line(word)) for word in words))
    screen.console().print(table)
