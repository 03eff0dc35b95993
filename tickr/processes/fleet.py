"""Fleet: what the seats have in common: the socket, the settings, the wish to stop, and how all ended."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import NamedTuple

import trio

from tickr.api.entrance import Tally, tally_file
from tickr.config import Config
from tickr.handle import Stop


class Verdict(NamedTuple):
    """How all ended.

    Attributes:
      code: exit code; 0 if every process stopped as it should.
      reason: why Tickr could not start, in the process's own words; "" if it did, or if there were none.
    """

    code: int = 0
    reason: str = ""


class Fleet:
    """What the seats have in common. ``verdict`` is written by the seats: the first that is not good stands.

    ``serving``: the processes that take work, written by their seats.
    """

    def __init__(self, config: Config, command: Sequence[str], sock: socket.socket | None) -> None:
        self.config = config
        self.command = command
        self.stop = Stop()
        self.verdict = Verdict()
        self.serving: set[trio.Process] = set()
        self.sock = sock
        self.tally_file = tally_file(config.processes.most)
        self.tally = Tally(self.tally_file, config.processes.most)

    async def close_when_stopping(self) -> None:
        """Let go of the port at the stop: when the processes have, too, clients are refused instead of kept waiting."""
        await self.stop.draining.wait()
        if self.sock:
            self.sock.close()

    def tell(self, number: int) -> None:
        """Pass on a signal that ends nobody, to those that serve: before, they could not understand it."""
        for process in self.serving:
            process.send_signal(number)

    def give_up(self, verdict: Verdict) -> None:
        """Stop all of them for this reason."""
        self.judge(verdict)
        self.stop.drain()

    def judge(self, verdict: Verdict) -> None:
        if self.verdict.code == 0:
            self.verdict = verdict
