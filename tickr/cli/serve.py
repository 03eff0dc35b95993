"""``tickr serve``: settings and handlers in, a running node (or several, each in a process), an exit code out."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click
import msgspec
import structlog
import trio

from tickr.cli import exits, logs, settings
from tickr.cli.application import find_jobs
from tickr.cli.exits import MISUSED, Exit
from tickr.config import Config
from tickr.processes import reload
from tickr.processes.supervised import Supervised, take_over
from tickr.processes.supervisor import supervise
from tickr.readiness import Notify, take_notify
from tickr.service import run_until_signalled
from tickr.tokens import parts_of
from tickr.values import Range
from tickr.worker.handlers import Jobs

ONE_OF_ITS_OWN = (
    "TICKR_TOKEN is a token that `tickr token create` has made. A Tickr that is started with it would let its owner do "
    "everything: unset it, and start with --require-token."
)
HEAP = "heap:"
EXAMPLE = '{"type": "report", "payload": {"title": "Hello"}}'


@click.command()
@click.argument("app", required=False, metavar="[MODULE:APP]")
@click.option("--burst", is_flag=True, help="Run what is due, without an API, and end with 0 when nothing is left.")
@click.option("--reload", "reloads", is_flag=True, help="Start anew when Python files change; for development.")
@settings.setting_flags()
def serve(app: str | None, burst: bool, reloads: bool, **flags: Any) -> None:
    """Run Tickr: API, scheduler and workers in one process, until Ctrl-C or SIGTERM.

    MODULE:APP names a tickr.Jobs with handlers of your own, beside the built-in http, email and report. The token that
    clients need comes from the variable TICKR_TOKEN or the file; no flag sets it, as everybody could read it with ps.

    With --processes, as many processes serve behind the one port, each with all of the --workers and --roles given;
    with a range, more of them while due jobs wait.

    \b
    tickr serve
    tickr serve myapp:jobs --workers 200
    tickr serve --store mysql://tickr:secret@db/tickr --index redis://cache/0
    tickr serve --config tickr.toml --processes 4
    tickr serve --config tickr.toml --processes 2-8
    tickr serve myapp:jobs --burst
    tickr serve myapp:jobs --reload
    """
    if reloads and burst:
        raise exits.Exit("--burst ends by itself, so there is nothing to --reload", exits.MISUSED)
    reloads = reloads and not reload.is_child()
    supervised = take_over()
    reloads = reloads and supervised is None
    config = supervised.config if supervised else settings.load_or_exit(flags)
    if config.token and parts_of(config.token):
        raise Exit(ONE_OF_ITS_OWN, MISUSED)
    armed = settings.arm_failpoints_or_exit()
    number = supervised.number if supervised else None
    with logs.logging_on_stderr(level=config.log_level, form=config.log_format, process=number):
        if armed:
            structlog.get_logger("tickr").warning("failpoints.armed", points=armed)
        if supervised:
            return _run_supervised(supervised, app)
        for sentence in settings.stray_variables():
            structlog.get_logger("tickr").warning("config.stray_variable", problem=sentence)
        if reloads:
            return _reload(app)
        notify = take_notify()
        if burst:
            return _run(_for_burst(config), app, notify, burst=True)
        return _run(config, app, notify) if config.processes.most == 1 else _supervise(config, notify)


def _reload(app: str | None) -> None:
    """Have this program run anew after each change. ``argv`` is how this one was started."""
    program = [sys.executable, *sys.orig_argv[1:]]
    if code := trio.run(reload.reload, program, reload.roots_of(app)):
        raise exits.Exit("", code)


def _for_burst(config: Config) -> Config:
    """Return ``config`` without the API: others may serve at its port, and nobody could rely on it."""
    if config.processes.most > 1:
        raise exits.Exit("--burst is for one process, which ends by itself; --processes are kept alive", exits.MISUSED)
    if "worker" not in config.roles:
        raise exits.Exit("--burst runs jobs, which takes the role worker", exits.MISUSED)
    return msgspec.structs.replace(config, roles=tuple(role for role in config.roles if role != "api"))


def _run(config: Config, app: str | None, notify: Notify, *, burst: bool = False) -> None:
    jobs = find_jobs(app) if app else Jobs()
    told = partial(
        run_until_signalled, announce=lambda handle: _announce(config, handle.url), notify=notify, burst=burst
    )
    with exits.plainly():
        trio.run(told, config, jobs)


def _run_supervised(supervised: Supervised, app: str | None) -> None:
    """Be one of several processes. What keeps it from serving, the supervisor says for all of them."""
    told = partial(run_until_signalled, announce=lambda _: supervised.tell_serving(), supervisor=supervised)
    try:
        jobs = find_jobs(app) if app else Jobs()
        with exits.plainly():
            trio.run(told, supervised.config, jobs)
    except exits.Exit as refused:
        supervised.tell_refused(refused.message)
        raise exits.Exit("", refused.exit_code) from None


def _supervise(config: Config, notify: Notify) -> None:
    """Have several processes serve. ``argv`` is how this one was started: each of them is the same program again."""
    if config.index == HEAP:
        structlog.get_logger("tickr").warning(
            "config.index_not_shared", problem="each process finds the others' jobs only about once a second; use Redis"
        )
    program = [sys.executable, *sys.orig_argv[1:]]
    with exits.plainly():
        told = partial(supervise, announce=lambda url: _announce(config, url), notify=notify)
        verdict = trio.run(told, config, program)
    if verdict.code:
        raise exits.Exit(verdict.reason, verdict.code)


def _announce(config: Config, url: str) -> None:
    # A log for machines stays clean: there the lines for people go to stdout, which may be closed already.
    stream = sys.stderr if logs.is_text(config.log_format) else sys.stdout
    try:
        click.echo(welcome(config, url), stream)
    except OSError:
        exits.give_up(stream)


def _many(processes: Range) -> str:
    if processes.most == 1:
        return ""
    more = f", up to {processes.most} with the load" if processes.least < processes.most else ""
    return f" with {processes.least} process{'es' if processes.least > 1 else ''}{more}"


def welcome(config: Config, told: str) -> str:
    """Return what somebody who has just started Tickr, at the URL ``told``, wants to do next."""
    many = _many(config.processes)
    if not told:
        return f"Tickr works{many} ({', '.join(config.roles)}). Stop it with Ctrl-C."
    url = told
    for everywhere, here in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        url = url.replace(everywhere, here)
    token = ' -H "Authorization: Bearer $TICKR_TOKEN"' if config.closed else ""
    return (
        f"Tickr serves on {told}{many}\n"
        f"  submit  curl {url}/jobs{token} -H Content-Type:application/json \\\n"
        f"            -d '{EXAMPLE}'\n"
        f"  look    curl {url}/jobs{token}\n"
        f"  watch   {url}/ui in a browser\n"
        f"  stop    Ctrl-C"
    )
