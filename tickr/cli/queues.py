"""``tickr queue``: how the queues stand, and what an operator sets on them. Asks a running Tickr over HTTP."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import get_args
from urllib.parse import quote

import click
import msgspec

from tickr import values
from tickr.cli import hints, known, operations, screen, submission
from tickr.cli.groups import ListingGroup
from tickr.cli.jobs import DURATION, PATIENCE, asking, each, remote_at
from tickr.cli.remote import Remote
from tickr.cli.remote_operations import RemoteOperations
from tickr.cli.remote_records import RemoteQueue
from tickr.cli.submission import Read
from tickr.queues import JobOrder

Answered = Callable[[Remote], tuple[RemoteQueue, bytes]]


def _rate(word: object) -> dict[str, object]:
    """Return a rate like ``100/60s`` or ``5/1m`` as the API takes it. Raises: ValueError."""
    found = re.fullmatch(r"(\d{1,9})/(.+)", str(word))
    if not found:
        raise ValueError("must be starts and a time, like 100/60s or 5/1m")
    return {"starts": int(found[1]), "period": values.seconds(found[2] if found[2][0].isdigit() else "1" + found[2])}


@click.group(cls=ListingGroup)
def queue() -> None:
    """Show queues, pause and resume them, set how much of them may run and in which order. Alone it lists them."""


@queue.command("list")
@asking
def list_(url: str | None, as_json: bool) -> None:
    """List all queues: how many jobs wait and run, and what is set on them.

    \b
    tickr queue list --json
    """
    with remote_at(url) as remote:
        _show_all(remote.queues(), as_json=as_json)


@queue.command()
@click.argument("name", shell_complete=known.queues)
@asking
def show(name: str, url: str | None, as_json: bool) -> None:
    """Show the queue NAME.

    \b
    tickr queue show mail
    """
    _ask(lambda remote: remote.queue(name), url, as_json=as_json)


@queue.command()
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=known.queues)
@click.option("--all", "every", is_flag=True, help="All queues that there are.")
@click.option("--for", "for_", type=DURATION, metavar="TIME", help="It is over by itself after so long: 30s, 10m.")
@click.option("--until", type=Read(submission.instant, "instant"), metavar="INSTANT", help="It is over by itself then.")
@asking
def pause(
    names: Sequence[str], every: bool, for_: float | None, until: str | None, url: str | None, as_json: bool
) -> None:
    """Start no more jobs of these queues on any node. What runs goes on, and jobs are still taken.

    \b
    tickr queue pause mail imports --for 10m
    """
    body = submission.body({"for": for_, "until": until}) if for_ is not None or until else None
    _change(names, every, "pause", body, url, as_json=as_json)


@queue.command()
@click.argument("names", nargs=-1, metavar="NAME...", shell_complete=known.queues)
@click.option("--all", "every", is_flag=True, help="All queues that there are.")
@asking
def resume(names: Sequence[str], every: bool, url: str | None, as_json: bool) -> None:
    """Let paused queues go on.

    \b
    tickr queue resume --all
    """
    _change(names, every, "resume", None, url, as_json=as_json)


def _change(
    names: Sequence[str], every: bool, action: str, body: bytes | None, url: str | None, *, as_json: bool
) -> None:
    if every == bool(names):
        raise click.UsageError("Name the queues, or say --all.")
    with remote_at(url) as remote:
        if every:
            _show_all(remote.queues(action, body), as_json=as_json)
        # Asked before: afterwards there is a queue of that name. (Limits are set on queues to come; no hint there.)
        said = [] if as_json else hints.of_names(remote, queues=names)
        for name in names:
            _show(remote.pause(name, action, body), as_json=as_json)
        hints.say(*said)


@queue.command()
@click.argument("name", shell_complete=known.queues)
@click.option("--max-running", type=int, metavar="NUMBER", help="How many of its jobs run at once, on all nodes.")
@click.option("--max-per-key", type=int, metavar="NUMBER", help="How many with the same limit key run at once.")
@click.option("--shared-keys", is_flag=True, help="Count each key over all queues that share theirs.")
@click.option("--rate", type=Read(_rate, "rate"), metavar="STARTS/TIME", help="How many start in a time: 100/60s.")
@asking
def limit(
    name: str,
    max_running: int | None,
    max_per_key: int | None,
    shared_keys: bool,
    rate: object,
    url: str | None,
    as_json: bool,
) -> None:
    """Set the limits of the queue NAME. What is not given is no limit any more; without options there is none.

    \b
    tickr queue limit mail --max-running 10 --rate 100/1m
    tickr queue limit reports --max-per-key 2 --shared-keys
    tickr queue limit mail
    """
    limits = {"max_running": max_running, "max_running_per_key": max_per_key, "rate": rate, "shared_keys": shared_keys}
    body = msgspec.json.encode(limits)
    _ask(lambda remote: remote.limit(name, body), url, as_json=as_json)


@queue.command()
@click.argument("name", shell_complete=known.queues)
@click.argument("which", type=click.Choice(get_args(JobOrder)))
@asking
def order(name: str, which: str, url: str | None, as_json: bool) -> None:
    """Start the oldest or the newest due jobs of the queue NAME first, among those of one priority.

    \b
    tickr queue order live newest
    """
    body = msgspec.json.encode({"order": which})
    _ask(lambda remote: remote.order(name, body), url, as_json=as_json)


@queue.command()
@click.argument("name", shell_complete=known.queues)
@click.option("--delete", is_flag=True, help="Delete the jobs for good, do not only cancel them.")
@click.option("--reason", metavar="TEXT", help="Why: it stands in the jobs' errors.")
@click.option("--rate", type=float, metavar="NUMBER", help="So many jobs a second; 200 if not given.")
@click.option("--yes", "-y", "sure", is_flag=True, help="Do not ask.")
@click.option("--wait", type=PATIENCE, metavar="DURATION", help="Wait until it is done, so long at most.")
@asking
def empty(
    name: str,
    delete: bool,
    reason: str | None,
    rate: float | None,
    sure: bool,
    wait: float | None,
    url: str | None,
    as_json: bool,
) -> None:
    """Cancel all that waits in the queue NAME, step by step; see tickr operations. What runs goes on.

    \b
    tickr queue empty imports --delete --reason "wrong file"

    With --wait the exit code is 0 if it is done, 5 if it was stopped, 6 if it has not ended in that time.
    """
    if not sure:
        click.confirm(f"{'Delete' if delete else 'Cancel'} all that waits in {name}?", abort=True, err=True)
    body = submission.body({"delete": delete, "reason": reason, "rate": rate})
    with remote_at(url) as remote:
        asked = RemoteOperations(remote)
        answer = asked.empty(name, body)
        if wait is not None:
            answer = operations.wait_for(asked, answer.operation.id, wait)
    operations.say(answer, as_json=as_json)
    if wait is not None:
        operations.leave_with(answer)


@queue.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known.queues)
@asking
def delete(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Take queues away in which nothing waits or runs: their names, and what is set on them.

    \b
    tickr queue delete old
    """

    def done(remote: Remote, name: str) -> bytes | str:
        remote.done("DELETE", f"/queues/{quote(name, safe='')}")
        return submission.body({"name": name, "deleted": True}) if as_json else f"{name}  deleted"

    with remote_at(url) as remote:
        each(names, lambda name: done(remote, name))


def _ask(asked: Answered, url: str | None, *, as_json: bool) -> None:
    with remote_at(url) as remote:
        _show(asked(remote), as_json=as_json)


def _show(answer: tuple[RemoteQueue, bytes], *, as_json: bool) -> None:
    found, raw = answer
    if as_json:
        click.echo(raw)
    else:
        screen.console().print(screen.queue_line(found))


def _show_all(found: Sequence[tuple[RemoteQueue, bytes]], *, as_json: bool) -> None:
    if as_json:
        for _, raw in found:
            click.echo(raw)
    elif found:
        screen.console().print(screen.queue_list([one for one, _ in found]))
    else:
        click.echo("No queue has been used yet.", err=True)
