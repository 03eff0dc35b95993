"""The command debug: a terminal on one side, a handler that stands in ``tickr.breakpoint()`` on the other."""

from __future__ import annotations

import os
import select
import socket
import sys
from contextlib import suppress

import click

from tickr.cli.exits import REFUSED, Exit
from tickr.worker import debugger


@click.command(short_help="Talk to a handler that waits for a debugger.")
@click.argument("job", required=False)
def debug(job: str | None) -> None:
    """Talk to a handler that waits in tickr.breakpoint() on this machine.

    \b
    tickr debug 0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c

    It is Python's pdb: n (next line), s (step into), p EXPRESSION, w (where), c (go on), q (end the attempt with an
    error), h (help). Leaving it, by Ctrl-D or Ctrl-C, lets the handler go on.

    Without JOB it is the only one that waits; if there are several, they are listed.
    """
    try:
        waiting = debugger.waiting()
    except RuntimeError as error:
        raise Exit(str(error), REFUSED) from None
    if job is None and len(waiting) > 1:
        raise Exit("Several handlers wait; name the job:\n  " + "\n  ".join(waiting), REFUSED)
    if not waiting or (job is not None and job not in waiting):
        which = "No handler" if job is None else f"No handler of job {job}"
        raise Exit(f"{which} waits for a debugger here. Its worker must be run by you, with --debugger.", REFUSED)
    with socket.socket(socket.AF_UNIX) as line:
        try:
            line.connect(str(debugger.folder() / f"{job or waiting[0]}.sock"))
        except OSError:
            raise Exit("It has just gone on.", REFUSED) from None
        with suppress(KeyboardInterrupt):
            _relay(line)


def _relay(line: socket.socket) -> None:
    """Pass on what is typed and what is answered until the handler goes on, or there is nothing more to type."""
    typed = sys.stdin.fileno()
    sources: list[socket.socket | int] = [line, typed]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if line in ready:
            try:
                answered = line.recv(65_536)
            except OSError:
                return
            if not answered:
                return
            click.echo(answered, nl=False)
        elif typed in ready:
            if said := os.read(typed, 65_536):
                line.sendall(said)
            else:
                line.shutdown(socket.SHUT_WR)
                sources.remove(typed)
