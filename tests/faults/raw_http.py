"""Submissions byte by byte, and what came back for them; no library stands between a test and the wire. Pure."""

from __future__ import annotations

import re

GOOD = b'{"type":"a"}'
ALIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
BYE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Asks for the end of the connection, so that whoever reads it all has an end, too."""


def head(target: str, headers: bytes = b"", method: str = "POST") -> bytes:
    """Return the head of a request with JSON in its body, but for the blank line."""
    line = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return line.encode() + headers


def whole(body: bytes, target: str = "/jobs") -> bytes:
    return head(target, b"Content-Length: %d\r\n\r\n" % len(body)) + body


def chunked(body: bytes, target: str = "/jobs", size: int = 7) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return (
        head(target, b"Transfer-Encoding: chunked\r\n\r\n")
        + b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        + b"0\r\n\r\n"
    )


def statuses(answers: bytes) -> list[int]:
    """The statuses of all answers in what a connection sent; no answer here repeats what it was sent."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answers)]
