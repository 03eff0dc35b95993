"""A command on a terminal of its own, whose screen can be read and whose keys can be pressed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable
from typing import Any, Self

import pyte

from tests.cli.running import ROOT, WITHIN_S, environment

UP, DOWN, PAGE_UP, PAGE_DOWN = "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~"
ENTER, ESCAPE, TAB, CTRL_C = "\r", "\x1b", "\t", "\x03"

MEANS_NOTHING = b"\x1b[I"
"""What a terminal may say when it is looked at; no key."""


class OnScreen:
    """``tickr <words>``. A context manager that kills what still runs.

    Attributes:
      heard: everything it has written, as it came.
    """

    def __init__(self, *words: str, columns: int = 80, rows: int = 24, **variables: str) -> None:
        self._command = [sys.executable, "-m", "tickr", *words]
        self._environment = environment(variables)
        self._size = (columns, rows)
        self._changed = threading.Condition()
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.heard = b""

    def __enter__(self) -> Self:
        self._ours, self._theirs = pty.openpty()  # ours alone would not outlive the command, and its settings with it
        self._set_size()
        self.settings = termios.tcgetattr(self._theirs)
        self.process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._theirs)
        self._thread.join()
        os.close(self._ours)

    def _set_size(self) -> None:
        columns, rows = self._size
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _hear(self) -> None:
        with contextlib.suppress(OSError):  # so it says that nobody has the other end any more
            while chunk := os.read(self._ours, 65536):
                with self._changed:
                    self.heard += chunk
                    self._stream.feed(chunk)
                    self._changed.notify_all()

    @property
    def lines(self) -> list[str]:
        """What stands on the screen."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def line(self, words: str) -> str:
        """Return the first line with ``words`` in it; "" if there is none."""
        return next((line for line in self.lines if words in line), "")

    @property
    def marked(self) -> str:
        """The selected row: the first line after the names of the lists that is shown in reverse from its beginning."""
        for number in range(2, self._screen.lines):
            if self._screen.buffer[number][2].reverse:
                return self._screen.display[number].rstrip()
        return ""

    def press(self, *keys: str) -> None:
        """Press one key after the other; so that several that are read at once are no paste, each with a sequence."""
        for key in keys:
            os.write(self._ours, key.encode() + MEANS_NOTHING)

    def paste(self, text: str) -> None:
        """Have it all arrive at once."""
        os.write(self._ours, text.encode())

    def resize(self, columns: int, rows: int) -> None:
        with self._changed:
            self._size = (columns, rows)
            self._screen.resize(rows, columns)
            self._screen.reset()
        self._set_size()

    def until(self, fact: Callable[[], Any]) -> None:
        """Wait until what stands on the screen makes ``fact`` true."""
        with self._changed:
            assert self._changed.wait_for(fact, WITHIN_S), f"the screen is\n{self.text}"

    def end(self) -> int:
        """Wait until it has ended by itself; return the exit code."""
        return self.process.wait(WITHIN_S)

    @property
    def is_restored(self) -> bool:
        """Whether the terminal is as it was: its settings, its screen, its cursor."""
        same = termios.tcgetattr(self._theirs) == self.settings
        after = self.heard.rpartition(b"\x1b[?1049h")[2]
        return same and b"\x1b[?1049l" in after and b"\x1b[?25h" in after
