"""The commands about jobs: submit, show, list, cancel, retry. Each asks a running Tickr over HTTP.

With ``--json`` each prints one JSON document for each job and line, as the server sent it, for programs to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

import click
import uuid_utils

from tickr import values
from tickr.cli import screen, submission
from tickr.cli.audience import audience
from tickr.cli.exits import REFUSED, Exit
from tickr.cli.follow import Follower
from tickr.cli.pipes import ending_with_the_reader
from tickr.cli.remote import DEFAULT_URL, Answer, Remote
from tickr.cli.submission import Read

Command = TypeVar("Command", bound=Callable[..., object])
DURATION = Read(values.seconds, "duration")


def asking(command: Command) -> Command:
    """Give a command the flags that all have: which Tickr, and how to print."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line."),
        click.option(
            "--url", metavar="URL", help="Where Tickr is. [TICKR_URL; http://127.0.0.1:8080] Its token: TICKR_TOKEN."
        ),
    ):
        command = option(command)
    return command


def remote_at(url: str | None) -> Remote:
    """Return the Tickr at ``url``, or the one that the variables name."""
    return Remote(url or os.environ.get("TICKR_URL") or DEFAULT_URL, os.environ.get("TICKR_TOKEN"))


def _say(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(screen.line(answer.job))


# -- submit ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("type")
@click.argument("payload", nargs=-1)
@click.option("--queue", metavar="NAME", help="Queue it waits in.")
@click.option("--priority", type=int, metavar="0-9", help="Lower runs first; 5 if not given.")
@click.option(
    "--delay", type=DURATION, metavar="DURATION", help="Not before so long from now: 5, 1.5, 30s, 5m, 2h, 1d."
)
@click.option("--run-at", type=Read(submission.instant, "instant"), metavar="INSTANT", help="Not before then.")
@click.option("--max-attempts", type=int, metavar="NUMBER", help="How often it is tried in all.")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="How long one attempt may take.")
@click.option(
    "--backoff",
    type=Read(submission.backoff, "backoff"),
    metavar="KIND[:…]",
    help="Pause between attempts: constant:5s, linear:10s, exponential:base=10s,factor=2,cap=1h,jitter=0.1.",
)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated.")
@click.option("--id", "job_id", metavar="UUID", help="An id of your own; the same id is never stored twice.")
@click.option("--watch", is_flag=True, help="Follow it to its end, and exit with its outcome.")
@asking
def submit(
    type: str,
    payload: Sequence[str],
    labels: Sequence[str],
    job_id: str | None,
    watch: bool,
    url: str | None,
    as_json: bool,
    **fields: object,
) -> None:
    """Hand in a job of TYPE. Its id is the first word that is printed.

    PAYLOAD is JSON, - for JSON from stdin, @FILE, or pairs: key=text and key:=JSON.

    \b
    tickr submit report title=Hello body="It works" time:=2
    tickr submit http '{"url": "https://example.com"}' --delay 5m
    tickr submit email @mail.json --max-attempts 5 --label customer=42

    With --watch the exit code is 0 if the job succeeds, 4 if it fails and 5 if it is cancelled. Ctrl-C (130) leaves it
    alone. With --watch and --json the job is printed first, then its events.
    """
    # Chosen here, so that a submission without an answer can be repeated safely.
    job_id = job_id or str(uuid_utils.uuid7())
    fields |= {"type": type, "payload": submission.payload(payload), "labels": submission.labels(labels), "id": job_id}
    body = submission.body(fields)
    with remote_at(url) as remote:
        if not watch:
            _say(remote.submit(body, job_id), as_json=as_json)
            return
        with ending_with_the_reader():
            outcome = Follower(remote, job_id, audience(as_json=as_json), f" --url {url}" if url else "").run(body)
    if outcome:
        raise Exit("", outcome)


# -- look ------------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("job_id", metavar="ID")
@asking
def show(job_id: str, url: str | None, as_json: bool) -> None:
    """Show the job ID, with what happened each time it ran."""
    with remote_at(url) as remote:
        answer = remote.job(job_id)
        attempts, raw = remote.attempts(job_id)
    if as_json:
        click.echo(answer.raw.rstrip()[:-1] + b',"attempts":' + raw + b"}")
        return
    console = screen.console()
    for part in screen.whole(answer.job, attempts):
        console.print(part)


@click.command("list")
@click.option(
    "--state",
    "state",
    type=Read(submission.state, "state"),
    multiple=True,
    metavar="STATE",
    help="Only jobs in this state; may be repeated.",
)
@click.option("--type", "type", multiple=True, metavar="TYPE", help="Only jobs of this type; may be repeated.")
@click.option("--queue", "queue", multiple=True, metavar="NAME", help="Only jobs in this queue; may be repeated.")
@click.option("--label", "label", multiple=True, metavar="NAME[=VALUE]", help="Only jobs with all these labels.")
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="NUMBER", help="How many at most; 20 if not given."
)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@asking
def list_(limit: int, everything: bool, url: str | None, as_json: bool, **filters: Sequence[str]) -> None:
    """List jobs, newest first."""
    with remote_at(url) as remote:
        asked = {name: wanted for name, wanted in filters.items() if wanted}
        # One more than asked for tells whether to say that there are more.
        found = remote.jobs(asked, limit=None if everything else limit + 1)
        if as_json:
            for answer in islice(found, None if everything else limit):
                click.echo(answer.raw)
            return
        jobs = [answer.job for answer in found]

    console = screen.console()
    if not jobs:
        click.echo("No jobs." if not asked else "No such jobs.", err=True)
        return
    console.print(screen.job_list(jobs if everything else jobs[:limit], width=console.width))
    if not everything and len(jobs) > limit:
        click.echo(f"… and more: --limit {limit * 5} or --all shows them.", err=True)


# -- change ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@asking
def cancel(job_ids: Sequence[str], url: str | None, as_json: bool) -> None:
    """Cancel jobs that wait; tell the workers of those that run to stop them."""
    _each(job_ids, url, Remote.cancel, as_json=as_json, done=_cancelled)


@click.command()
@click.argument("job_ids", nargs=-1, required=True, metavar="ID...")
@asking
def retry(job_ids: Sequence[str], url: str | None, as_json: bool) -> None:
    """Run jobs again that failed, succeeded or were cancelled."""
    _each(job_ids, url, Remote.retry, as_json=as_json, done=lambda _: "runs again")


def _cancelled(answer: Answer) -> str:
    return "cancelled" if answer.job.state == "cancelled" else "is running; its worker has been told to stop it"


def _each(
    job_ids: Sequence[str],
    url: str | None,
    ask: Callable[[Remote, str], Answer],
    *,
    as_json: bool,
    done: Callable[[Answer], str],
) -> None:
    """Do it to every job, however many are refused; then exit 1 if any was."""
    refused = 0
    with remote_at(url) as remote:
        for job_id in job_ids:
            try:
                answer = ask(remote, job_id)
            except Exit as no:
                if no.exit_code != REFUSED:
                    raise
                no.show()
                refused += 1
            else:
                click.echo(answer.raw if as_json else f"{answer.job.id}  {done(answer)}")
    if refused:
        raise Exit(f"{refused} of {len(job_ids)} refused." if len(job_ids) > 1 else "", REFUSED)
