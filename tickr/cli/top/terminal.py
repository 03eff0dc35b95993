"""The terminal while ``tickr top`` has it: another screen, no cursor, keys as they are pressed; and as it was, after.

Owned by the loop. However the block ends, the terminal is given back, and only then is an error told.
"""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Self

import trio
from rich.console import Console, RenderableType
from rich.live import Live

from tickr.cli.top.keyboard import BRACKETED, MOMENT_S, PLAIN, Keys

CHUNK = 1024


class Terminal:
    """A context manager.

    Args:
      console: on the terminal that shows.
      keys: the descriptor of the terminal that is typed on.
    """

    def __init__(self, console: Console, keys: int) -> None:
        self.console = console
        self._keys = keys
        self._before = termios.tcgetattr(keys)

    def __enter__(self) -> Self:
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_back()

    def _take(self) -> None:
        self._live = Live(
            console=self.console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        try:
            tty.setcbreak(self._keys)
            self._live.start()
            self._tell(BRACKETED)
        except BaseException:
            self._give_back()
            raise

    def _give_back(self) -> None:
        try:
            self._tell(PLAIN)
            self._live.stop()
        finally:
            # What was typed and not read is dropped: it was not meant for the shell.
            termios.tcsetattr(self._keys, termios.TCSAFLUSH, self._before)

    def _tell(self, sequence: str) -> None:
        self.console.file.write(sequence)
        self.console.file.flush()

    def suspend(self) -> None:
        """Give the terminal back and stop, as Ctrl-Z does; returns when the shell has this go on."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()

    def draw(self, picture: RenderableType) -> None:
        self._live.update(picture, refresh=True)

    async def listen(self, press: Callable[[str], None]) -> None:
        """Call ``press`` with each key, by its name in ``keyboard``; returns when the terminal has gone.

        Cancellation: what was read is told before.
        """
        keys = Keys()
        while True:
            with trio.move_on_after(MOMENT_S) if keys.pending else trio.CancelScope() as moment:
                await trio.lowlevel.wait_readable(self._keys)
            if moment.cancelled_caught:
                found = keys.rest()
            else:
                try:
                    sent = os.read(self._keys, CHUNK)
                except OSError:
                    return
                if not sent:
                    return
                found = keys.feed(sent)
            for key in found:
                press(key)
