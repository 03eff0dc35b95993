"""When whoever reads the output goes away: ``tickr watch | head`` ends quietly and at once, as ``tail -f | head`` does.

A pipe without a reader is noticed by whoever writes to it; what waits for the next event may not write for hours. So a
thread waits for that alone.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tickr.cli.exits import PIPE_CLOSED, minding_the_output


@contextmanager
def ending_with_the_reader() -> Iterator[None]:
    """End the command with PIPE_CLOSED, and without a word, once nobody reads stdout any more."""
    _watch_stdout()
    with minding_the_output():
        yield


def _watch_stdout() -> None:
    try:
        number = sys.stdout.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return  # no file at all: a test, or another program's own stream
    if not hasattr(select, "poll") or os.isatty(number):
        return
    threading.Thread(target=_end_with, args=(number,), daemon=True).start()


def _end_with(number: int) -> None:
    waiting = select.poll()
    waiting.register(number, 0)  # nothing but POLLERR and POLLHUP, which always count
    if any(found & (select.POLLERR | select.POLLHUP) for _, found in waiting.poll()):
        # The process has nothing to bring in order, and its main thread may be in a call that nothing else ends.
        os._exit(PIPE_CLOSED)
