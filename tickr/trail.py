"""The trail: who changed what, as it is kept for those who ask later. Pure.

A change is written down before it is made, and how it ended afterwards. So there is no change without its entry; one
without a status was cut short, and may have been made or not.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple
from uuid import UUID

MAX_WORDS = 300
"""Characters of each word of an entry that may be long; the rest is cut off."""


class Entry(NamedTuple):
    """One change.

    Attributes:
      id: from ``new_id``; entries are in the order of these.
      at: when it was asked for, in microseconds UTC by the store's clock.
      who: name of the token; or ``TICKR_TOKEN``, or ``anybody`` where nobody is asked for one.
      token: id of the token, if it is kept in the store.
      address: of who asked, as the connection has it.
      action: name of the route. method, path: of the request, without its query.
      subject: id or name of what was changed, "" where there is none.
      status: HTTP status of the answer; None before there is one.
    """

    id: str
    at: int
    who: str
    token: str | None
    address: str
    action: str
    method: str
    path: str
    subject: str
    status: int | None = None


class Ended(NamedTuple):
    """How the change of an entry ended. ``subject``: of what it made, say."""

    id: str
    status: int
    subject: str


def new_id(at: int) -> str:
    """Return an id for an entry of ``at`` (microseconds UTC): a UUID of version 7 to a quarter of a microsecond.

    By the store's clock and not by the node's, which may be another (RFC 9562, 6.2, method 3).
    """
    ms, us = divmod(at, 1000)
    return str(UUID(int=ms << 80 | 7 << 76 | us * 4096 // 1000 << 64 | 2 << 62 | secrets.randbits(62)))
