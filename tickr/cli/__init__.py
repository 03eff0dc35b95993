"""The command line: ``tickr serve``, and what a person does with jobs from a shell.

One file per idea; this one only knows where each command lives. A command's module is imported when the command is
asked for, so that ``tickr submit`` does not wait for a server's imports.

Exit codes: 0 done, 1 refused or failed, 2 used wrongly (usage, configuration), 3 no Tickr answers; of a job that was
followed, 4 failed and 5 cancelled; 130 after Ctrl-C.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click
from click.shell_completion import CompletionItem

COMMANDS = {
    "serve": ("tickr.cli.serve", "Run Tickr: API, scheduler and workers in one process."),
    "submit": ("tickr.cli.jobs", "Hand in a job."),
    "broadcast": ("tickr.cli.broadcasts", "Hand in a job for every node."),
    "show": ("tickr.cli.jobs", "Show a job and what happened each time it ran."),
    "list": ("tickr.cli.jobs", "List jobs, newest first."),
    "cancel": ("tickr.cli.changes", "Cancel jobs that wait, stop those that run."),
    "edit": ("tickr.cli.changes", "Change jobs that wait, some or all that match; run them now."),
    "delete": ("tickr.cli.changes", "Delete jobs that have ended, some or all that match."),
    "retry": ("tickr.cli.changes", "Run jobs again that have ended, some or all that match."),
    "dead-letters": ("tickr.cli.operations", "Show the failed jobs in groups."),
    "operations": ("tickr.cli.operations", "Show what is being done to many jobs, stop it."),
    "explain": ("tickr.cli.jobs", "Say why a job is not running."),
    "log": ("tickr.cli.job_log", "Show what a job has logged."),
    "tree": ("tickr.cli.tree", "Show a job with all that it has submitted."),
    "queue": ("tickr.cli.queues", "Show queues, pause them, limit them."),
    "schedule": ("tickr.cli.schedules", "Have jobs made by the clock, by cron or interval."),
    "nodes": ("tickr.cli.nodes", "Show nodes and what they run; quiet them, stop them."),
    "inbox": ("tickr.cli.inbox", "Look at what the inbox refused; retry or delete it."),
    "stats": ("tickr.cli.statistics", "Show how much was done, and how long it took."),
    "mark": ("tickr.cli.statistics", "Make a mark in the statistics, for a deploy say."),
    "top": ("tickr.cli.top.command", "Watch queues, jobs, nodes, schedules live, and act on them."),
    "watch": ("tickr.cli.watch", "Watch what happens to jobs, as it happens."),
    "token": ("tickr.cli.tokens", "Make, list, rotate and revoke tokens, and who may what."),
    "audit": ("tickr.cli.audit", "Show who changed what."),
    "migrate": ("tickr.cli.admin", "Bring the store's schema up to this program's."),
    "keys": ("tickr.cli.keys", "Make encryption keys, see which are in use, change them."),
    "debug": ("tickr.cli.debug", "Talk to a handler that waits for a debugger."),
    "doctor": ("tickr.cli.admin", "Look for what is wrong with store, index and machine."),
    "demo": ("tickr.cli.demo", "Watch a few jobs run in a Tickr of their own."),
}
"""Name of each command → the module whose function of that name (``list_`` for ``list``) it is, and its one line."""


class Commands(click.Group):
    """The commands by name, each imported when it is first needed. Written here once, read only."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        # Jobs hold any text; a stdout that lacks a sign of it (LANG=C, PYTHONIOENCODING) shows its number instead.
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
            sys.stdout.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(COMMANDS[cmd_name][0])
        command = getattr(module, "list_" if cmd_name == "list" else cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command), cmd_name
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        fitting = [
            CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*fitting, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"tickr {version('tickr')}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `tickr demo` first. Each command explains itself with --help; for completion in bash: "
    'eval "$(_TICKR_COMPLETE=bash_source tickr)".',
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def main() -> None:
    """Tickr: background jobs over HTTP. Durable, retried, observable."""
