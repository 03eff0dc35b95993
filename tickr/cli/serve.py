"""``tickr serve``: settings and handlers in, a running node, an exit code out."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import click
import structlog
import trio

from tickr.cli import exits, logs, settings
from tickr.cli.application import find_jobs
from tickr.config import Config
from tickr.handle import Handle
from tickr.service import run_until_signalled
from tickr.worker.handlers import Jobs

EXAMPLE = '{"type": "report", "payload": {"title": "Hello"}}'


@click.command()
@click.argument("app", required=False, metavar="[MODULE:APP]")
@settings.setting_flags()
def serve(app: str | None, **flags: Any) -> None:
    """Run Tickr: API, scheduler and workers in one process, until Ctrl-C or SIGTERM.

    MODULE:APP names a tickr.Jobs with handlers of your own, beside the built-in http, email and report. The token that
    clients need comes from the variable TICKR_TOKEN or the file; no flag sets it, as everybody could read it with ps.

    \b
    tickr serve
    tickr serve myapp:jobs --workers 200
    tickr serve --store mysql://tickr:secret@db/tickr --index redis://cache/0
    """
    config = settings.load_or_exit(flags)
    armed = settings.arm_failpoints_or_exit()
    with logs.logging_on_stderr(level=config.log_level, form=config.log_format):
        if armed:
            structlog.get_logger("tickr").warning("failpoints.armed", points=armed)
        _run(config, app)


def _run(config: Config, app: str | None) -> None:
    jobs = find_jobs(app) if app else Jobs()
    for sentence in settings.stray_variables():
        structlog.get_logger("tickr").warning("config.stray_variable", problem=sentence)

    def announce(handle: Handle) -> None:
        # A log for machines stays clean: there the lines for people go to stdout, which may be closed already.
        with suppress(OSError):
            click.echo(welcome(config, handle), err=logs.is_text(config.log_format))

    with exits.plainly():
        trio.run(lambda: run_until_signalled(config, jobs, announce=announce))


def welcome(config: Config, handle: Handle) -> str:
    """Return what somebody who has just started Tickr wants to do next: submit, look, stop."""
    if not handle.url:
        return f"Tickr works ({', '.join(config.roles)}). Stop it with Ctrl-C."
    url = handle.url
    for everywhere, here in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        url = url.replace(everywhere, here)
    token = ' -H "Authorization: Bearer $TICKR_TOKEN"' if config.token else ""
    return (
        f"Tickr serves on {handle.url}\n"
        f"  submit  curl {url}/jobs{token} -H Content-Type:application/json \\\n"
        f"            -d '{EXAMPLE}'\n"
        f"  look    curl {url}/jobs{token}\n"
        f"  stop    Ctrl-C"
    )
