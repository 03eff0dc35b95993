"""``tickr operations`` and ``tickr dead-letters``: what is done to many jobs at once, and the failed jobs at a glance.

Each command asks a running Tickr over HTTP. With ``--json`` each prints what the server sent, a document a line.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import click

from tickr.cli import choosing, hints, known, operation_screen, progress, screen
from tickr.cli.exits import CANCELLED, INTERRUPTED, NOT_ENDED, Exit
from tickr.cli.groups import ListingGroup
from tickr.cli.jobs import PATIENCE, asking, each, remote_at
from tickr.cli.remote import Refused, Unanswered
from tickr.cli.remote_operations import OperationAnswer, RemoteOperation, RemoteOperations

PAUSE_S = 0.5
"""Between two looks at an operation that is waited for, in seconds."""
_OUTCOMES = {"done": 0, "stopped": CANCELLED}


def say(answer: OperationAnswer, *, as_json: bool) -> None:
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(operation_screen.line(answer.operation))


def wait_for(operations: RemoteOperations, operation_id: str, seconds: float) -> OperationAnswer:
    """Return the operation when it has ended, or as it is after ``seconds`` (may be infinite).

    Raises: Exit: it was refused; nobody answered at the end; Ctrl-C, which leaves the operation alone.
    """
    until = time.monotonic() + seconds
    seen: list[RemoteOperation] = []
    try:
        with progress.showing(lambda console: operation_screen.picture(seen[-1:], console)):
            while True:
                try:
                    answer = operations.get(operation_id)
                except (Unanswered, Refused) as no:
                    passing = not isinstance(no, Refused) or no.status >= 500 or no.status == 429
                    if time.monotonic() >= until or not passing:
                        raise
                else:
                    seen[:] = [answer.operation]
                    if answer.operation.state in _OUTCOMES or time.monotonic() >= until:
                        return answer
                time.sleep(min(PAUSE_S, max(0.0, until - time.monotonic())))
    except KeyboardInterrupt:
        click.echo(f"The operation goes on. To end it: tickr operations stop {operation_id}", err=True)
        raise Exit("", INTERRUPTED) from None


def leave_with(answer: OperationAnswer) -> None:
    """End the command with the exit code of an operation that was waited for. Raises: Exit, unless it is done."""
    if code := _OUTCOMES.get(answer.operation.state, NOT_ENDED):
        raise Exit("", code)


@click.group(cls=ListingGroup)
def operations() -> None:
    """Operations on many jobs: begun by tickr retry --all and tickr cancel --all. Alone, it lists them."""


@operations.command("list")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="NUMBER", help="How many at most; 20 if not given."
)
@asking
def list_(limit: int, url: str | None, as_json: bool) -> None:
    """List operations, newest first.

    \b
    tickr operations list --limit 5
    """
    with remote_at(url) as remote:
        found = RemoteOperations(remote).newest(limit)
        if as_json:
            for answer in found:
                click.echo(answer.raw)
            return
        shown = [answer.operation for answer in found]
    if not shown:
        click.echo("No operations.", err=True)
        return
    console = screen.console()
    console.print(operation_screen.operation_list(shown, width=console.width))


@operations.command()
@click.argument("operation_id", metavar="ID", shell_complete=known.operations)
@click.option("--wait", type=PATIENCE, metavar="DURATION", help="Wait for its end first, so long at most.")
@asking
def show(operation_id: str, wait: float | None, url: str | None, as_json: bool) -> None:
    """Show the operation ID.

    \b
    tickr operations show 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --wait 5m

    With --wait the exit code is 0 if it is done, 5 if it was stopped, and 6 if it has not ended in that time.
    """
    with remote_at(url) as remote:
        asked = RemoteOperations(remote)
        answer = asked.get(operation_id) if wait is None else wait_for(asked, operation_id, wait)
    if as_json:
        click.echo(answer.raw)
    else:
        console = screen.console()
        for part in operation_screen.whole(answer.operation):
            console.print(part)
    if wait is not None:
        leave_with(answer)


@operations.command()
@click.argument("operation_ids", nargs=-1, required=True, metavar="ID...", shell_complete=known.operations)
@asking
def stop(operation_ids: Sequence[str], url: str | None, as_json: bool) -> None:
    """Have operations go no further. What they have done stays done.

    \b
    tickr operations stop 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c
    """

    def done(asked: RemoteOperations, operation_id: str) -> bytes | str:
        answer = asked.stop(operation_id)
        return answer.raw if as_json else operation_screen.line(answer.operation).plain

    with remote_at(url) as remote:
        each(operation_ids, lambda one: done(RemoteOperations(remote), one))


@click.command("dead-letters")
@choosing.with_filters
@asking
def dead_letters(url: str | None, as_json: bool, state: Sequence[str], **filters: Any) -> None:
    """Show the failed jobs in groups: of which type they are, and why they failed.

    \b
    tickr dead-letters --finished-after 1h     what went wrong in the last hour
    tickr list --state failed --type email     the jobs of a group
    tickr show ID --tracebacks                 one of them, with all that it tells
    tickr retry --all --type email             run them again, once that is mended
    """
    if state and set(state) != {"failed"}:
        raise click.UsageError("Dead letters are failed jobs; tickr list --state shows others.")
    with remote_at(url) as remote:
        found, raw = RemoteOperations(remote).dead_letters(choosing.query(filters))
        said = [] if found.total or as_json else hints.of_filters(remote, filters)
    if as_json:
        click.echo(raw)
    elif found.total:
        console = screen.console()
        console.print(operation_screen.group_list(found, states=False, width=console.width))
        if not found.exact:
            click.echo(f"{operation_screen.count(found)}: not all were counted.", err=True)
    elif not found.exact:
        click.echo(operation_screen.UNSEEN, err=True)
    else:
        click.echo("No such jobs." if choosing.query(filters) else "No failed jobs.", err=True)
        hints.say(*said)
