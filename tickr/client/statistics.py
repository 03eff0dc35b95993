"""How much was done and how long it took, and marks in the charts. What may be asked about them, on both faces.

``StatisticsCalls`` is what is asked, as steps; ``Marks`` and ``AsyncMarks`` have it done, and are the attribute
``marks`` of the two clients.
"""

from __future__ import annotations

from datetime import datetime
from types import NoneType
from typing import Any, Literal, TypedDict

import msgspec
import uuid_utils

from tickr.client import bodies
from tickr.client.calls import Calls, searched
from tickr.client.operation_records import Names
from tickr.client.paths import path
from tickr.client.steps import JSON, AsyncRun, Request, Run, Steps


class Which(TypedDict, total=False):
    """Which statistics; docs/statistics.md has the rules of each."""

    step: Literal["minute", "hour", "day"]
    since: datetime | None
    until: datetime | None
    queue: Names
    type: Names
    by: Literal["queue", "type"] | None
    points: bool


class Times(msgspec.Struct, frozen=True):
    """How long something took, in seconds: the mean is exact, the others are good to within a quarter."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float


class Amounts(msgspec.Struct, frozen=True, kw_only=True):
    """How often each event happened; how long jobs waited for their starts, and how long their attempts ran."""

    created: int
    started: int
    succeeded: int
    retrying: int
    failed: int
    cancelled: int
    released: int
    redriven: int
    wait: Times | None = None
    run: Times | None = None


class Point(Amounts, frozen=True, kw_only=True):
    """What was done in the step that began ``at``."""

    at: datetime


class BacklogAge(msgspec.Struct, frozen=True):
    """For how many seconds at most the oldest due job was seen to have waited, in the step that began ``at``."""

    at: datetime
    age: float


class Backlog(msgspec.Struct, frozen=True):
    """The age of the backlog: at most, in all; and by step, but for those of which it is not known."""

    age: float | None
    points: list[BacklogAge]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to jobs of one queue or type, of all the ``other`` ones, or of all.

    ``points``: those of steps in which nothing was done are left out; with ``points=False``, all of them.
    ``backlog``: None where types are told apart or asked for.
    """

    queue: str | None
    type: str | None
    other: bool
    points: list[Point]
    total: Amounts
    backlog: Backlog | None = None


class Mark(msgspec.Struct, frozen=True):
    id: str
    at: datetime
    text: str


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """What was done ``since`` and ``until``, whole steps; what was committed before ``as_of`` is in it."""

    step: str
    since: datetime
    until: datetime
    as_of: datetime
    series: list[Series]
    marks: list[Mark]


Found = list[Mark]


class _Page(msgspec.Struct, frozen=True):
    items: Found


class StatisticsCalls:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def statistics(self, which: Which) -> Steps[Statistics]:
        return self._calls.asked(Request("GET", "/statistics", query=searched(which)), Statistics)

    def add(self, text: str, at: datetime | None, id: str | None) -> Steps[Mark]:
        # Under an id that is made here, so that asking again is safe.
        said: dict[str, Any] = {"text": text, "at": at, "id": id or str(uuid_utils.uuid7())}
        body = bodies.encoded({name: value for name, value in said.items() if value is not None})
        return self._calls.asked(Request("POST", "/marks", body, headers=JSON), Mark)

    def list(self, since: datetime | None, until: datetime | None) -> Steps[Found]:
        query = searched({"since": since, "until": until})
        page = yield from self._calls.asked(Request("GET", "/marks", query=query), _Page)
        return page.items

    def delete(self, mark: Mark | str) -> Steps[None]:
        named = mark if isinstance(mark, str) else mark.id
        return self._calls.asked(Request("DELETE", path("marks", named)), NoneType, repeatable=False)


class Marks:
    """``Client.marks``. Every method raises ``ClientError``."""

    def __init__(self, run: Run, calls: Calls) -> None:
        self._run = run
        self._calls = StatisticsCalls(calls)

    def add(self, text: str, *, at: datetime | None = None, id: str | None = None) -> Mark:
        """Make a mark in the charts, at this moment unless ``at`` is given; under the same ``id`` there is one."""
        return self._run(self._calls.add(text, at, id))

    def list(self, *, since: datetime | None = None, until: datetime | None = None) -> Found:
        """Return the marks from ``since`` on and before ``until``, in order."""
        return self._run(self._calls.list(since, until))

    def delete(self, mark: Mark | str) -> None:
        """Delete a mark. Not repeated where a first try may have done it."""
        return self._run(self._calls.delete(mark))


class AsyncMarks:
    """``AsyncClient.marks``; see ``Marks``."""

    def __init__(self, run: AsyncRun, calls: Calls) -> None:
        self._run = run
        self._calls = StatisticsCalls(calls)

    async def add(self, text: str, *, at: datetime | None = None, id: str | None = None) -> Mark:
        """Make a mark in the charts, at this moment unless ``at`` is given; under the same ``id`` there is one."""
        return await self._run(self._calls.add(text, at, id))

    async def list(self, *, since: datetime | None = None, until: datetime | None = None) -> Found:
        """Return the marks from ``since`` on and before ``until``, in order."""
        return await self._run(self._calls.list(since, until))

    async def delete(self, mark: Mark | str) -> None:
        """Delete a mark. Not repeated where a first try may have done it."""
        return await self._run(self._calls.delete(mark))
