"""What became of jobs, as a client sees it: their documents by ``GET /jobs``, once all of them have succeeded."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import closing
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bench.load.address import Address

PAGE = 200
LOOK_S = 0.3
WITHIN_S = 60.0


def succeeded(address: Address, type_: str, since_us: int, expected: int) -> list[dict[str, Any]]:
    """Return the documents of the ``expected`` jobs of a type created since then. Blocks until all have succeeded.

    Raises: SystemExit: that did not come about within ``WITHIN_S``.
    """
    deadline = time.monotonic() + WITHIN_S
    while True:
        time.sleep(LOOK_S)
        found = [one for one in _newest(address, type_, expected) if instant_us(one["created_at"]) >= since_us]
        done = [one for one in found if one["state"] == "succeeded"]
        if len(done) == expected:
            return done
        if time.monotonic() > deadline:
            raise SystemExit(f"{len(done):,} of {expected:,} jobs of the type {type_} succeeded within {WITHIN_S:g} s")


def _newest(address: Address, type_: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
    cursor: str | None = ""
    with closing(http.client.HTTPConnection(address.host, address.port, timeout=30)) as line:
        while cursor is not None and len(found) < count:
            more = f"&cursor={quote(cursor)}" if cursor else ""
            line.request("GET", f"/jobs?type={quote(type_)}&limit={min(PAGE, count)}{more}", headers=headers)
            answer = line.getresponse()
            page = json.load(answer)
            if answer.status != 200:
                raise SystemExit(f"GET /jobs was answered {answer.status}: {page}")
            found += page["items"]
            cursor = page["next_cursor"]
    return found[:count]


def instant_us(text: str) -> int:
    """Return an instant of a document in microseconds since 1970."""
    moment = datetime.fromisoformat(text)
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
