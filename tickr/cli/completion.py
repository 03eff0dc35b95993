"""``tickr completion``: the script that has a shell complete commands, flags and names. The work is click's.

The script calls ``tickr`` itself at each Tab, with what is typed in variables; so it need not be made anew for another
version of Tickr.
"""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

VARIABLE = "_TICKR_COMPLETE"
"""What the script sets to say that a line is to be completed."""


class Bash(BashComplete):
    """Bash takes a word apart at every ``:`` and ``=``, and wants only what follows the last of them."""

    def get_completion_args(self) -> tuple[list[str], str]:
        number = int(os.environ["COMP_CWORD"])
        cut = split_arg_string(os.environ["COMP_WORDS"])
        pieces = [*cut, ""][: number + 1]
        words: list[str] = []
        for at, piece in enumerate(pieces):
            if piece == "=" and pieces[at - 1].startswith("--"):
                words += [""] if at == number else []
            elif at and (piece.startswith(":") or pieces[at - 1].endswith(":")):
                words[-1] += piece
            else:
                words.append(piece)
        self._begun = words[-1].rpartition(":")[0]
        return words[1:-1], words[-1]

    def format_completion(self, item: CompletionItem[Any]) -> str:
        if self._begun and item.value.startswith(f"{self._begun}:"):
            item.value = item.value[len(self._begun) + 1 :]
        return super().format_completion(item)


add_completion_class(Bash)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that has SHELL complete commands, flags, and the names that the server knows.

    \b
    eval "$(tickr completion bash)"     # in ~/.bashrc
    eval "$(tickr completion zsh)"      # in ~/.zshrc, after compinit
    tickr completion fish > ~/.config/fish/completions/tickr.fish

    Queues, schedules, types, nodes, jobs and operations are asked of the Tickr that --url or TICKR_URL names. Where
    none answers within 0.3 s, nothing is offered.
    """
    from tickr.cli import main

    script = get_completion_class(shell)
    assert script
    click.echo(script(main, {}, "tickr", VARIABLE).source(), nl=False)
