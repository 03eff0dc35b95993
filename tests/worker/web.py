"""A small web server and a resolver, for the tests of ``http`` jobs."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import trio

Answer = Callable[["Server", trio.abc.Stream, bytes], Awaitable[None]]


class Server:
    """A server on 127.0.0.1 that keeps the requests it got and answers each connection once."""

    def __init__(self, answer: Answer, port: int) -> None:
        self.answer = answer
        self.port = port
        self.requests: list[bytes] = []
        self.hung_up = trio.Event()

    def url(self, host: str = "127.0.0.1", path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, stream: trio.abc.Stream) -> None:
        async with stream:
            request = b""
            while not _complete(request):
                try:
                    part = await stream.receive_some()
                except trio.BrokenResourceError:  # a client that does not like our certificate
                    return
                if not part:
                    return
                request += part
            self.requests.append(request)
            with contextlib.suppress(trio.BrokenResourceError):
                await self.answer(self, stream, request)
            self.hung_up.set()


def _complete(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    return bool(end) and len(body) >= int(length)


@contextlib.asynccontextmanager
async def serving(answer: Answer | bytes, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    async def fixed(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        assert isinstance(answer, bytes)
        await stream.send_all(answer)

    async with trio.open_nursery() as nursery:
        listeners: list[Any] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Server(fixed if isinstance(answer, bytes) else answer, listeners[0].socket.getsockname()[1])
        if tls is not None:
            listeners = [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Names:
    """A resolver: each name has a list of answers, one after the other; the last one stays."""

    def __init__(self, **answers: list[list[str]]) -> None:
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append(host)
        answers = self.answers[host]
        return answers.pop(0) if len(answers) > 1 else answers[0]
