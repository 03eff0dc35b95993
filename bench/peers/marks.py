"""Marks: each job that starts appends 16 bytes to a file, its instant and its process. The same for every peer.

One ``write`` to a file opened for appending costs about a microsecond, so it weighs the same on all, and it works from
forks, threads and other languages (``marks.mjs``). The size of the file is how many jobs have started. The instants are
of CLOCK_MONOTONIC in nanoseconds, which all processes of a machine share. Standard library alone: this file is imported
in each peer's environment.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path

RECORD = struct.Struct("<qq")
VARIABLE = "PEERS_MARKS"


@functools.cache
def _file() -> int:
    return os.open(os.environ[VARIABLE], os.O_WRONLY | os.O_APPEND)


def mark() -> None:
    """Say that a job has started here and now."""
    os.write(_file(), RECORD.pack(time.monotonic_ns(), os.getpid()))


class Marks:
    """The reading side.

    Attributes:
      path: the file, for the variable ``PEERS_MARKS``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def count(self) -> int:
        return self.path.stat().st_size // RECORD.size

    def since(self, first: int) -> list[tuple[int, int]]:
        """Return (instant in ns, process id) of each mark from number ``first`` on."""
        with self.path.open("rb") as file:
            file.seek(first * RECORD.size)
            content = file.read()
        return list(RECORD.iter_unpack(content[: len(content) // RECORD.size * RECORD.size]))
