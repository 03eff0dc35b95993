"""Schedules: jobs that are made by the clock. What may be asked about them, on both faces.

``ScheduleCalls`` is what is asked, as steps; ``Schedules`` and ``AsyncSchedules`` have it done and are the attribute
``schedules`` of the two clients. What was not answered is asked again where that is safe: not a ``run``, which would
make a second job, nor a ``delete``, nor a change of one version alone, which its own first try would have moved on.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import NoneType
from typing import Any, TypedDict, Unpack

import msgspec

from tickr.client import bodies
from tickr.client.calls import Calls, if_match
from tickr.client.paths import path
from tickr.client.records import Job, Schedule, TemplateOptions
from tickr.client.steps import JSON, AsyncRun, Request, Run, Steps

PAGE = 200
"""Schedules on a page; the server takes no more."""

Found = list[Schedule]


class Timing(TypedDict, total=False):
    """When a schedule is due and how it behaves; docs/schedules.md has the rules of each."""

    cron: str
    timezone: str
    every: float | timedelta
    start_at: datetime
    start: str
    end_at: datetime
    times: int
    missed: str
    overlap: str


class Wish(Timing, TemplateOptions, total=False):
    """All that may be said of a schedule beside its name and the type and payload of its jobs."""


class _Page(msgspec.Struct, frozen=True):
    items: list[Schedule]
    next_cursor: str | None


class ScheduleCalls:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def put(self, name: str, type: str, payload: Any, version: int | None, wish: Mapping[str, Any]) -> Steps[Schedule]:
        body = bodies.schedule({"type": type, "payload": payload, **wish}, frozenset(Timing.__annotations__))
        request = Request("PUT", path("schedules", name), body, headers={**JSON, **if_match(version)})
        return self._calls.asked(request, Schedule, repeatable=version is None)

    def get(self, name: str, ticks: int | None) -> Steps[Schedule]:
        query = {} if ticks is None else {"ticks": str(ticks)}
        return self._calls.asked(Request("GET", path("schedules", name), query=query), Schedule)

    def list(self) -> Steps[Found]:
        found: Found = []
        cursor: str | None = None
        while True:
            query = {"limit": str(PAGE)} | ({"cursor": cursor} if cursor else {})
            page = yield from self._calls.asked(Request("GET", "/schedules", query=query), _Page)
            found.extend(page.items)
            cursor = page.next_cursor
            if cursor is None:
                return found

    def change(self, name: str, action: str, version: int | None) -> Steps[Schedule]:
        request = Request("POST", path("schedules", name, action), headers=if_match(version))
        return self._calls.asked(request, Schedule, repeatable=version is None)

    def run(self, name: str) -> Steps[Job]:
        return self._calls.asked(Request("POST", path("schedules", name, "/run")), Job, repeatable=False)

    def delete(self, name: str, version: int | None) -> Steps[None]:
        request = Request("DELETE", path("schedules", name), headers=if_match(version))
        return self._calls.asked(request, NoneType, repeatable=False)


class Schedules:
    """``Client.schedules``. Every method raises ``ClientError``; ``version``: only if the schedule is at this one."""

    def __init__(self, run: Run, calls: Calls) -> None:
        self._run = run
        self._calls = ScheduleCalls(calls)

    def put(
        self, name: str, type: str, payload: Any = None, *, version: int | None = None, **wish: Unpack[Wish]
    ) -> Schedule:
        """Have a schedule be so: make it, or change what is different. It is the whole schedule that is put."""
        return self._run(self._calls.put(name, type, payload, version, wish))

    def get(self, name: str, *, ticks: int | None = None) -> Schedule:
        """Return the schedule with its next ticks, 10 or so many."""
        return self._run(self._calls.get(name, ticks))

    def list(self) -> Found:
        """Return all schedules, by name; their next ticks are left out."""
        return self._run(self._calls.list())

    def pause(self, name: str, *, version: int | None = None) -> Schedule:
        return self._run(self._calls.change(name, "/pause", version))

    def resume(self, name: str, *, version: int | None = None) -> Schedule:
        """Have it go on from now; what was missed meanwhile is not made up for."""
        return self._run(self._calls.change(name, "/resume", version))

    def run(self, name: str) -> Job:
        """Have a job of it be made now. Not repeated where a first try may have made one."""
        return self._run(self._calls.run(name))

    def delete(self, name: str, *, version: int | None = None) -> None:
        """Take it away; its jobs stay. Not repeated where a first try may have done it."""
        return self._run(self._calls.delete(name, version))


class AsyncSchedules:
    """``AsyncClient.schedules``; see ``Schedules``."""

    def __init__(self, run: AsyncRun, calls: Calls) -> None:
        self._run = run
        self._calls = ScheduleCalls(calls)

    async def put(
        self, name: str, type: str, payload: Any = None, *, version: int | None = None, **wish: Unpack[Wish]
    ) -> Schedule:
        """Have a schedule be so: make it, or change what is different. It is the whole schedule that is put."""
        return await self._run(self._calls.put(name, type, payload, version, wish))

    async def get(self, name: str, *, ticks: int | None = None) -> Schedule:
        """Return the schedule with its next ticks, 10 or so many."""
        return await self._run(self._calls.get(name, ticks))

    async def list(self) -> Found:
        """Return all schedules, by name; their next ticks are left out."""
        return await self._run(self._calls.list())

    async def pause(self, name: str, *, version: int | None = None) -> Schedule:
        return await self._run(self._calls.change(name, "/pause", version))

    async def resume(self, name: str, *, version: int | None = None) -> Schedule:
        """Have it go on from now; what was missed meanwhile is not made up for."""
        return await self._run(self._calls.change(name, "/resume", version))

    async def run(self, name: str) -> Job:
        """Have a job of it be made now. Not repeated where a first try may have made one."""
        return await self._run(self._calls.run(name))

    async def delete(self, name: str, *, version: int | None = None) -> None:
        """Take it away; its jobs stay. Not repeated where a first try may have done it."""
        return await self._run(self._calls.delete(name, version))
