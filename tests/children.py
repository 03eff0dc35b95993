"""Child processes that a test may kill, freeze and start again, and that never outlive it.

Comes in: a command. Goes out: a process with a log file and a state we know. Each start is watched by a guard, a small
shell that waits for this process to end (by ``kill -9`` as well) and then ends the child and removes its folder.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Protocol, Self

POLL_S = 0.02
STOPPED_WITHIN_S, LOOK_S = 10.0, 0.001

# Reads until the pipe from the tests breaks; then nobody is left to clean up but the guard.
GUARD = 'read -r _; kill -9 "$1" 2>/dev/null; sleep 0.2; rm -rf "$2"'

# Below the ports that the kernel hands to outgoing connections (from 32768), so that a server that was killed finds its
# port still free when it starts again.
PORTS = range(20_000, 32_000)
_held: list[socket.socket] = []
"""What tells the other test processes that a port is this one's; to its end, as its servers come and go."""


def free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody listens on, and that no other call in any test process returns.

    A name among the abstract UNIX sockets holds it, which the kernel gives back when this process ends.
    """
    for port in random.sample(PORTS, 1_000):
        holds = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError), socket.socket() as probe:
            holds.bind(f"\0tickr-test-port-{port}")
            probe.bind(("127.0.0.1", port))
            _held.append(holds)
            return port
        holds.close()
    raise RuntimeError("no free port on 127.0.0.1 among 1000 tried")


class Launched(Protocol):
    """A child of this process; what ``subprocess.Popen`` says of it holds."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, number: int, /) -> None: ...
    def kill(self) -> None: ...


class NotReady(Exception):
    """A child did not become usable; the message ends with the tail of its log."""


class Child:
    """One process with a folder of its own. Subclasses say how it is started and when it is ready.

    A context manager: entering starts the process and waits until it is ready; leaving kills it and removes the folder.
    All methods block; in a trio test call ``start`` through ``trio.to_thread.run_sync`` if other tasks must go on.
    """

    name = "child"
    ready_within_s = 30.0

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix=f"tickr-test-{self.name}-"))
        self.log_path = self.folder / "log"
        self._process: Launched | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    # -- for subclasses -------------------------------------------------------------------------------------------

    def command(self) -> Sequence[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return os.environ

    def launch(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> Launched:
        """Start the process in ``folder``, with nothing to read, and all that it says in ``log``."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then takes us down in order
        )

    def answers(self) -> bool:
        """Return whether the process does its work; any OSError counts as no."""
        raise NotImplementedError

    # -- life -----------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The process id; of the last process once that has ended."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def family(self) -> set[int]:
        """The ids of the process and its guard, as of the last start."""
        return {started.pid for started in (self._process, self._guard) if started is not None}

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start the process, again if need be on the same port and the same data, and wait until it is ready.

        Raises: NotReady: it ended or did not answer within ``ready_within_s``; it has been killed.
        """
        assert not self.running, f"{self.name} is running already"
        with self.log_path.open("ab") as log:
            self._process = self.launch(self.command(), self.environment(), log)
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Return once the process answers. Raises: NotReady, see ``start``."""
        deadline = time.monotonic() + self.ready_within_s
        try:
            while refusal := self._refusal():
                if not self.running:
                    raise NotReady(f"{self.name} ended with code {self.returncode}{self._told()}")
                if time.monotonic() > deadline:
                    raise NotReady(f"{self.name}, after {self.ready_within_s:g} s: {refusal}{self._told()}")
                time.sleep(POLL_S)
        except BaseException:
            self.kill()
            raise

    def _refusal(self) -> str | None:
        try:
            return None if self.answers() else "it answers, but is not ready"
        except OSError as error:
            return str(error)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone. Fine if it is gone already."""
        self._end_guard()  # first: it must never kill a process that got this number later
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """SIGSTOP: the process freezes, its connections stay open and silent until ``cont``.

        Returns when it has. The kernel stops all threads once one of them has been told, which on a busy machine takes
        so long that another one can commit meanwhile. Raises: NotReady: some still run after ``STOPPED_WITHIN_S``.
        """
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOPPED_WITHIN_S
        while not _all_stopped(self.pid):
            if time.monotonic() > deadline:
                raise NotReady(f"{self.name} was not stopped within {STOPPED_WITHIN_S:g} s{self._told()}")
            time.sleep(LOOK_S)

    def cont(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, without waiting; see ``wait``."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, f"{self.name} was never started"
        assert self.running, f"{self.name} is not running{self._told()}"
        self._process.send_signal(number)

    def wait(self, timeout_s: float = 30.0) -> int:
        """Wait for the process to end by itself and return its exit code; negative is a signal.

        Raises: NotReady: it still runs after ``timeout_s``.
        """
        assert self._process is not None, f"{self.name} was never started"
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise NotReady(f"{self.name} still runs after {timeout_s:g} s{self._told()}") from None
        self._end_guard()
        return code

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return None if self._process is None else self._process.poll()

    def _end_guard(self) -> None:
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    # -- what it said ---------------------------------------------------------------------------------------------

    @property
    def log(self) -> str:
        """Everything it has written to stdout and stderr so far, over all its lives."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def _told(self) -> str:
        tail = self.log.splitlines()[-30:]
        return "; the end of its log:\n" + "\n".join(f"  | {line}" for line in tail) if tail else "; it wrote no log"

    def close(self) -> None:
        """Kill the process and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _all_stopped(pid: int) -> bool:
    """Return whether no thread of the process runs; True where there is no /proc."""
    states = set[str]()
    for status in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # the thread has ended
            states.add(status.read_text().rpartition(")")[2].split()[0])
    return states <= set("TtZX")


def children_of_this_process() -> dict[int, str]:
    """Return pid → command line of every living child of this process; empty where there is no /proc."""
    found = {}
    for listing in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # the thread has ended
            for pid in listing.read_text().split():
                with contextlib.suppress(OSError):
                    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
                    # Empty for an instant while a program begins.
                    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    if state != "Z":  # a zombie has ended
                        found[int(pid)] = command.strip()
    return found
