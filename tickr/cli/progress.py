"""What goes on while a command waits: on stderr, if that is a terminal, and gone when the command goes on.

Drawn anew by a thread of rich's. What is piped, and a terminal without a cursor, gets nothing of it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from tickr.cli import screen

PICTURES_PER_S = 4


def is_shown() -> bool:
    """Whether there is somebody to see it."""
    console = screen.console(sys.stderr)
    return screen.is_watched(console) and not console.is_dumb_terminal


def showing(picture: Callable[[Console], RenderableType]) -> AbstractContextManager[object]:
    """Show what ``picture`` returns, drawn anew a few times a second, for the length of the block."""
    if not is_shown():
        return nullcontext()
    console = screen.console(sys.stderr)
    return Live(
        console=console,
        get_renderable=lambda: picture(console),
        refresh_per_second=PICTURES_PER_S,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=True,
    )


def working(words: str) -> AbstractContextManager[object]:
    """Show ``words`` and for how long it has been so."""
    began = time.monotonic()

    def picture(console: Console) -> RenderableType:
        said = Text(f"{words} … {time.monotonic() - began:.0f} s", "dim")
        said.truncate(console.width, overflow="ellipsis")
        return said

    return showing(picture)
