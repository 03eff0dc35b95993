"""A call that is one body and one answer, no larger than it must be: ``Call`` comes in, ``Answer`` goes out.

``direct.py`` makes the one from the wire and writes the other; ``Edge.add_direct_call`` does the same through Quart for
what comes in an unusual way. A call never has a query. Pure.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, overload


class Head:
    """The headers of a request, read by name in any case. Of a name that is given twice, the first counts.

    Args:
      pairs: names in lower case, and values, as bytes.
    """

    __slots__ = ("_given", "_pairs")

    def __init__(self, pairs: Sequence[tuple[bytes, bytes]]) -> None:
        self._pairs = pairs
        self._given = dict(reversed(pairs))

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        value = self._given.get(name.lower().encode())
        return default if value is None else value.decode("latin-1")

    def every(self, name: str) -> list[str]:
        """Return the values of a name that may be given several times, in their order."""
        wanted = name.lower().encode()
        return [value.decode("latin-1") for name, value in self._pairs if name == wanted]

    def count(self, name: str) -> int:
        """Return how often a name is given."""
        wanted = name.lower().encode()
        return sum(one == wanted for one, _ in self._pairs)

    def __contains__(self, name: str) -> bool:
        return name.lower().encode() in self._given


class Call:
    """One POST. ``body`` is whole once the call is carried out, and empty before."""

    __slots__ = ("body", "headers", "path")
    method = "POST"

    def __init__(self, path: str, headers: Head, body: bytes = b"") -> None:
        self.path = path
        self.headers = headers
        self.body = body


class Answer(NamedTuple):
    """One answer. ``headers`` have names in lower case; the length of the body is added where it is written."""

    status: int
    body: bytes
    headers: Mapping[str, str]


Direct = Callable[[Call], Awaitable[Answer]]
"""Carries out a call. What it raises becomes a problem."""


class Rule(NamedTuple):
    """What is done at a path. ``most_bytes``: how large a body may be there."""

    path: str
    carry_out: Direct
    most_bytes: int
