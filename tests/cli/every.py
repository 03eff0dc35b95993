"""Every command of the application, groups looked into."""

from __future__ import annotations

from collections.abc import Iterator

import click

from tickr.cli import main


def commands() -> Iterator[tuple[str, click.Command]]:
    """Yield what is typed after ``tickr``, and the command that it is."""
    return _below(main, click.Context(main), "")


def _below(group: click.Command, context: click.Context, words: str) -> Iterator[tuple[str, click.Command]]:
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command
        if isinstance(command, click.Group):
            yield from _below(command, context, f"{words}{name} ")
        else:
            yield f"{words}{name}", command
