"""Nodes without their imports: ``fork_tickr`` has a process that has done them fork one off (``tests/forking.py``).

What it returns is waited for, killed and frozen by its id, as a ``subprocess.Popen``: it is a child of this process.
Some starts want an interpreter of their own, and ``may_fork`` says no to them: those that start processes, and those
in whose environment something stands that is read when a program begins, as PYTHON… and LD_… are.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.forking import MOST_BYTES

ROOT = Path(__file__).parent.parent
PR_SET_CHILD_SUBREAPER = 36
AT_THE_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC", "OPENSSL", "SSL_")
"""How the names of variables begin that count when a program begins."""
GIVEN = ("PYTHONPATH", "PYTHONUNBUFFERED")
"""Of those, what ``tests/forking.py`` sees to, or what is the same for each node."""
UNFIT = ("--processes", "--reload", "--config")
"""Flags by which a node may start processes like itself."""


class Forked:
    """A child of this process, as ``subprocess.Popen`` would have it. Any thread may call.

    Attributes:
      returncode: the exit code, negative for a signal; None until ``poll`` or ``wait`` has seen the end.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._lock = threading.Lock()

    def poll(self) -> int | None:
        with self._lock:
            if self.returncode is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    self.returncode = os.waitstatus_to_exitcode(status)
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code. Raises: subprocess.TimeoutExpired: it still runs after ``timeout`` seconds."""
        with self._lock:  # until it has been waited for, nobody else gets its number
            end = None if self.returncode is not None else os.pidfd_open(self.pid)
        if end is not None:
            try:
                poll = select.poll()
                poll.register(end, select.POLLIN)
                poll.poll(None if timeout is None else timeout * 1000)
            finally:
                os.close(end)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("tickr", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def may_fork(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether ``command`` is a node that shows nothing else when it is forked off."""
    return (
        sys.platform == "linux"
        and list(command[:4]) == [sys.executable, "-m", "tickr", "serve"]
        and not any(word.partition("=")[0] in UNFIT for word in command)
        and not {"TICKR_PROCESSES", "TICKR_CONFIG"}.intersection(environment)
        and _at_the_start(environment) == _at_the_start(os.environ)
    )


def _at_the_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(AT_THE_START) and name not in GIVEN}


def fork_tickr(words: Sequence[str], folder: Path, environment: Mapping[str, str], log: IO[bytes]) -> Forked:
    """Start ``python -m tickr WORDS…`` in ``folder``, in a session of its own, with nothing to read."""
    asked = {
        "words": list(words),
        "folder": str(folder),
        "path": [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part],
        "environment": dict(environment),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
    }
    text = json.dumps(asked).encode()
    assert len(text) <= MOST_BYTES, "more variables than the process that forks would read"
    return Forked(_forker().fork(text, log.fileno()))


class _Forker:
    """The process that forks, for as long as this one lives: it ends when its socket closes."""

    def __init__(self) -> None:
        self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST_BYTES)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.forking", str(theirs.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def fork(self, text: bytes, log: int) -> int:
        with open(os.devnull, "rb") as nothing, _adopting():
            socket.send_fds(self._line, [text], [nothing.fileno(), log])
            answer = self._line.recv(100)
        assert answer, f"the process that forks has ended with {self.process.wait()}"
        return int(answer)

    def end(self) -> None:
        self._line.close()
        self.process.wait()


@contextlib.contextmanager
def _adopting() -> Iterator[None]:
    """Meanwhile, who loses its parent below this process becomes its child; one thread at a time is here."""
    prctl = ctypes.CDLL(None).prctl
    with _lock:
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            yield
        finally:
            prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


_lock = threading.Lock()
_of_this_process: list[_Forker] = []


def _forker() -> _Forker:
    with _lock:  # threads start nodes as well
        if not _of_this_process:
            _of_this_process.append(_Forker())
            atexit.register(_of_this_process[0].end)
        return _of_this_process[0]


def forkers() -> set[int]:
    """The id of the process that forks for this one, if there is one."""
    return {forker.process.pid for forker in _of_this_process}
