"""A process under a supervisor: what it has been given, and how it is asked to stop.

Comes in: descriptors named by a variable, and the task over the link. Goes out: what the node needs to serve with them,
and word to the supervisor of how that went.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from typing import NamedTuple

import structlog
import trio

from tickr.api.doors import Doors
from tickr.api.entrance import SharedSocket, Tally
from tickr.config import Config
from tickr.handle import Stop
from tickr.metrics.board import Board, Seat
from tickr.processes.link import DRAIN, NOW, SERVING, VARIABLE, Given, load_line, receive_task, refusal
from tickr.start import Watched

TELL_S = 1.0
"""Pause between two words about the load, in seconds."""
LAST_WORD_S = 1.0
"""How long a process that could not start waits to have said why, in seconds."""

log = structlog.get_logger("tickr.processes")


class Supervised(NamedTuple):
    """What the supervisor has given to this process.

    Attributes:
      number: which of its processes this is, from 1.
      config: settings for this process.
      doors: listen, together with the other processes.
      seat: for its metrics.
      link: to the supervisor.
      tells_load: whether the supervisor goes by how much the processes do.
    """

    number: int
    config: Config
    doors: Doors
    seat: Seat
    link: socket.socket
    tells_load: bool = False

    def tell_serving(self) -> None:
        with contextlib.suppress(OSError):  # the supervisor has gone; ``obey`` sees to it
            self.link.send(SERVING + b"\n")

    def tell_refused(self, reason: str) -> None:
        """Say why this process ends before it served. Blocks for a moment at most."""
        with contextlib.suppress(OSError):
            self.link.settimeout(LAST_WORD_S)
            self.link.sendall(refusal(reason))

    async def attend(self, node: Watched) -> None:
        """Have ``node`` do as the supervisor says, and tell it what it wants to know, until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.obey, node.stop)
            if self.tells_load:
                nursery.start_soon(self._tell_load, node)

    async def _tell_load(self, node: Watched) -> None:
        while True:
            await trio.sleep(TELL_S)
            if node.worker and (load := await node.worker.load()):
                with contextlib.suppress(OSError):  # it has gone, or does not read: then it misses this one
                    self.link.send(load_line(load))

    async def obey(self, stop: Stop) -> None:
        """Ask the node to stop when the supervisor says so, or has gone. Returns when nothing more can be said."""
        link = trio.socket.from_stdlib_socket(self.link)
        while True:
            try:
                said = await link.recv(1024)
            except OSError:
                said = b""
            if not said:
                log.warning("process.orphaned", grace_s=self.config.grace)
                stop.drain()
                return
            if DRAIN in said:
                log.info("node.stopping", asked_by="supervisor", grace_s=self.config.grace)
                stop.drain()
            if NOW in said:
                stop.end_now()


def take_over() -> Supervised | None:
    """Return what a supervisor has given to this process; None if it has none, as usual.

    To be called once, before anything else is started: the descriptors are kept from the processes that handlers start.
    Raises: SystemExit: the supervisor has gone before it said what to do.
    """
    given = os.environ.pop(VARIABLE, "")
    if not given:
        return None
    inherited = Given.read(given)
    for descriptor in inherited:
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    link = socket.socket(fileno=inherited.link)
    task = receive_task(link)
    if task is None:
        sys.exit(1)
    place = task.number - 1
    api = None
    if inherited.api >= 0:
        api = SharedSocket(socket.socket(fileno=inherited.api), Tally(inherited.tally, task.places), place)
        os.close(inherited.tally)
    lookout = socket.socket(fileno=inherited.lookout) if inherited.lookout >= 0 else None
    seat = Seat(Board(inherited.board, task.places), place)
    os.close(inherited.board)
    return Supervised(task.number, task.config, Doors(api, lookout), seat, link, task.tells_load)
