"""``tickr tree``: a job with all that its handler, and theirs, have submitted, and how each of them stands."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import click
import msgspec
from rich.text import Text

from tickr.cli import known, screen
from tickr.cli.jobs import asking, remote_at
from tickr.cli.remote_records import RemoteError


class RemoteTreeJob(msgspec.Struct, frozen=True):
    """One job of a tree as the API shows it."""

    id: str
    type: str
    state: str
    name: str | None = None
    error: RemoteError | None = None
    children: list[RemoteTreeJob] = []


class RemoteTree(msgspec.Struct, frozen=True):
    tree: RemoteTreeJob
    parent: str | None = None
    complete: bool = True


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=known.jobs)
@asking
def tree(job_id: str, url: str | None, as_json: bool) -> None:
    """Show the job ID with its children, their children, and so on.

    \b
    tickr tree 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c
    """
    with remote_at(url) as remote:
        told, raw = remote.asked("GET", f"/jobs/{quote(job_id, safe='')}/tree", RemoteTree)
    if as_json:
        click.echo(raw)
        return
    console = screen.console()
    for line in lines(told.tree):
        console.print(line)
    if told.parent:
        click.echo(f"It is a child of {told.parent}.", err=True)
    if not told.complete:
        click.echo("… and more: `tickr tree` of a child shows what is below it.", err=True)


def lines(job: RemoteTreeJob, stem: str = "", branch: str = "", below: str = "") -> Iterator[Text]:
    """Yield a line for each job; ``stem`` and ``branch`` are drawn before it, and ``below`` before its children."""
    name = f"{screen.harmless(job.name)}  " if job.name else ""
    why = f"  {screen.cut(screen.error_line(job.error))}" if job.error and job.state in ("failed", "cancelled") else ""
    label = Text.assemble((stem + branch, "dim"), name, (screen.harmless(job.type), "bold"), f"  {job.id}  ")
    yield Text.assemble(label, screen.state(job.state), why)
    for number, child in enumerate(job.children, 1):
        last = number == len(job.children)
        yield from lines(child, stem + below, "└─ " if last else "├─ ", "   " if last else "│  ")
