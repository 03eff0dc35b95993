"""``tickr schedule …``: jobs that are made by the clock. Each command asks a running Tickr over HTTP.

With ``--json`` each prints one JSON document for each schedule and line, as the server sent it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from tickr.cli import hints, known, schedule_screen, screen, submission
from tickr.cli.groups import ListingGroup
from tickr.cli.jobs import DURATION, asking, each, remote_at
from tickr.cli.remote_schedules import RemoteSchedules, ScheduleAnswer
from tickr.cli.submission import Read


@click.group(cls=ListingGroup)
def schedule() -> None:
    """Have jobs made by the clock: by a cron expression in a time zone, or at an interval. Alone it lists them."""


def _say(answer: ScheduleAnswer, *, as_json: bool) -> None:
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(schedule_screen.line(answer.schedule))


@schedule.command()
@click.argument("name", shell_complete=known.schedules)
@click.argument("type", shell_complete=known.types)
@click.argument("payload", nargs=-1)
@click.option("--cron", metavar="FIELDS", help='Minute hour day month weekday: "30 2 * * MON-FRI"; or @daily.')
@click.option("--timezone", metavar="ZONE", help="By whose clock: Europe/Berlin; UTC if not given.")
@click.option("--every", type=DURATION, metavar="DURATION", help="In place of --cron: 30s, 5m, 1h30m, 1d.")
@click.option("--start-at", type=Read(submission.instant, "instant"), metavar="INSTANT", help="First tick of --every.")
@click.option("--start-now", is_flag=True, help="Have a first tick at once, when it is put or its timing is changed.")
@click.option("--end-at", type=Read(submission.instant, "instant"), metavar="INSTANT", help="No tick comes after it.")
@click.option("--times", type=int, metavar="NUMBER", help="So many ticks make a job, and then no more.")
@click.option(
    "--missed",
    metavar="skip|once|all",
    shell_complete=known.fixed(("skip", "once", "all")),
    help="What becomes of ticks nobody was there for; once if not given.",
)
@click.option(
    "--overlap",
    metavar="allow|skip",
    shell_complete=known.fixed(("allow", "skip")),
    help="Whether to tick while the last job is not final.",
)
@click.option("--queue", metavar="NAME", shell_complete=known.queues, help="Queue of its jobs.")
@click.option("--priority", type=int, metavar="0-9", help="Of its jobs; lower runs first.")
@click.option("--max-attempts", type=int, metavar="NUMBER", help="How often each job is tried in all.")
@click.option("--max-crashes", type=int, metavar="NUMBER", help="How many lost nodes each job outlives, 0 to 2.")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="How long one attempt may take.")
@click.option("--keep", type=DURATION, metavar="DURATION", help="How long each job is kept after its end.")
@click.option(
    "--backoff",
    type=Read(submission.backoff, "backoff"),
    metavar="KIND[:…]",
    help="Pause between attempts: constant:5s, linear:10s, exponential:base=10s,factor=2,cap=1h,jitter=0.1.",
)
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label of its jobs; may be repeated.")
@asking
def put(
    name: str,
    type: str,
    payload: Sequence[str],
    labels: Sequence[str],
    cron: str | None,
    timezone: str | None,
    every: float | None,
    start_at: str | None,
    start_now: bool,
    end_at: str | None,
    times: int | None,
    missed: str | None,
    overlap: str | None,
    url: str | None,
    as_json: bool,
    **fields: object,
) -> None:
    """Have the schedule NAME make jobs of TYPE: make it, or change it to be so.

    PAYLOAD as for tickr submit. What is not given is as if it had never been: it is the whole schedule that is put.

    \b
    tickr schedule put nightly report title=Night --cron "30 2 * * *" --timezone Europe/Berlin
    tickr schedule put poll http url=https://example.com --every 30s --missed skip --overlap skip
    """
    fields |= {"type": type, "payload": submission.payload(payload), "labels": submission.labels(labels)}
    job = {field: value for field, value in fields.items() if value not in (None, {}, ())}
    timing = {"cron": cron, "timezone": timezone, "every": every, "start_at": start_at}
    timing |= {"start": "now" if start_now else None, "end_at": end_at, "times": times}
    body = submission.body({**timing, "job": job, "missed": missed, "overlap": overlap})
    with remote_at(url) as remote:
        _say(RemoteSchedules(remote).put(name, body), as_json=as_json)
        if not as_json:
            queue = fields.get("queue")
            hints.say(*hints.of_names(remote, types=[type], queues=[str(queue)] if queue else []))


@schedule.command("list")
@asking
def list_(url: str | None, as_json: bool) -> None:
    """List all schedules, by name.

    \b
    tickr schedule list
    """
    with remote_at(url) as remote:
        found = RemoteSchedules(remote).all()
        if as_json:
            for answer in found:
                click.echo(answer.raw)
            return
        schedules = [answer.schedule for answer in found]
    if not schedules:
        click.echo("No schedules.", err=True)
        return
    console = screen.console()
    console.print(schedule_screen.schedule_list(schedules, width=console.width))


@schedule.command()
@click.argument("name", shell_complete=known.schedules)
@click.option(
    "--ticks", type=click.IntRange(1, 100), default=10, metavar="NUMBER", help="So many next ticks; 10 if not given."
)
@asking
def show(name: str, ticks: int, url: str | None, as_json: bool) -> None:
    """Show the schedule NAME and its next ticks, in the local time of this machine.

    \b
    tickr schedule show nightly --ticks 3
    """
    with remote_at(url) as remote:
        answer = RemoteSchedules(remote).get(name, ticks)
    if as_json:
        click.echo(answer.raw)
        return
    console = screen.console()
    for part in schedule_screen.whole(answer.schedule):
        console.print(part)


@schedule.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known.schedules)
@asking
def pause(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Have schedules make no jobs until they are resumed.

    \b
    tickr schedule pause nightly poll
    """
    _each(names, url, RemoteSchedules.pause, as_json=as_json)


@schedule.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known.schedules)
@asking
def resume(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Have schedules go on from now; what was missed meanwhile is not made up for.

    \b
    tickr schedule resume nightly
    """
    _each(names, url, RemoteSchedules.resume, as_json=as_json)


@schedule.command()
@click.argument("name", shell_complete=known.schedules)
@asking
def run(name: str, url: str | None, as_json: bool) -> None:
    """Make a job of the schedule NAME now. The job's id is the first word that is printed.

    \b
    tickr schedule run nightly
    """
    with remote_at(url) as remote:
        answer = RemoteSchedules(remote).run(name)
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(screen.line(answer.job))


@schedule.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=known.schedules)
@asking
def delete(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Delete schedules. Their jobs stay.

    \b
    tickr schedule delete nightly
    """

    def done(schedules: RemoteSchedules, name: str) -> bytes | str:
        schedules.delete(name)
        return submission.body({"name": name, "deleted": True}) if as_json else f"{name}  deleted"

    with remote_at(url) as remote:
        each(names, lambda name: done(RemoteSchedules(remote), name))


def _each(
    names: Sequence[str], url: str | None, ask: Callable[[RemoteSchedules, str], ScheduleAnswer], *, as_json: bool
) -> None:
    def done(schedules: RemoteSchedules, name: str) -> bytes | str:
        answer = ask(schedules, name)
        return answer.raw if as_json else schedule_screen.line(answer.schedule).plain

    with remote_at(url) as remote:
        each(names, lambda name: done(RemoteSchedules(remote), name))
