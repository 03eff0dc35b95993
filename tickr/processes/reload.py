"""Reload: a program that keeps another one running, and starts it anew when Python files change; for development.

Comes in: the command that starts this program once more, and the files and folders to look at. Goes out: one child at a
time, and in the end its exit code. A child is asked to stop as by SIGTERM, and to stop at once when it takes long. One
that ends by itself with an error, as after a typing mistake, is started again at the next change.

State: what the files were like when the child was started is known here only; the child has a lifeline, a pipe whose
end tells it that nobody watches it any more.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import structlog
import trio

from tickr.handle import Stop

VARIABLE = "_TICKR_RELOADED"
"""Tells a process that it is such a child: the descriptor of its lifeline."""
LOOK_S = 0.5
"""Pause between two looks at the files, in seconds."""
AT_ONCE_AFTER_S = 5.0
"""A child that still runs jobs so long after a change, in seconds, cancels them and hands them back."""
KILLED_AFTER_S = 25.0
"""One that is still there so long after that, in seconds, is killed."""
SIGNALLED = 128
"""Added to a signal's number, it is the exit code of what the signal ended, as shells count."""
MOST_FILES = 20_000
"""So many files are looked at; in larger trees the rest is not."""
SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})

Seen = Mapping[str, tuple[int, int]]
"""Path of each file: when it was changed, nanoseconds, and its size, bytes."""

log = structlog.get_logger("tickr.processes")


def is_child() -> bool:
    """Whether this process is started by ``reload``. If so, it is asked to stop when that one is gone. Call once."""
    given = os.environ.pop(VARIABLE, "")
    if not given:
        return False
    lifeline = int(given)
    os.set_inheritable(lifeline, False)

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, daemon=True, name="lifeline").start()
    return True


def roots_of(app: str | None) -> list[Path]:
    """Return what to look at: the working directory, and where the package of ``app`` (MODULE:APP) is."""
    found = [Path.cwd()]
    name = (app or "").partition(":")[0].partition(".")[0]
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    spec = find_spec(name) if name.isidentifier() else None
    if spec and spec.origin and Path(spec.origin).is_file():
        origin = Path(spec.origin)
        found.append(origin.parent if origin.name == "__init__.py" else origin)
    return found


async def reload(command: Sequence[str], roots: Sequence[Path]) -> int:
    """Keep ``command`` running until SIGTERM or Ctrl-C, which it gets as SIGTERM. Returns: its last exit code.

    Cancellation: the child is left behind without its lifeline: it drains and ends.
    """
    stop = Stop()
    async with trio.open_nursery() as nursery:
        await nursery.start(_stop_on_signals, stop)
        code = await _keep(command, roots, stop)
        nursery.cancel_scope.cancel()
    return code


async def _stop_on_signals(stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        task_status.started()
        async for _ in signals:
            stop.ask()


async def _keep(command: Sequence[str], roots: Sequence[Path], stop: Stop) -> int:
    while True:
        before = await trio.to_thread.run_sync(look, roots)
        changed, code = await _live(command, roots, before, stop)
        if stop.draining.is_set() or (code == 0 and not changed):
            return code
        if not changed:  # it has ended by itself, with an error: nothing helps but a change
            log.error("reload.waiting", code=code)
            await _wait_change(roots, before, stop)
            if stop.draining.is_set():
                return code


async def _live(command: Sequence[str], roots: Sequence[Path], before: Seen, stop: Stop) -> tuple[bool, int]:
    """Run one child to its end. Returns: whether a file has changed meanwhile, and its exit code."""
    theirs, ours = os.pipe()
    changed = False
    try:
        child = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs],
            env={**os.environ, VARIABLE: str(theirs)},
            start_new_session=True,  # Ctrl-C is for this process, which passes it on
        )
        os.close(theirs)
        async with trio.open_nursery() as nursery:

            async def end_after_change() -> None:
                nonlocal changed
                changed = await _wait_change(roots, before, stop)
                await _end(child, stop)

            nursery.start_soon(end_after_change)
            code = await child.wait()
            nursery.cancel_scope.cancel()
    finally:
        os.close(ours)
    return changed, code if code >= 0 else SIGNALLED - code


async def _wait_change(roots: Sequence[Path], before: Seen, stop: Stop) -> bool:
    """Return True when a file is another than ``before``, or False when this is to stop."""
    while not stop.draining.is_set():
        with trio.move_on_after(LOOK_S):
            await stop.draining.wait()
        now = await trio.to_thread.run_sync(look, roots)
        if different := sorted(path for path in {*before, *now} if before.get(path) != now.get(path)):
            log.info("reload.changed", file=different[0], files=len(different))
            return True
    return False


async def _end(child: trio.Process, stop: Stop) -> None:
    """Ask ``child`` to stop, to stop at once when it takes long or somebody asks, and then kill it. Until cancelled."""
    child.send_signal(signal.SIGTERM)
    with trio.move_on_after(math.inf if stop.draining.is_set() else AT_ONCE_AFTER_S):
        await stop.now.wait()
    child.send_signal(signal.SIGTERM)
    await trio.sleep(KILLED_AFTER_S)
    log.error("process.killed", pid=child.pid)
    child.kill()


def look(roots: Sequence[Path]) -> Seen:
    """Return what the Python files in ``roots`` are like now. Blocks."""
    found: dict[str, tuple[int, int]] = {}
    for path in itertools.islice(_files(roots), MOST_FILES):
        with contextlib.suppress(OSError):  # just deleted
            about = os.stat(path)
            found[path] = about.st_mtime_ns, about.st_size
    return found


def _files(roots: Sequence[Path]) -> Iterator[str]:
    for root in roots:
        if root.is_file():
            yield str(root)
        for folder, folders, names in os.walk(root):
            if "pyvenv.cfg" in names:  # a virtual environment
                folders.clear()
                continue
            folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith(".")]
            yield from (os.path.join(folder, name) for name in names if name.endswith(".py"))
