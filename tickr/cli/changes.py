"""``tickr cancel``, ``edit``, ``delete`` and ``retry``: of certain jobs, or of all that match (``--all``).

With ``--all`` the server is asked first how many there are, the person who types is shown these and asked, and only
then it begins: as an operation, which goes on whatever becomes of this command.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import click
import uuid_utils

from tickr.cli import choosing, hints, known, operation_screen, operations, screen, submission
from tickr.cli.choosing import CHANGE
from tickr.cli.jobs import PATIENCE, asking, each, remote_at
from tickr.cli.remote import Remote
from tickr.cli.remote_operations import RemoteOperations
from tickr.cli.remote_records import Answer

Command = TypeVar("Command", bound=Callable[..., object])


def _of_many(command: Command) -> Command:
    """Give a command what goes with ``--all``."""
    parts: tuple[Any, ...] = (
        click.option("--all", "everything", is_flag=True, help="All jobs that match, in place of IDs."),
        choosing.with_filters,
        click.option("--rate", type=float, metavar="NUMBER", help="So many jobs a second; 200 if not given."),
        click.option("--dry-run", is_flag=True, help="Only say how many there are."),
        click.option("--yes", "-y", "sure", is_flag=True, help="Do not ask."),
        click.option("--wait", type=PATIENCE, metavar="DURATION", help="Wait until it is done, so long at most."),
    )
    for part in reversed(parts):
        command = part(command)
    return command


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[ID...]", shell_complete=known.jobs)
@click.option("--reason", metavar="TEXT", help="Why: it stands in the job's error.")
@_of_many
@asking
def cancel(
    job_ids: Sequence[str], reason: str | None, everything: bool, url: str | None, as_json: bool, **many: Any
) -> None:
    """Cancel jobs that wait; tell the workers of those that run to stop them.

    \b
    tickr cancel 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --reason withdrawn
    tickr cancel --all --queue imports --state ready

    With --all it is done to all jobs that match, step by step; see tickr operations. First it says how many there are,
    and asks. With --wait the exit code is 0 if it is done, 5 if it was stopped, 6 if it has not ended in that time.
    """
    if everything:
        _all("cancel", job_ids, {"reason": reason}, url, as_json=as_json, **many)
        return
    _check_single(job_ids, many)
    body = None if reason is None else submission.body({"reason": reason})
    _each(job_ids, url, lambda remote, one: remote.cancel(one, body), as_json=as_json, done=cancelled)


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[ID...]", shell_complete=known.jobs)
@click.option("--cancel", "waiting", is_flag=True, help="Jobs that wait, too: they are cancelled and deleted.")
@_of_many
@asking
def delete(
    job_ids: Sequence[str], waiting: bool, everything: bool, url: str | None, as_json: bool, **many: Any
) -> None:
    """Delete jobs that have ended, with all that is kept of them. For good.

    \b
    tickr delete 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c
    tickr delete --all --label customer=42

    With --all it is done to all jobs that match, step by step; see tickr operations. Without --state these are the ones
    that have ended; those that wait are deleted where --state names them. First it says how many there are, and asks.
    With --wait the exit code is 0 if it is done, 5 if it was stopped, 6 if it has not ended in that time.
    """
    if everything:
        if waiting:
            raise click.UsageError("With --all, say --state ready, and so on, for jobs that wait.")
        _all("delete", job_ids, {}, url, as_json=as_json, **many)
        return
    _check_single(job_ids, many)

    def done(remote: Remote, job_id: str) -> bytes | str:
        remote.done("DELETE", f"/jobs/{quote(job_id, safe='')}{'?cancel=true' if waiting else ''}")
        return submission.body({"id": job_id, "deleted": True}) if as_json else f"{job_id}  deleted"

    with remote_at(url) as remote:
        each(job_ids, lambda job_id: done(remote, job_id))


_set = click.option(
    "--set",
    "pairs",
    type=CHANGE,
    multiple=True,
    metavar="FIELD=VALUE",
    help="What is to be different: payload (JSON, - or @FILE), queue, priority, max_attempts, timeout, backoff, "
    "labels, limit_key, delay, run_at, expires_in, expires_at (or never). May be repeated.",
)


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[ID...]", shell_complete=known.jobs)
@_set
@click.option("--now", "at_once", is_flag=True, help="Due at once: like --set delay=0.")
@_of_many
@asking
def edit(
    job_ids: Sequence[str],
    pairs: Sequence[tuple[str, object]],
    at_once: bool,
    everything: bool,
    url: str | None,
    as_json: bool,
    **many: Any,
) -> None:
    """Change jobs that wait: when they run, how urgent they are, what is in them. Of those that run, the timeout.

    \b
    tickr edit 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --now --set priority=0
    tickr edit --all --queue imports --set queue=nightly --set delay=8h

    With --all it is done to all jobs that match, step by step; see tickr operations. Without --state these are the ones
    that wait. First it says how many there are, and asks. With --wait the exit code is 0 if it is done, 5 if it was
    stopped, 6 if it has not ended in that time.
    """
    changes = choosing.changes([*pairs, ("delay", 0)] if at_once else pairs)
    if not changes:
        raise click.UsageError("Say what is to be different: --set FIELD=VALUE, or --now.")
    if everything:
        _all("edit", job_ids, {"changes": changes}, url, as_json=as_json, **many)
        return
    _check_single(job_ids, many)
    body = submission.body(changes)
    _each(job_ids, url, lambda remote, one: remote.edit(one, body), as_json=as_json, done=_edited)


@click.command()
@click.argument("job_ids", nargs=-1, metavar="[ID...]", shell_complete=known.failed_jobs)
@_set
@_of_many
@asking
def retry(
    job_ids: Sequence[str],
    pairs: Sequence[tuple[str, object]],
    everything: bool,
    url: str | None,
    as_json: bool,
    **many: Any,
) -> None:
    """Run jobs again that failed, succeeded or were cancelled.

    \b
    tickr retry 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --set payload=@mended.json
    tickr retry --all --type email --error timeout --finished-after 2h

    With --all it is done to all jobs that match, step by step; see tickr operations. Without --state these are the
    failed ones. First it says how many there are, and asks. With --wait the exit code is 0 if it is done, 5 if it was
    stopped, 6 if it has not ended in that time.
    """
    changes = choosing.changes(pairs)
    if everything:
        _all("retry", job_ids, {"changes": changes}, url, as_json=as_json, **many)
        return
    _check_single(job_ids, many)
    body = submission.body(changes) if changes else None
    _each(job_ids, url, lambda remote, one: remote.retry(one, body), as_json=as_json, done=lambda _: "runs again")


def cancelled(answer: Answer) -> str:
    if answer.job.state == "blocked":
        return "ends when its children have been cancelled"
    return "cancelled" if answer.job.state == "cancelled" else "is running; its worker has been told to stop it"


def _edited(answer: Answer) -> str:
    job = answer.job
    due = f", due {job.run_at}" if job.state in ("scheduled", "retrying") else ""
    return f"{job.state} in {job.queue}, priority {job.priority}{due}"


def _each(
    job_ids: Sequence[str],
    url: str | None,
    ask: Callable[[Remote, str], Answer],
    *,
    as_json: bool,
    done: Callable[[Answer], str],
) -> None:
    def line(remote: Remote, job_id: str) -> bytes | str:
        answer = ask(remote, job_id)
        return answer.raw if as_json else f"{answer.job.id}  {done(answer)}"

    with remote_at(url) as remote:
        each(job_ids, lambda job_id: line(remote, job_id))


def _check_single(job_ids: Sequence[str], many: Mapping[str, Any]) -> None:
    if given := choosing.flags({("yes" if name == "sure" else name): value for name, value in many.items()}):
        raise click.UsageError(f"With --all only: {given}.")
    if not job_ids:
        raise click.UsageError("Say which jobs: their IDs, or --all with what they have in common.")


# -- all that match ---------------------------------------------------------------------------------------------------


def _all(
    action: str,
    job_ids: Sequence[str],
    more: Mapping[str, object],
    url: str | None,
    *,
    as_json: bool,
    rate: float | None,
    dry_run: bool,
    sure: bool,
    wait: float | None,
    **filters: Any,
) -> None:
    if job_ids:
        raise click.UsageError("--all and IDs cannot be given together.")
    which = choosing.body(filters)
    # Its id is chosen here, so that the wish is the same one however often it is sent.
    wish = {"action": action, "filter": which, "all": not which, "rate": rate, "id": str(uuid_utils.uuid7()), **more}
    with remote_at(url) as remote:
        asked = RemoteOperations(remote)
        if (dry_run or not sure) and not _shown(asked, wish, as_json=as_json, dry_run=dry_run):
            return
        answer = asked.begin(wish)
        if wait is not None:
            answer = operations.wait_for(asked, answer.operation.id, wait)
    operations.say(answer, as_json=as_json)
    if wait is not None:
        operations.leave_with(answer)


def _shown(asked: RemoteOperations, wish: Mapping[str, Any], *, as_json: bool, dry_run: bool) -> bool:
    """Show which jobs ``wish`` is about, and ask. Returns: whether to go on. Raises: click.Abort: no."""
    found, raw = asked.look(wish)
    if as_json and dry_run:
        click.echo(raw)
        return False
    if not found.total and found.exact:
        if as_json:
            click.echo(raw)
        click.echo("No such jobs.", err=True)
        hints.say(*([] if as_json else hints.of_filters(asked.remote, wish["filter"])))
        return False
    console = screen.console(None if dry_run else sys.stderr)
    if found.total:
        console.print(operation_screen.group_list(found, states=True, width=console.width))
    else:
        click.echo(operation_screen.UNSEEN, err=True)
    if dry_run:
        click.echo(f"tickr {wish['action']} would be about {operation_screen.count(found)}.")
        return False
    click.confirm(f"{str(wish['action']).capitalize()} {operation_screen.count(found)}?", abort=True, err=True)
    return True
