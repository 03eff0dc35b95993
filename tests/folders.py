"""Where the tests keep their files: in memory, if the machine has it, so that nobody waits for a disk.

Stores and servers say "stored" after an ``fsync``, and the tests make thousands of databases: on a disk those take them
most of their time, and a good part of the processors'. What a ``kill -9`` leaves does not depend on it: a process that
dies takes with it what it has not yet written to a file, and nothing of what it has, wherever the file is. Only a loss
of power tells the difference, and no test cuts the power. Benchmarks do not come here: they measure the disk as well.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
LEAST_BYTES = 6 * 2**30
"""Of memory and of the file system in it; a whole run has not been seen to hold a third of that at once."""


def keep_in_memory(folder: Path = MEMORY) -> bool:
    """Have this process and its children make temporary files in memory, and return whether they do from now on.

    Not where TMPDIR names another place, and not where programs cannot be run from there or the room is small, as in
    many a container.
    """
    if os.environ.get("TMPDIR") not in (None, str(folder)) or not _has_room(folder):
        return False
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None  # it is looked up again
    return True


def _has_room(folder: Path) -> bool:
    try:
        there, memory = os.statvfs(folder), Path("/proc/meminfo").read_text()
    except OSError:
        return False
    available = next((int(line.split()[1]) for line in memory.splitlines() if line.startswith("MemAvailable:")), 0)
    room = min(there.f_bavail * there.f_frsize, available * 1024)
    return room >= LEAST_BYTES and not there.f_flag & os.ST_NOEXEC and os.access(folder, os.W_OK | os.X_OK)
