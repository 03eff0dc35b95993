"""The fleet: nodes that are started again whenever they end, some of them with a failpoint that will kill them.

State: a node's process belongs to ``Node.keep``; ``rests_until`` and ``healthy`` are written by the tormentor.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

import trio

from tests.faults.history import Fault
from tests.faults.ledger import now_us
from tests.processes import TickrProcess
from tickr import failpoints
from tickr.cli import exits

LAST_WORDS_BYTES = 2_000
ENDS_WITHIN_S = 45.0
ASK_WITHIN_S = 1.0
POLL_S = 0.05


class Node:
    """One place in the fleet, over all the lives of its process.

    Attributes:
      process: the node; see ``TickrProcess``.
      up: whether it is believed to answer.
      rests_until: trio's time before which it is not started again.
      thawed_at: trio's time at which it was last let go on after a freeze.
      asked_to_end: what it was just told to do, "kill" or "stop"; None if it ends by itself.
      lives: how often it was started.
    """

    def __init__(
        self, process: TickrProcess, failpoint: Callable[[], str | None], note: Callable[[Fault], None]
    ) -> None:
        self.process = process
        self._failpoint = failpoint
        self._note = note
        self._plain = dict(process.variables)
        self.up = False
        self.frozen = False
        self.rests_until = 0.0
        self.thawed_at = 0.0
        self.asked_to_end: str | None = None
        self.lives = 0
        self.odd_ends: list[str] = []

    async def keep(self) -> None:
        """Start it, see it end, start it again, until cancelled; then it is killed."""
        try:
            while True:
                await trio.sleep_until(self.rests_until)
                await self._live()
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self.process.kill)

    async def _live(self) -> None:
        point = self._failpoint()
        self.process.variables = self._plain | ({failpoints.VARIABLE: point} if point else {})
        self.asked_to_end = None
        await trio.to_thread.run_sync(partial(self.process.start, wait=False))
        self.lives += 1
        pid = self.process.pid
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._await_ready)
            await _ended(pid)
            at = now_us()
            nursery.cancel_scope.cancel()
        was_up, self.up = self.up, False
        code = await trio.to_thread.run_sync(partial(self.process.wait, ENDS_WITHIN_S))
        self._tell_end(pid, at, code, was_up)

    async def _await_ready(self) -> None:
        ask = partial(self.process.readiness, timeout_s=ASK_WITHIN_S)
        while not self.up:
            with suppress(OSError):
                self.up = await trio.to_thread.run_sync(ask, abandon_on_cancel=True) == 200
            await trio.sleep(POLL_S)

    def _tell_end(self, pid: int, at: int, code: int, was_up: bool) -> None:
        """Note what ended this life, unless the tormentor did."""
        if self.asked_to_end is not None:
            return
        words = self.process.log[-LAST_WORDS_BYTES:].strip().splitlines()
        last = next((line for line in reversed(words) if line.startswith("failpoint ")), "")
        self._note(Fault("failpoint", "node", at, at, pid))
        if code == exits.UNREACHABLE and not was_up:
            return  # its store was away just then: it says so and ends, and whoever supervises it starts it again
        if not (code == -signal.SIGKILL and last.endswith(": kill")):
            self.odd_ends.append(f"code {code}: {words[-1][:300] if words else ''}")

    def kill(self, *, rest_s: float) -> None:
        """SIGKILL, and let it lie for ``rest_s`` seconds."""
        if self._can_be_told():
            self.asked_to_end = "kill"
            self.rests_until = trio.current_time() + rest_s
            at = now_us()
            os.kill(self.process.pid, signal.SIGKILL)
            self._note(Fault("kill", "node", at, at, self.process.pid))

    def terminate(self) -> None:
        """SIGTERM: a graceful stop, then a start."""
        if self._can_be_told():
            self.asked_to_end = "stop"
            self.up = False
            self.process.terminate()
            self._note(Fault("stop", "node", now_us(), now_us(), self.process.pid))

    async def freeze(self, for_s: float) -> None:
        """SIGSTOP for so many seconds."""
        if not self._can_be_told():
            return
        began, pid = now_us(), self.process.pid
        self.process.stop()
        self.frozen = True
        try:
            await trio.sleep(for_s)
        finally:
            self.frozen, self.thawed_at = False, trio.current_time()
            if self.process.running:
                self.process.cont()
            self._note(Fault("freeze", "node", began, now_us(), pid))

    def _can_be_told(self) -> bool:
        return self.process.running and self.asked_to_end is None and not self.frozen


async def _ended(pid: int) -> None:
    """Return when the child ``pid`` has ended; it is still to be waited for."""
    handle = os.pidfd_open(pid)
    try:
        await trio.lowlevel.wait_readable(handle)
    finally:
        os.close(handle)


def random_failpoint(chance: random.Random, share: float) -> str | None:
    """Return the setting that kills a node at some point at some time, for about ``share`` of the lives."""
    if chance.random() >= share:
        return None
    name = chance.choice(sorted(failpoints.POINTS))
    return f"{name}=kill@{chance.choice((1, 2, 5, 20, 100))}"


def variables(ledger: str) -> Mapping[str, str]:
    return {"LEDGER": ledger, "TICKR_LOG_LEVEL": "warning", "TICKR_LOG_FORMAT": "json"}
