"""The client's side of a websocket, without any I/O: bytes in, frames out. As little as load generators need.

Own code, so that a client can be as rude as it likes (half a frame, no closing), and so quick that it is never what a
benchmark measures. Strangers' clients are proven elsewhere.
"""

from __future__ import annotations

import base64
import os
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
NO_MASK = b"\0\0\0\0"  # must be there, need not hide anything


class Frame(NamedTuple):
    opcode: int
    payload: bytes

    @property
    def close_code(self) -> int:
        """The code of a CLOSE frame; 1005 when it brings none."""
        return int.from_bytes(self.payload[:2], "big") if len(self.payload) >= 2 else 1005


def upgrade(host: str, target: str) -> bytes:
    """Return the request that opens a websocket at ``target`` (path and query)."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {target} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def to_send(opcode: int, payload: bytes = b"", *, last: bool = True) -> bytes:
    """Return one frame of a client; ``last``: it ends its message."""
    first, length = (0x80 if last else 0) | opcode, len(payload)
    if length <= 125:
        return bytes((first, 0x80 | length)) + NO_MASK + payload
    if length <= 0xFFFF:
        return bytes((first, 0x80 | 126)) + length.to_bytes(2, "big") + NO_MASK + payload
    return bytes((first, 0x80 | 127)) + length.to_bytes(8, "big") + NO_MASK + payload


class FrameReader:
    """Cuts what a server sends into frames.

    Attributes:
      partial: bytes of a frame that has not come whole yet.
    """

    def __init__(self) -> None:
        self.partial = b""

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that are whole with ``data``."""
        data = self.partial + data if self.partial else data
        frames: list[Frame] = []
        at, end = 0, len(data)
        while end - at >= 2:
            first, length = data[at], data[at + 1]
            body = at + 2
            if length == 126:
                length, body = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif length == 127:
                length, body = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            # A header cut short ends behind `end` already, so whatever its length was read as does not count.
            if body + length > end or body > end:
                break
            if not first & 0x80:
                raise ValueError("a fragmented message, which the server never sends")
            frames.append(Frame(first & 0x0F, data[body : body + length]))
            at = body + length
        self.partial = data[at:]
        return frames
