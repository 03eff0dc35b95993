"""The command line: ``tickr serve``, and what a person does with jobs from a shell.

One file per idea; this one only knows where each command lives. A command's module is imported when the command is
asked for, so that ``tickr submit`` does not wait for a server's imports. How a command ends is in ``exits.py``.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from tickr.cli import exits

if TYPE_CHECKING:
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
    "completion": ("tickr.cli.completion", "Have a shell complete commands, flags and names."),
    "openapi": ("tickr.cli.openapi", "Print the description of the API, in OpenAPI 3.1."),
    "demo": ("tickr.cli.demo", "Watch a few jobs run in a Tickr of their own."),
}
"""Name of each command → the module whose function of that name (``list_`` for ``list``) it is, and its one line."""


GROUPS: Mapping[str, Sequence[str]] = {
    "Begin": ("demo", "serve"),
    "Hand in jobs, look at them, change them": (
        *("submit", "broadcast", "show", "log", "tree", "explain", "list", "edit", "cancel", "retry", "delete"),
    ),
    "Many jobs at once": ("dead-letters", "operations"),
    "Queues, schedules, nodes": ("queue", "schedule", "nodes", "inbox"),
    "Watch": ("top", "watch", "stats", "mark"),
    "Who may do what": ("token", "audit"),
    "Operate": ("doctor", "migrate", "keys", "debug", "completion", "openapi"),
}
"""What people do → the commands for it, as ``tickr --help`` shows them; one that is in none of these comes last."""


class Commands(click.Group):
    """The commands by name, each imported when it is first needed. Written here once, read only."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        # Jobs hold any text; a stdout that lacks a sign of it (LANG=C, PYTHONIOENCODING) shows its number instead.
        if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
            sys.stdout.reconfigure(errors="backslashreplace")
        if "_TICKR_COMPLETE" in os.environ:
            import_module("tickr.cli.completion")
        words = sys.argv[1:] if args is None else [*args]
        # Read from the words themselves: where they cannot be understood, that is to be told in JSON, too.
        with exits.leaving(as_json="--json" in words), exits.minding_the_output():
            code = super().main(words, *more, **{**kwargs, "standalone_mode": False})
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: click.Context) -> Any:
        with exits.minding_the_output():  # before click, which ends with a code of its own where a pipe is closed
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and args[0][:1].isalnum() and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

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
        from click.shell_completion import CompletionItem

        fitting = [
            CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*fitting, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        grouped = {name for names in GROUPS.values() for name in names}
        others = [name for name in COMMANDS if name not in grouped]
        widest = max(map(len, COMMANDS))
        for title, names in {**GROUPS, "Other commands": others}.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([(f"{name:{widest}}", COMMANDS[name][1]) for name in names])


def _show_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes longer than all the rest of ``tickr --help``

        click.echo(f"tickr {version('tickr')}")
        ctx.exit()


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Try `tickr demo` first. Each command explains itself with --help.",
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_show_version, help="Show the version."
)
def main() -> None:
    """Tickr: background jobs over HTTP. Durable, retried, observable."""
