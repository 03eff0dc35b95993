"""What a node does to a process that is its own: it takes the signals, calms the collector, and may end it by force.

A program that embeds Tickr keeps all of that to itself; only ``tickr serve`` and its processes come through here.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager

import structlog
import trio

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""These end it."""
TOLD = (signal.SIGTSTP, signal.SIGCONT, signal.SIGTTIN)
"""These it only listens to: ``own_node.heed``."""

log = structlog.get_logger("tickr.service")


def take_signals(*, to_the_end: bool) -> AbstractContextManager[AsyncIterator[int]]:
    """Receive SIGTERM, Ctrl-C and what does not end the process while the block lasts.

    Args:
      to_the_end: after it they do nothing, instead of ending the process. Whoever is told twice to stop, and has
        stopped at the first word, would otherwise be killed by the second on its way out, and look like a failure.
    """
    if to_the_end:
        for one in SIGNALS:
            signal.signal(one, signal.SIG_IGN)  # what trio puts back when it is done
    return trio.open_signal_receiver(*SIGNALS, *TOLD)


async def obey_signals(
    signals: AsyncIterator[int], stop: Callable[[], None], tell: Callable[[int], None], *, grace_s: float
) -> None:
    """Call ``stop`` or ``tell`` at each signal, until cancelled. ``grace_s``: for the log."""
    async for number in signals:
        if number in TOLD:
            tell(number)
            continue
        log.info("node.stopping", signal=signal.Signals(number).name, grace_s=grace_s)
        stop()


def calm_collector() -> None:
    """Have Python's garbage collector look at what comes and goes, not at the program itself again and again.

    At 500 jobs/s the defaults took 7 % of the processor and made pauses of 100 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


@contextlib.contextmanager
def ending_within(seconds: float, error: BaseException) -> Iterator[None]:
    """End the process with exit code 1 if the block takes longer: from another thread, as it may wait for ever."""

    def end() -> None:
        log.error("node.failed", error=str(error), exc_info=error)
        end_now(1)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_now(code: int) -> None:
    """End the process where it stands; whoever set up logging gets its last lines out."""
    logging.shutdown()
    os._exit(code)
