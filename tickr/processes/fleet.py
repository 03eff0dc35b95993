"""Fleet: what the seats have in common: the doors, the settings, the wish to stop, and how all ended."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import trio

from tickr.api.doors import Doors
from tickr.api.entrance import AWAY, Listening, Tally, tally_file
from tickr.config import Config
from tickr.handle import Stop
from tickr.metrics.board import Board, board_file
from tickr.processes.link import Given


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

    def __init__(self, config: Config, command: Sequence[str], doors: Doors) -> None:
        self.config = config
        self.command = command
        self.stop = Stop()
        self.verdict = Verdict()
        self.serving: set[trio.Process] = set()
        self.doors = doors
        places = config.processes.most
        self._tally_file, self._board_file = tally_file(places), board_file(places)
        self._tally = Tally(self._tally_file, places)
        self._board = Board(self._board_file, places)

    def close_files(self) -> None:
        self._tally_file.close()
        self._board_file.close()

    def given(self, link: int, held: contextlib.ExitStack) -> Given:
        """Return what a process inherits. The sockets are its own while ``held`` is: a stop may close the fleet's.

        Not by ``sock.dup()``: that would make the socket block, for everybody, since all share one open file.
        """

        def lent(sock: Listening | None) -> int:
            if sock is None:
                return -1
            descriptor = os.dup(sock.fileno())
            held.callback(os.close, descriptor)
            return descriptor

        api, lookout = map(lent, self.doors)
        tally = -1 if api < 0 else self._tally_file.fileno()
        return Given(link, api, tally, lookout, self._board_file.fileno())

    def forget(self, place: int) -> None:
        """Note that the process there has ended: it could not say so itself, if it was killed."""
        self._tally[place] = AWAY
        self._board.bury(place)

    async def close_when_stopping(self) -> None:
        """Let go of the port at the stop: when the processes have, too, clients are refused instead of kept waiting."""
        await self.stop.draining.wait()
        self.doors.close()

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
