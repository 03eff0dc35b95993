"""A supervisor over small programs in the place of nodes: what they begin with, and how to wait for what it logs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from structlog.testing import capture_logs

from tests.waiting import eventually, happens
from tickr.config import ROLES, Config
from tickr.processes.fleet import Verdict
from tickr.processes.supervisor import supervise
from tickr.values import Range

PRELUDE = """
import os, select, signal, socket, struct, sys
fds = [int(fd) for fd in os.environ["_TICKR_PROCESS"].split(",")]
link = socket.socket(fileno=fds[0])
task = link.recv(struct.unpack(">I", link.recv(4, socket.MSG_WAITALL))[0], socket.MSG_WAITALL)
with open(sys.argv[1], "ab", buffering=0) as lives:
    lives.write(b".")
    life = lives.tell()
def serve(): link.send(b"serving\\n")
def refuse(code): link.send(b'refused "no such luck"\\n'); sys.exit(code)
def stay(): return link.recv(100)
def tell():
    with open(sys.argv[1] + ".load", "rb") as file: link.send(file.read())
def work():
    while not select.select([link], [], [], 0.05)[0]: tell()
    return stay()
"""
"""``work`` is ``stay`` for one that tells again and again what ``Supervision.load`` says.

Of ``life`` there is one for each process that was started, from 1, whichever place it takes."""


TWO = Range(2, 2)


class Supervision:
    """A supervisor at work: what it logs, and its verdict once it has ended."""

    def __init__(self, lives: Path, logs: list[MutableMapping[str, Any]]) -> None:
        self._lives, self._logs = lives, logs
        self.announced: list[str] = []
        self.verdict: Verdict | None = None

    def load(self, line: str) -> None:
        """Have all that ``work`` tell this from now on."""
        written = self._lives.with_name("written")
        written.write_text(line)
        written.rename(self._lives.with_name("lives.load"))

    @property
    def lives(self) -> int:
        return self._lives.stat().st_size if self._lives.exists() else 0

    def told(self, event: str) -> list[MutableMapping[str, Any]]:
        return [line for line in self._logs if line["event"] == event]

    async def until_told(self, event: str, times: int = 1, *, within_s: float = 10) -> None:
        await eventually(happens(lambda: len(self.told(event)) >= times), within_s=within_s)

    async def until_announced(self, *, within_s: float = 10) -> None:
        await eventually(happens(lambda: bool(self.announced)), within_s=within_s)


@asynccontextmanager
async def supervising(
    folder: Path,
    body: str,
    *,
    python: str = sys.executable,
    processes: Range = TWO,
    grace: float = 5.0,
    roles: tuple[str, ...] = ROLES,
) -> AsyncIterator[Supervision]:
    """Have ``processes`` run ``body`` for the length of the block; at its end the supervisor must end by itself."""
    command = [python, "-S", "-c", PRELUDE + body, str(folder / "lives")]
    config = Config(
        port=0, processes=processes, grace=grace, roles=roles, token="canary-in-a-task", events_keep=float("inf")
    )
    async with running(folder, config, command) as supervision:
        yield supervision


@asynccontextmanager
async def running(
    folder: Path, config: Config, command: Sequence[str], *, within_s: float = 20
) -> AsyncIterator[Supervision]:
    """Supervise what ``command`` starts, whatever that is."""
    with capture_logs() as logs:
        supervision = Supervision(folder / "lives", logs)
        supervision.load("")

        async def run() -> None:
            supervision.verdict = await supervise(config, command, announce=supervision.announced.append)

        with trio.fail_after(within_s):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run)
                yield supervision


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
