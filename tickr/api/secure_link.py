"""One encrypted connection: ``protocol.py``'s, with other ways in and out.

A handshake is a wait for a request like any other: it has its deadline, and its connection counts as one that idles, so
that those which never finish it keep nobody out. Whoever speaks HTTP without TLS is told so in the clear, and let go.
"""

from __future__ import annotations

import socket
from typing import Any

import structlog
import trio

from tickr.api.certificate import Certificate
from tickr.api.problems import Problem
from tickr.api.protocol import MAX_READ, Link

HANDSHAKE_S = 10.0
"""How long a client may take for its handshake, in seconds."""
GOODBYE_S = 1.0
"""How long the last word of a connection may take, in seconds."""

_HANDSHAKE = b"\x16"
"""What every TLS connection begins with, and no HTTP request."""
NO_TLS = Problem(400, "https_required", "This port speaks HTTPS: ask again with https:// in the URL.")

log = structlog.get_logger("tickr.http")


class SecureLink(Link):
    secure = True

    def __init__(self, certificate: Certificate, *args: Any) -> None:
        super().__init__(*args)
        self.stream = trio.SSLStream(self._raw, certificate.context, server_side=True, https_compatible=True)
        self._came = b""

    async def _open(self) -> bool:
        until = min(self._idle_until, trio.current_time() + HANDSHAKE_S)
        with trio.CancelScope(deadline=until) as self._receiving:
            try:
                await trio.lowlevel.wait_readable(self._raw.socket)
                if await self._raw.socket.recv(1, socket.MSG_PEEK) not in (_HANDSHAKE, b""):
                    await self._refuse()
                    return False
                await self.stream.do_handshake()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                log.debug("tls.no_handshake", reason=str(error.__cause__ or error))
                return False
            return True
        return False

    async def _refuse(self) -> None:
        """Say in the clear what is wrong; then read on for a moment, or the kernel would take the answer back."""
        body = NO_TLS.body()
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\ncontent-length: {len(body)}"
        with trio.move_on_after(GOODBYE_S):
            await self._raw.send_all(f"{head}\r\nconnection: close\r\n\r\n".encode() + body)
            await self._raw.send_eof()
            while await self._raw.receive_some(MAX_READ):
                pass

    async def _wait_for_data(self) -> None:
        self._came = bytes(await self.stream.receive_some(MAX_READ))

    def _read_now(self) -> bytes | None:
        return self._came

    def write_now(self, data: bytes) -> int:
        return 0  # what is written has to be encrypted, and a session key may be due to change

    async def _close(self) -> None:
        with trio.move_on_after(GOODBYE_S):  # after that the connection is closed without
            await self.stream.aclose()
