"""The commands about jobs: submit, show, explain, list. Each asks a running Tickr over HTTP.

With ``--json`` each prints one JSON document for each job and line, as the server sent it, for programs to read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import click
import uuid_utils

from tickr import values
from tickr.cli import choosing, hints, known, patience, screen, submission
from tickr.cli.audience import audience
from tickr.cli.exits import REFUSED, UNREACHABLE, Exit
from tickr.cli.follow import Follower
from tickr.cli.pipes import ending_with_the_reader
from tickr.cli.remote import DEFAULT_URL, Remote
from tickr.cli.remote_records import Answer
from tickr.cli.submission import Read
from tickr.keys import OnConflict
from tickr.links import OnFailure
from tickr.retry import MAX_DELAY_S

Command = TypeVar("Command", bound=Callable[..., object])
DURATION = Read(values.seconds, "duration")
PATIENCE = Read(values.seconds_or_forever(0.0, MAX_DELAY_S), "duration")


def asking(command: Command) -> Command:
    """Give a command the flags that all have: which Tickr, and how to print."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print JSON, one document a line."),
        click.option(
            "--url",
            metavar="URL",
            help="Where Tickr is. [TICKR_URL; http://127.0.0.1:8080] Its token: TICKR_TOKEN; its authority: TICKR_CA.",
        ),
    ):
        command = option(command)
    return command


def remote_at(url: str | None) -> Remote:
    """Return the Tickr at ``url``, or the one that the variables name."""
    return Remote(url or os.environ.get("TICKR_URL") or DEFAULT_URL, os.environ.get("TICKR_TOKEN"))


def _where(url: str | None) -> str:
    """Return the flag that names the server, for what a person is told to type next."""
    return f" --url {url}" if url else ""


def _say(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(screen.line(answer.job))


def _say_whole(answer: Answer, *, as_json: bool) -> None:
    """The same, with the result or the error."""
    _say(answer, as_json=as_json)
    job, console = answer.job, screen.console()
    if as_json:
        return
    if job.error:
        console.print(screen.error_line(job.error))
        hints.say(*hints.of_payload(job))
    elif job.encrypted and job.state == "succeeded" and bytes(job.result) == b"null":
        click.echo(f"Its result is encrypted, if it has one: tickr show {job.id} --decrypt", err=True)
    elif (result := bytes(job.result)) != b"null":
        console.print(screen.pretty(result) if screen.is_watched(console) else screen.harmless(result.decode()))


# -- submit ----------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("type", shell_complete=known.types)
@click.argument("payload", nargs=-1)
@click.option("--queue", metavar="NAME", shell_complete=known.queues, help="Queue it waits in.")
@click.option("--priority", type=int, metavar="0-9", help="Lower runs first; 5 if not given.")
@click.option(
    "--delay", type=DURATION, metavar="DURATION", help="Not before so long from now: 5, 1.5, 30s, 5m, 2h, 1d."
)
@click.option("--run-at", type=Read(submission.instant, "instant"), metavar="INSTANT", help="Not before then.")
@click.option(
    "--expires-at", type=Read(submission.instant, "instant"), metavar="INSTANT", help="Not started from then on."
)
@click.option("--expires-in", type=DURATION, metavar="DURATION", help="Not started so long from now or later.")
@click.option("--max-attempts", type=int, metavar="NUMBER", help="How often it is tried in all.")
@click.option("--max-crashes", type=int, metavar="NUMBER", help="How many lost nodes it outlives, 0 to 2.")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="How long one attempt may take.")
@click.option("--keep", type=DURATION, metavar="DURATION", help="How long it is kept after its end.")
@click.option(
    "--backoff",
    type=Read(submission.backoff, "backoff"),
    metavar="KIND[:…]",
    help="Pause between attempts: constant:5s, linear:10s, exponential:base=10s,factor=2,cap=1h,jitter=0.1.",
)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated.")
@click.option("--limit-key", metavar="KEY", help="Whose job it is, for limits by key and fair turns.")
@click.option(
    "--depends-on",
    "depends_on",
    multiple=True,
    metavar="ID",
    shell_complete=known.jobs,
    help="Wait for this job; may be repeated.",
)
@click.option(
    "--on-failure",
    type=click.Choice([one.value for one in OnFailure]),
    help="If a job that it depends on does not succeed: fail, be cancelled, or run all the same.",
)
@click.option("--sequence", metavar="NAME", help="Run it after all jobs that have been put into this sequence.")
@click.option("--id", "job_id", metavar="UUID", help="An id of your own; the same id is never stored twice.")
@click.option("--traceparent", metavar="TRACEPARENT", help="The trace that it belongs to (W3C Trace Context).")
@click.option(
    "--unique-key", metavar="KEY", help="Do not store it beside another job with this key that has not ended."
)
@click.option(
    "--unique-until",
    type=Read(submission.until, "until"),
    metavar="final|DURATION",
    help="How long it holds the key: until it has ended (final) or begun (started), or so long from now.",
)
@click.option(
    "--on-conflict",
    type=click.Choice([one.value for one in OnConflict]),
    help="If another job holds the key: return that job, reject this one, or replace that one.",
)
@click.option(
    "--idempotency-key",
    type=Read(submission.idempotency_key, "key"),
    metavar="KEY",
    help="The same key and job again is the same job, for a day.",
)
@click.option("--watch", is_flag=True, help="Follow it to its end, and exit with its outcome.")
@click.option("--wait", type=PATIENCE, metavar="DURATION", help="Wait for its end, so long at most, and exit with it.")
@click.option("--decrypt", is_flag=True, help="With --wait: show its result in the clear, if it is encrypted.")
@asking
def submit(
    type: str,
    payload: Sequence[str],
    labels: Sequence[str],
    depends_on: Sequence[str],
    on_failure: str | None,
    job_id: str | None,
    unique_key: str | None,
    unique_until: object,
    on_conflict: str | None,
    idempotency_key: str | None,
    watch: bool,
    wait: float | None,
    decrypt: bool,
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

    With --watch or --wait the exit code is 0 if the job succeeds, 4 if it fails, 5 if it is cancelled, and 6 if it has
    not ended in the time that --wait gives it. Ctrl-C (130) leaves it alone. With --watch and --json the job is printed
    first, then its events; with --wait it is printed once, as it is in the end.
    """
    if watch and wait is not None:
        raise click.UsageError("--watch and --wait cannot be given together.")
    if idempotency_key is None:
        # Chosen here, so that a submission without an answer can be repeated safely. With a key that makes it safe,
        # it would be another job each time.
        job_id = job_id or str(uuid_utils.uuid7())
    fields |= {"type": type, "payload": submission.payload(payload), "labels": submission.labels(labels), "id": job_id}
    fields["unique"] = submission.unique(unique_key, unique_until, on_conflict)
    fields["depends_on"] = submission.depends_on(depends_on, on_failure)
    body = submission.body(fields)
    with remote_at(url) as remote:
        if not watch:
            answer = remote.submit(body, job_id, idempotency_key)
            if answer.held:
                click.echo(screen.held(answer.job), err=True)
            if wait is None:
                _say(answer, as_json=as_json)
                if not as_json:
                    hints.say(*hints.of_job(remote, answer.job))
            else:
                say = partial(_say_whole, as_json=as_json)
                _wait(remote, answer.job.id, wait, url, lambda end: say(_opened(remote, end) if decrypt else end))
            return
        with ending_with_the_reader():
            outcome = Follower(remote, job_id, audience(as_json=as_json), _where(url), idempotency_key).run(body)
    if outcome:
        raise Exit("", outcome)


# -- look ------------------------------------------------------------------------------------------------------------


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=known.jobs)
@click.option("--wait", type=PATIENCE, metavar="DURATION", help="Wait for its end first, so long at most.")
@click.option("--tracebacks", is_flag=True, help="With the traceback of every attempt.")
@click.option("--decrypt", is_flag=True, help="Show what is encrypted of it in the clear.")
@asking
def show(job_id: str, wait: float | None, tracebacks: bool, decrypt: bool, url: str | None, as_json: bool) -> None:
    """Show the job ID, with what happened each time it ran.

    \b
    tickr show 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c --tracebacks

    With --wait the exit code is 0 if the job has succeeded, 4 if it has failed, 5 if it was cancelled, and 6 if it has
    not ended in that time.
    """
    with remote_at(url) as remote:
        say = partial(_show, remote, as_json=as_json, tracebacks=tracebacks, decrypt=decrypt)
        if wait is None:
            say(remote.job(job_id, decrypt=decrypt))
        else:
            _wait(remote, job_id, wait, url, lambda ended: say(_opened(remote, ended) if decrypt else ended))


def _wait(remote: Remote, job_id: str, seconds: float, url: str | None, say: Callable[[Answer], None]) -> None:
    answer = patience.wait_for(remote, job_id, seconds, _where(url))
    say(answer)
    if code := patience.outcome(answer):
        raise Exit("", code)


def _opened(remote: Remote, answer: Answer) -> Answer:
    """Return the same job with what is encrypted of it in the clear."""
    return answer if not answer.job.encrypted else remote.job(answer.job.id, decrypt=True)


def _show(remote: Remote, answer: Answer, *, as_json: bool, tracebacks: bool, decrypt: bool) -> None:
    attempts, raw = remote.attempts(answer.job.id, decrypt=decrypt)
    if as_json:
        click.echo(answer.raw.rstrip()[:-1] + b',"attempts":' + raw + b"}")
        return
    console = screen.console()
    for part in screen.whole(answer.job, attempts, tracebacks=tracebacks):
        console.print(part)
    hints.say(*hints.of_payload(answer.job))


@click.command()
@click.argument("job_id", metavar="ID", shell_complete=known.jobs)
@asking
def explain(job_id: str, url: str | None, as_json: bool) -> None:
    """Say why the job ID is not running, and when it may start.

    \b
    tickr explain 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c
    """
    with remote_at(url) as remote:
        told, raw = remote.explained(job_id)
    if as_json:
        click.echo(raw)
        return
    for part in screen.explanation(told):
        screen.console().print(part)


@click.command("list")
@choosing.with_filters
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, metavar="NUMBER", help="How many at most; 20 if not given."
)
@click.option("--all", "everything", is_flag=True, help="All of them, however many.")
@asking
def list_(limit: int, everything: bool, url: str | None, as_json: bool, **filters: Any) -> None:
    """List jobs, newest first.

    \b
    tickr list --state failed --type email --created-after 2h
    tickr list --label customer=42 --json
    """
    with remote_at(url) as remote:
        asked = choosing.query(filters)
        # One more than asked for tells whether to say that there are more.
        found = remote.jobs(asked, limit=None if everything else limit + 1)
        if as_json:
            for answer in islice(found, None if everything else limit):
                click.echo(answer.raw)
            return
        jobs = [answer.job for answer in found]
        said = [] if jobs else hints.of_filters(remote, filters)

    console = screen.console()
    if not jobs:
        click.echo("No jobs." if not asked else "No such jobs.", err=True)
        hints.say(*said)
        return
    console.print(screen.job_list(jobs if everything else jobs[:limit], width=console.width))
    if not everything and len(jobs) > limit:
        click.echo(f"… and more: --limit {limit * 5} or --all shows them.", err=True)


# -- several ----------------------------------------------------------------------------------------------------------


def each(names: Sequence[str], do: Callable[[str], bytes | str]) -> None:
    """Do it to every one of ``names`` and print what comes of it, however many are refused.

    Raises: Exit: some were, with the code that all of these have in common; nobody answers.
    """
    refused: list[int] = []
    for name in names:
        try:
            line = do(name)
        except Exit as no:
            if no.exit_code == UNREACHABLE:
                raise
            no.show()
            refused.append(no.exit_code)
        else:
            click.echo(line)
    if refused:
        code = refused[0] if len({*refused}) == 1 else REFUSED
        raise Exit(f"{len(refused)} of {len(names)} refused." if len(names) > 1 else "", code)
