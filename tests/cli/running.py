"""A command as a process of its own whose words are heard while it runs: in pipes, or on a terminal of a given size."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Self

ROOT = Path(__file__).parent.parent.parent
WITHIN_S = 60.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Running:
    """``tickr <words>``. A context manager that kills what still runs.

    Args:
      columns: of a terminal for it to run on; None for pipes.
    """

    def __init__(self, *words: str, columns: int | None = None, **variables: str) -> None:
        self._words = words
        self._columns = columns
        self._environment = environment(variables)
        self._changed = threading.Condition()
        self._heard: dict[str, str] = {"out": "", "err": ""}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tickr", *self._words]
        if self._columns is None:
            # Unbuffered by nobody: what arrives, the command itself has flushed.
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert self.process.stdout
            assert self.process.stderr
            self._listen("out", self.process.stdout)
            self._listen("err", self.process.stderr)
        else:
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, self._columns, 0, 0))
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdin=theirs, stdout=theirs, stderr=theirs
            )
            os.close(theirs)
            self._listen("out", os.fdopen(ours, "rb", buffering=0))
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for thread in self._threads:
            thread.join()

    def _listen(self, name: str, stream: IO[bytes]) -> None:
        thread = threading.Thread(target=self._hear, args=(name, stream))
        thread.start()
        self._threads.append(thread)

    def _hear(self, name: str, stream: IO[bytes]) -> None:
        heard = b""
        with stream, contextlib.suppress(OSError):  # so a terminal says that its other end is closed
            while chunk := os.read(stream.fileno(), 65536):
                heard += chunk
                with self._changed:
                    self._heard[name] = heard.decode(errors="replace")
                    self._changed.notify_all()

    @property
    def out(self) -> str:
        """What it has written to stdout so far; on a terminal, to it."""
        return self._heard["out"]

    @property
    def err(self) -> str:
        return self._heard["err"]

    @property
    def lines(self) -> list[str]:
        """The lines on stdout that are finished, without what colours them and moves the cursor."""
        return _CONTROL.sub("", self.out).replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]

    def until(self, fact: Callable[[], bool]) -> None:
        """Wait until what it has written makes ``fact`` true."""
        with self._changed:
            assert self._changed.wait_for(fact, WITHIN_S), f"… {self.out[-2000:]}\nerr: {self.err}"

    def end(self) -> int:
        """Wait until it has ended by itself and everything is heard; return the exit code."""
        code = self.process.wait(WITHIN_S)
        for thread in self._threads:
            thread.join(WITHIN_S)
        return code

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.end()


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Return what a command has: no variable of the surrounding shell that changes how it looks or writes."""
    dropped = ("TICKR_", "COLUMNS", "LINES", "NO_COLOR", "PYTHONUNBUFFERED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **variables}
