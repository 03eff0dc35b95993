"""The calls about schedules: put, list, look, delete, pause, resume, run now.

Changes go through the timetable and are answered only once they are durable; reads go straight to the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec
from quart import Response, request

from tickr import schedules
from tickr.api import incoming, schedule_document, schedule_request, wire
from tickr.api.context import Context
from tickr.api.jobs import PAGE_BYTES, UNKEPT, in_time
from tickr.api.problems import Fault, Problem
from tickr.api.schedule_document import schedule_document as document
from tickr.errors import ScheduleNotFound
from tickr.schedules import Schedule
from tickr.scopes import Scope

if TYPE_CHECKING:
    from tickr.api.app import Edge

PATH = "/schedules"
DEFAULT_LIMIT, MAX_LIMIT = 50, 200
"""Schedules on a page."""
DEFAULT_TICKS, MAX_TICKS = 10, 100
"""Next ticks that are shown of a schedule."""
NAME_RULE = "must be 1 to 64 letters, digits or _ . : -, beginning with a letter or digit"


def add_routes(app: Edge, context: Context) -> None:
    routes = _Schedules(context)
    one = f"{PATH}/<name>"
    app.add_call("GET", PATH, "schedules", routes.page, Scope.JOBS_READ)
    app.add_call("GET", one, "schedule", routes.show, Scope.JOBS_READ)
    app.add_call("PUT", one, "put_schedule", routes.put, Scope.QUEUES_ADMIN)
    app.add_call("DELETE", one, "delete_schedule", routes.delete, Scope.QUEUES_ADMIN)
    app.add_call("POST", f"{one}/pause", "pause_schedule", routes.pause, Scope.QUEUES_ADMIN)
    app.add_call("POST", f"{one}/resume", "resume_schedule", routes.resume, Scope.QUEUES_ADMIN)
    app.add_call("POST", f"{one}/run", "run_schedule", routes.run, Scope.QUEUES_ADMIN)


class _Schedules:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._timetable = context.timetable
        self._store = context.store

    async def put(self, name: str) -> Response:
        name = _checked(name)
        call = await incoming.call_of(request)
        if len(call.body) > schedule_request.MAX_BODY_BYTES:
            raise Problem(413, "body_too_large", f"A schedule may be {schedule_request.MAX_BODY_BYTES} bytes long.")
        wish = schedule_request.read(
            incoming.json_body(call), name, now=self._store.now_us(), defaults=self._context.defaults
        )
        wish = msgspec.structs.replace(wish, version=incoming.wished_version(request), only_new=_only_new())
        schedule, created = await in_time(self._timetable.put(wish))
        headers = {"location": f"{PATH}/{name}"} if created else {}
        return await self._answer(schedule, 201 if created else 200, headers)

    async def show(self, name: str) -> Response:
        incoming.known_query(request, ("ticks", "decrypt"))
        opened = incoming.wishes_decrypted(request)
        count = incoming.limit(request.args.getlist("ticks"), DEFAULT_TICKS, MAX_TICKS)
        if count is None:
            raise incoming.bad_query([Fault("/ticks", f"must be a whole number from 1 to {MAX_TICKS}, once")])
        schedule = await self._store.schedule(_checked(name))
        if schedule is None:
            raise ScheduleNotFound(name)
        if not opened:
            return await self._answer(schedule, ticks=count)
        return await self._answer(self._context.vault.open_schedule(schedule), headers=UNKEPT, ticks=count)

    async def page(self) -> Response:
        limit, cursor = incoming.page(request, DEFAULT_LIMIT, MAX_LIMIT, schedules.is_name)
        found = await self._store.schedules(limit + 1, cursor)
        shown = _fitting(found[:limit])
        after = shown[-1].name if len(shown) < len(found) else None
        live = await self._live(shown)
        return wire.json_response(
            wire.encode(schedule_document.Page([document(one, None, live) for one in shown], after))
        )

    async def delete(self, name: str) -> Response:
        name, version = await self._named(name)
        await in_time(self._timetable.delete(name, version=version))
        return wire.empty_response(204, {})

    async def pause(self, name: str) -> Response:
        name, version = await self._named(name)
        return await self._answer(await in_time(self._timetable.pause(name, version=version)))

    async def resume(self, name: str) -> Response:
        name, version = await self._named(name)
        return await self._answer(await in_time(self._timetable.resume(name, version=version)))

    async def run(self, name: str) -> Response:
        if "Idempotency-Key" in request.headers:
            raise Problem(400, "not_supported", "Idempotency-Key is not supported: each call makes a job.")
        name, _ = await self._named(name)
        job = await in_time(self._timetable.run(name))
        now = self._store.now_us()
        headers = {"location": f"/jobs/{job.id}", "etag": wire.etag(job, now)}
        return wire.json_response(wire.encode(wire.job_document(job, now)), 201, headers)

    async def _named(self, name: str) -> tuple[str, int | None]:
        """Return the name in the path, and the version that the schedule must be at."""
        incoming.known_query(request)
        name = _checked(name)
        await incoming.no_body(request)
        return name, incoming.wished_version(request)

    async def _answer(
        self,
        schedule: Schedule,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        ticks: int = DEFAULT_TICKS,
    ) -> Response:
        body = wire.encode(document(schedule, ticks, await self._live([schedule])))
        return wire.json_response(body, status, {"etag": schedule_document.etag(schedule), **(headers or {})})

    async def _live(self, shown: Iterable[Schedule]) -> frozenset[str]:
        """Return the marks of what live nodes declare, if one of those shown goes by a function."""
        if all(schedule.foreseen is None for schedule in shown):
            return frozenset()
        return frozenset(mark for node in await self._store.nodes() for mark in node.declared)


def _checked(name: str) -> str:
    """Return a schedule's name out of a path. Raises: Problem (400)."""
    if not schedules.is_name(name):
        raise Problem(400, "invalid_name", "This cannot be the name of a schedule.", faults=[Fault("/name", NAME_RULE)])
    return name


def _only_new() -> bool:
    """Whether the schedule must not be there yet. Raises: Problem (400): a tag, where only ``*`` makes sense."""
    wish = request.headers.get("If-None-Match")
    if wish is not None and wish.strip() != "*":
        raise Problem(400, "invalid_precondition", "If-None-Match takes * here: only if there is none yet.")
    return wish is not None


def _fitting(found: list[Schedule]) -> list[Schedule]:
    """Return the first of ``found``, at least one, that make a page of bearable size."""
    size = 0
    for count, schedule in enumerate(found):
        size += len(schedule.given)
        if size > PAGE_BYTES and count:
            return found[:count]
    return found
