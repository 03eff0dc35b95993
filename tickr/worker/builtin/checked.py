"""Checked connections for ``http`` jobs: a transport that only connects to addresses it has checked itself.

The name is resolved once, every address is checked, and the connection goes to one of those very addresses: a name
that answers differently the second time (DNS rebinding) gains nothing. TLS still asks for the name. Each redirect comes
through here again.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable
from contextlib import aclosing
from ssl import SSLContext

import httpcore2
import httpx2
import trio

from tickr.worker.builtin.addresses import refusal

MAX_ADDRESSES = 8
"""Of what a name resolves to, so many addresses are tried."""

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Takes host and port and returns addresses as text. Raises: OSError."""


class AddressRefused(Exception):
    """The host's address must not be called."""


async def resolve(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedTransport(httpx2.AsyncBaseTransport):
    """One job's connections; no proxy, no configuration from the environment. Entered and left by the client."""

    def __init__(self, tls: SSLContext, *, allow_private: bool, resolve: Resolve) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_keepalive_connections=0,
            network_backend=_CheckedBackend(allow_private=allow_private, resolve=resolve),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        assert isinstance(request.stream, AsyncIterable)
        url = httpcore2.URL(
            scheme=request.url.raw_scheme, host=request.url.raw_host, port=request.url.port, target=request.url.raw_path
        )
        response = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method, url=url, headers=request.headers.raw, content=request.stream, extensions={}
            )
        )
        assert isinstance(response.stream, AsyncIterable)
        return httpx2.Response(response.status, headers=response.headers, stream=_Stream(response))

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Stream(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        async with aclosing(self._response.aiter_stream()) as parts:
            async for part in parts:
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


class _CheckedBackend(httpcore2.AsyncNetworkBackend):
    def __init__(self, *, allow_private: bool, resolve: Resolve) -> None:
        self._allow_private = allow_private
        self._resolve = resolve
        self._plain = httpcore2.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await self._checked(host, port)
        for address in addresses[:-1]:
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError:
                continue
        return await self._plain.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def _checked(self, host: str, port: int) -> list[str]:
        """Return where ``host`` may be reached. One bad address among them and none is used."""
        addresses = (await self._resolve(host, port))[:MAX_ADDRESSES]
        if not addresses:
            raise OSError(f"{host} has no address")
        for address in addresses:
            why = refusal(address, allow_private=self._allow_private)
            if why is not None:
                raise AddressRefused(f"{host} is at {address}, which is not called: {why}.")
        return addresses

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)
