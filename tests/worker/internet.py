"""A small Internet for the tests of ``http`` jobs: names resolve to what a test says, all addresses lead to one server.

It stands where the operating system would: below trio, so that the product's own resolver, checks and connections run
as they are. What was looked up and where was connected to is noted, and nothing leaves this machine.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Sequence
from typing import Any

import trio

from tests.worker.web import Answer, Server, reply, serving

SERVED = b"what was asked for"


class Internet:
    """Names and routes. ``open_internet`` opens one, for the whole of a ``trio.run``.

    Attributes:
      names: name → its answers, one for each time it is asked; the last one stays.
      asked: the names that were looked up.
      called: the addresses that were connected to.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.names: dict[str, list[list[str]]] = {}
        self.asked: list[str] = []
        self.called: list[str] = []

    # -- trio.abc.HostnameResolver -------------------------------------------------------------------------------------

    async def getaddrinfo(
        self, host: bytes | None, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> list[Any]:
        await trio.lowlevel.checkpoint()
        name = (host or b"").decode("ascii").lower().rstrip(".")
        self.asked.append(name)
        answers = self.names.get(name)
        if answers is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        found = [socket.getaddrinfo(address, port, type=type, flags=socket.AI_NUMERICHOST) for address in addresses]
        return [entry for entries in found for entry in entries]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise AssertionError("nobody asks for the name of an address")

    # -- trio.abc.SocketFactory ----------------------------------------------------------------------------------------

    def socket(self, family: int = -1, type: int = -1, proto: int = -1) -> trio.socket.SocketType:
        """Return a socket that connects to the one server, whatever it is told to connect to."""
        made = trio.socket.from_stdlib_socket(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        connect = made.connect

        async def routed(address: Sequence[Any]) -> None:
            self.called.append(str(address[0]))
            await connect(("127.0.0.1", self.server.port))

        made.connect = routed  # type: ignore[method-assign]
        return made


@contextlib.asynccontextmanager
async def open_internet(answer: Answer | None = None) -> AsyncIterator[Internet]:
    """Have all of this run's connections and look-ups go through an ``Internet`` while the block lasts."""
    async with serving(answer or reply("200 OK", SERVED)) as server:
        internet = Internet(server)
        resolver = trio.socket.set_custom_hostname_resolver(internet)  # type: ignore[arg-type]
        factory = trio.socket.set_custom_socket_factory(internet)  # type: ignore[arg-type]
        try:
            yield internet
        finally:
            trio.socket.set_custom_hostname_resolver(resolver)
            trio.socket.set_custom_socket_factory(factory)
