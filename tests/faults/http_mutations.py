"""Requests that were good once: valid bytes of every call, and ways to spoil them.

Comes in: a ``random.Random``. Goes out: bytes, and the pieces in which they are sent. The same seed gives the same
requests. Pure.
"""

from __future__ import annotations

import random
from collections.abc import Callable

JOB = b'{"type":"a","payload":{"n":[1,2.5,null,"\\u00fc"]},"delay":60,"labels":{"x":"y"}}'
OLD = b'{"jobtype":"a","payload":{"to":"x"},"delay":5}'
ID = b"0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
JSON = b"Content-Type: application/json\r\n"


def _get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n" % (target, headers)


def _post(target: bytes, body: bytes, headers: bytes = b"") -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\n%s%s" % (target, JSON, headers)
    return b"%sContent-Length: %d\r\n\r\n%s" % (head, len(body), body)


def _chunked(target: bytes, body: bytes) -> bytes:
    head = b"POST %s HTTP/1.1\r\nHost: localhost\r\n%sTransfer-Encoding: chunked\r\n\r\n" % (target, JSON)
    half = len(body) // 2
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:half], body[half:], b""))


VALID = [
    _post(b"/jobs", JOB),
    _post(b"/jobs", JOB, b'Authorization: Bearer t\r\nAccept: */*\r\nOrigin: http://localhost\r\nIf-Match: "v1"\r\n'),
    _post(b"/jobs", JOB, b"Expect: 100-continue\r\n"),
    _post(b"/api/v2/jobs", OLD),
    _chunked(b"/jobs", JOB),
    _chunked(b"/api/v2/jobs", OLD),
    _post(b"/jobs/%s/cancel" % ID, b"{}", b'If-Match: "v3"\r\n'),
    _chunked(b"/jobs/%s/retry" % ID, b"{}"),
    _get(b"/jobs?state=failed&type=a&queue=default&limit=20"),
    _get(b"/jobs/%s" % ID, b'If-None-Match: "v1"\r\nCookie: a=b\r\n'),
    _get(b"/jobs/%s/attempts" % ID),
    _get(b"/events?after=earliest&job=%s&event=created" % ID),
    _get(b"/events", b"Accept: text/event-stream\r\nLast-Event-ID: h.1\r\n"),
    _get(
        b"/events?after=earliest",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ),
    _get(b"/queues"),
    _get(b"/api/v2/health"),
    _get(b"/readyz?verbose", b"Connection: keep-alive\r\n"),
    b"OPTIONS /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"HEAD /jobs HTTP/1.0\r\n\r\n",
]

TOKENS = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b",", b";", b"%00", b"%2f", b"%ff", b"..", b"//", b"?", b"#"),
    *(b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc2\x85", "\u2028".encode(), b"{", b"}", b"[" * 70, b'"', b"\\"),
    *(b"\\ud800", b"\\u0000", b"NaN", b"1e999", b"9" * 400, b"-1", b"0x10", b"+5", b"18446744073709551616", b"1_0"),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n"),
    *(b"Transfer-Encoding: identity\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b" folded\r\n"),
    *(b"Content-Type: a/b; charset*=x''%ff\r\n", b"Content-Type: ;;=;\r\n", b"Content-Encoding: gzip\r\n", b"X: a\r\n"),
    *(b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"Range: bytes=0-\r\n", b"Accept: ;q=x,,/\r\n", b"Cookie: ;;=\r\n"),
    *(b'If-Match: "v99999999999999999999"\r\n', b"Authorization: Bearer \xff\r\n", b"Sec-Fetch-Site: \xe9\r\n"),
    *(b"HTTP/1.1", b"HTTP/9.9", b"POST ", b"GET ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"0\r\n\r\n", b"ffffffff\r\n"),
]

Spoil = Callable[[bytes, random.Random], bytes]


def _flip(request: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(request))
    return request[:at] + bytes([chance.randrange(256)]) + request[at + 1 :]


def _cut_out(request: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(request))
    return request[:start] + request[start + chance.randrange(1, 30) :]


def _insert(request: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(request) + 1)
    return request[:at] + chance.choice(TOKENS) + request[at:]


def _insert_line(request: bytes, chance: random.Random) -> bytes:
    lines = request.split(b"\r\n")
    lines.insert(chance.randrange(1, 4), chance.choice(TOKENS).rstrip(b"\r\n"))
    return b"\r\n".join(lines)


def _repeat(request: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(request))
    end = start + chance.randrange(1, 40)
    return request[:end] + request[start:end] * chance.choice([1, 2, 1000]) + request[end:]


def _swap_lines(request: bytes, chance: random.Random) -> bytes:
    lines = request.split(b"\r\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _change_number(request: bytes, chance: random.Random) -> bytes:
    digits = [at for at, byte in enumerate(request) if chr(byte).isdigit()]
    if not digits:
        return request
    at = chance.choice(digits)
    return request[:at] + chance.choice([b"0", b"9", b"99", b"-1", b"", b"a", b"1" * 25]) + request[at + 1 :]


def _splice(request: bytes, chance: random.Random) -> bytes:
    other = chance.choice(VALID)
    return request[: chance.randrange(len(request))] + other[chance.randrange(len(other)) :]


def _pipeline(request: bytes, chance: random.Random) -> bytes:
    return request + chance.choice(VALID)


def _cut_off(request: bytes, chance: random.Random) -> bytes:
    return request[: chance.randrange(len(request)) + 1]


SPOILS: list[Spoil] = [
    *(_flip, _cut_out, _insert, _insert, _insert_line, _insert_line, _repeat, _swap_lines),
    *(_change_number, _splice, _pipeline, _cut_off),
]


def spoiled(chance: random.Random) -> bytes:
    """Return a valid request that was spoiled once to three times, at least a byte of it."""
    request = chance.choice(VALID)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        request = chance.choice(SPOILS)(request, chance) or request
    return request


def pieces(request: bytes, chance: random.Random) -> list[bytes]:
    """Return ``request`` in one to three pieces."""
    cuts = sorted(chance.randrange(len(request) + 1) for _ in range(chance.choice([0, 0, 1, 2])))
    return [request[start:end] for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True)]
