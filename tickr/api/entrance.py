"""Where connections come in: from a queue of the node's own, or from one that it shares with other processes.

All who share a queue are woken for a connection, and whoever is first takes it; often that is the same one again, and
connections stay where they are for long. So each shows how many it has (``Tally``, in memory that all see), and one
that has more than another lets the other go first. It does not wait for long: the other may be busy, or stuck.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable
from typing import IO, Any, NamedTuple

import trio

AWAY = -1
"""In the tally: takes no connections now, so nobody has to wait for it."""
PATIENCE_S = 0.002
"""How long a process that has more connections leaves a new one to the others, in seconds."""
AT_ONCE = 8
"""How many it then takes without waiting again, so that one that is stuck costs the others little."""
ITEM_BYTES = 4


class Tally:
    """How many connections each process has open, by place from 0; in a file that all have mapped.

    Each writes its own place; the supervisor those of the dead. Read without a lock: it is a hint.
    """

    def __init__(self, file: IO[bytes] | int, places: int) -> None:
        descriptor = file if isinstance(file, int) else file.fileno()
        self._counts = memoryview(mmap.mmap(descriptor, places * ITEM_BYTES)).cast("i")

    def __getitem__(self, place: int) -> int:
        return self._counts[place]

    def __setitem__(self, place: int, count: int) -> None:
        self._counts[place] = count

    def counts(self) -> list[int]:
        return self._counts.tolist()

    def is_ahead(self, place: int) -> bool:
        """Whether another process that takes connections has fewer."""
        mine = self._counts[place]
        return any(AWAY < count < mine for count in self._counts)


def tally_file(places: int) -> IO[bytes]:
    """Return a new file for a ``Tally``, without a name, in which everybody is away."""
    # In memory where that can be: there may be no folder that can be written to.
    if sys.platform == "linux":
        file = os.fdopen(os.memfd_create("tickr-tally"), "r+b", 0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - whoever asked for it closes it
    file.write(AWAY.to_bytes(ITEM_BYTES, "little", signed=True) * places)  # all bits set, whatever the order of bytes
    return file


class SharedSocket(NamedTuple):
    """A listening socket from which other processes accept as well; ``place`` is this one's in the ``tally``."""

    sock: socket.socket
    tally: Tally
    place: int

    def getsockname(self) -> Any:
        return self.sock.getsockname()

    def fileno(self) -> int:
        return self.sock.fileno()

    def close(self) -> None:
        self.sock.close()


Listening = socket.socket | SharedSocket
"""What a server takes its connections from."""

Serve = Callable[[trio.SocketStream], Awaitable[None]]


class Entrance(trio.abc.Listener[trio.SocketStream]):
    """What accepts from ``sock``, which belongs to it from now on."""

    def __init__(self, sock: socket.socket) -> None:
        self._listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))

    async def accept(self) -> trio.SocketStream:
        return await self._listener.accept()

    async def aclose(self) -> None:
        await self._listener.aclose()

    def counting(self, serve: Serve) -> Serve:
        """Return ``serve`` as it has to be called for every connection that was accepted here."""
        return serve


class SharedEntrance(Entrance):
    """What accepts from a queue that others take from."""

    def __init__(self, shared: SharedSocket) -> None:
        super().__init__(shared.sock)
        self._tally, self._place = shared.tally, shared.place
        self._tally[self._place] = 0
        self._closed = False
        self._at_once = 0
        self._poll = select.poll()
        self._poll.register(shared.sock, select.POLLIN)

    async def accept(self) -> trio.SocketStream:
        await self._give_way()
        stream = await super().accept()
        self._tally[self._place] += 1
        if self._at_once:
            self._at_once -= 1
        return stream

    async def _give_way(self) -> None:
        """Return when it is this process's turn, or nobody has used theirs."""
        if self._at_once and self._poll.poll(0):
            return
        self._at_once = 0
        while not self._at_once and self._tally.is_ahead(self._place):
            await trio.lowlevel.wait_readable(self._listener.socket)
            before = self._tally.counts()
            await trio.sleep(PATIENCE_S)
            # What is there now may have come this moment; but nobody has taken anything meanwhile.
            if self._poll.poll(0) and self._tally.counts() == before:
                self._at_once = AT_ONCE

    async def aclose(self) -> None:
        self._closed = True
        self._tally[self._place] = AWAY
        await super().aclose()

    def counting(self, serve: Serve) -> Serve:
        async def counted(stream: trio.SocketStream) -> None:
            try:
                await serve(stream)
            finally:
                if not self._closed:
                    self._tally[self._place] -= 1

        return counted


def entrance(sock: Listening) -> Entrance:
    return SharedEntrance(sock) if isinstance(sock, SharedSocket) else Entrance(sock)
