"""A debugger in a handler that runs: ``tickr.breakpoint()`` waits for somebody who comes with ``tickr debug``.

They meet at a Unix socket in a folder of this machine that is open to the program's own user alone, so nobody needs to
prove who he is, and nothing listens on a network. From afar one comes by ssh.

For plain functions, in threads and processes: the event loop goes on meanwhile, and so does the node's lease. In an
async handler it would stand still, and every other job with it; there it is refused.

State: ``_allowed``, of the call that a thread or process is in; nobody else writes it.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from pdb import Pdb

WAIT_S = 300.0
"""How long a breakpoint waits for somebody, in seconds."""
SILENCE_S = 900.0
"""How long a debugger waits for the next command, in seconds; then the handler goes on without it."""
LOOK_S = 0.2
"""How soon it is noticed that the job is to stop, in seconds."""
MAX_COMMAND = 64 * 1024
"""Longest line of a command, in bytes."""
_LISTENS = 1 << 16
"""``__SO_ACCEPTCON`` of Linux, which tells sockets that have been bound from those that somebody may connect to."""
OURS = ("tickr", "tickr.*", "trio", "trio.*", "trio_parallel.*", "outcome.*", "contextlib")
"""Modules in which nobody is taken to be who steps out of his handler."""


class _Attempt:
    """The call of one handler in which breakpoints are allowed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        self.debugger: Any = None
        self.line: _Line | None = None

    def end_session(self) -> None:
        """Leave the debugger, if it is used; the handler goes on, or has ended."""
        if self.line is not None:
            self.line.close()
            self.debugger = self.line = None
            sys.settrace(None)


_allowed: ContextVar[_Attempt | None] = ContextVar("tickr_debugger", default=None)


def run_allowed(job_id: str, call: Callable[[], Any]) -> Any:
    """Return what ``call``, a handler with its arguments, returns; it may use ``breakpoint``."""
    attempt = _Attempt(job_id)
    token = _allowed.set(attempt)
    try:
        return call()
    finally:
        _allowed.reset(token)
        attempt.end_session()


def breakpoint(wait_s: float = WAIT_S) -> None:
    """Wait here for somebody who runs ``tickr debug`` on this machine, and give him a ``pdb`` of this place.

    In plain handlers, in threads and processes. Does nothing where ``--debugger`` does not allow it. If nobody comes,
    or whoever came goes away, the handler goes on. The job's time-out runs on; so does its lease.

    Args:
      wait_s: how long to wait, in seconds.
    Raises: RuntimeError: this is the event loop, which would stand still. bdb.BdbQuit, later: the debugger was told to
      quit, which ends the attempt like any error.
    Cancellation: ends the waiting and the session, in a thread, when its job is to stop.
    """
    if trio.lowlevel.in_trio_run():
        raise RuntimeError(
            "tickr.breakpoint() is for plain handlers: here it would stop the event loop and all its jobs"
        )
    attempt = _allowed.get()
    if attempt is None:
        return
    if attempt.line is None and not _meet(attempt, wait_s):
        return
    attempt.debugger.set_trace(sys._getframe(1))


def _meet(attempt: _Attempt, wait_s: float) -> bool:
    """Wait for somebody; return whether he came."""
    with _listening(attempt.job_id) as listener:
        _log().warning("debugger.waiting", job=attempt.job_id, seconds=wait_s, command=f"tickr debug {attempt.job_id}")
        until = time.monotonic() + wait_s
        while not select.select([listener], [], [], LOOK_S)[0]:
            _stop_if_asked()
            if time.monotonic() > until:
                _log().warning("debugger.nobody_came", job=attempt.job_id)
                return False
        connection, _ = listener.accept()
    attempt.line = _Line(connection)
    attempt.debugger = _debugger(attempt)
    _log().warning("debugger.attached", job=attempt.job_id)
    return True


def _log() -> Any:
    import structlog  # not loaded by who only imports tickr

    return structlog.get_logger("tickr.worker") if structlog.is_configured() else _PlainLog()


class _PlainLog:
    """The log of a process of the node's, which has none of its own."""

    def warning(self, event: str, **said: object) -> None:
        words = " ".join(f"{name}={value}" for name, value in said.items())
        sys.stderr.write(f"{event} {words}\n")
        sys.stderr.flush()


def _stop_if_asked() -> None:
    with suppress(RuntimeError):  # no thread of trio's: a process, which is killed instead
        trio.from_thread.check_cancelled()


def folder() -> Path:
    """Return the folder with the sockets of those that wait; made if need be.

    Raises: RuntimeError: somebody else has it, or may look into it.
    """
    path = Path(tempfile.gettempdir()) / f"tickr-debug-{os.getuid()}"
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not stat.S_ISDIR(found.st_mode):
        raise RuntimeError(f"{path} is not a folder of this user's alone; remove it")
    return path


def waiting() -> list[str]:
    """Return the ids of the jobs whose handlers wait on this machine. Raises: RuntimeError: as ``folder``."""
    return sorted(path.stem for path in folder().glob("*.sock") if _listens(path))


def _listens(path: Path) -> bool:
    """Return whether a process listens on the socket; asked of the kernel alone, since to connect would be to come."""
    try:
        sockets = Path("/proc/net/unix").read_text()
    except OSError:
        return True  # not Linux
    ours = (row.split() for row in sockets.splitlines() if row.endswith(f" {path}"))
    return any(int(row[3], 16) & _LISTENS for row in ours)


@contextmanager
def _listening(job_id: str) -> Iterator[socket.socket]:
    path = folder() / f"{job_id}.sock"
    path.unlink(missing_ok=True)  # of a process that was killed
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


class _Line:
    """The way to whoever debugs, as the text files that pdb wants. One that is gone, or silent, says ``continue``."""

    encoding = "utf-8"

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._came = b""

    def readline(self) -> str:
        until = time.monotonic() + SILENCE_S
        while b"\n" not in self._came and len(self._came) < MAX_COMMAND:
            _stop_if_asked()
            if time.monotonic() > until:
                return ""
            if select.select([self._connection], [], [], LOOK_S)[0]:
                try:
                    more = self._connection.recv(4096)
                except OSError:
                    more = b""
                if not more:
                    return ""
                self._came += more
        line, _, self._came = self._came.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    def write(self, text: str) -> int:
        with suppress(OSError):  # noticed when the next command is read
            self._connection.settimeout(LOOK_S * 10)
            self._connection.sendall(text.encode(errors="replace"))
        return len(text)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self._connection.close()


def _debugger(attempt: _Attempt) -> Pdb:
    from pdb import Pdb  # not loaded by who never debugs

    class Remote(Pdb):
        """``pdb`` over a line, which it leaves when the handler goes on without breakpoints."""

        def do_EOF(self, arg: str) -> bool | None:
            self.clear_all_breaks()  # nobody is there for them
            return self.do_continue(arg)

        def set_continue(self) -> None:
            super().set_continue()
            if not self.breaks:
                attempt.end_session()

        def set_quit(self) -> None:
            super().set_quit()
            attempt.end_session()

    line: Any = attempt.line
    debugger = Remote(stdin=line, stdout=line, skip=OURS, nosigint=True, readrc=False)
    debugger.prompt = "(tickr) "
    return debugger
