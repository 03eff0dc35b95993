"""The calls about schedules, as the commands make them on a running Tickr."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import msgspec
from msgspec import Raw

from tickr.cli.remote import Remote
from tickr.cli.remote_records import Answer

PAGE = 200
"""Most schedules that the API puts on one page."""


class RemoteTemplate(msgspec.Struct, frozen=True):
    """The jobs of a schedule as the API shows them, as far as they are shown here."""

    type: str
    queue: str = "default"
    payload: Raw = Raw(b"{}")


class RemoteSkipped(msgspec.Struct, frozen=True):
    missed: int = 0
    overlap: int = 0


class RemoteSchedule(msgspec.Struct, frozen=True):
    """A schedule as the API shows it; fields that a newer server adds are left aside."""

    name: str
    job: RemoteTemplate
    missed: str
    overlap: str
    paused: bool
    version: int
    created_at: str
    updated_at: str
    cron: str | None = None
    timezone: str | None = None
    every: float | None = None
    function: str | None = None
    start_at: str | None = None
    start: str | None = None
    end_at: str | None = None
    times: int | None = None
    next_at: str | None = None
    next: list[str] = []
    last_tick: str | None = None
    ended: str | None = None
    fault: str | None = None
    last_job: str | None = None
    fired: int = 0
    declared: bool = False
    skipped: RemoteSkipped = RemoteSkipped()


class ScheduleAnswer(msgspec.Struct, frozen=True):
    """A schedule and the bytes it came as."""

    schedule: RemoteSchedule
    raw: bytes


class _Page(msgspec.Struct, frozen=True):
    items: list[Raw]
    next_cursor: str | None = None


class RemoteSchedules:
    """The schedules of ``remote``. Every method raises ``Exit`` when the answer is no, or none comes."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def put(self, name: str, body: bytes) -> ScheduleAnswer:
        """Have the schedule be as ``body`` describes it. Safe to repeat."""
        return self._one("PUT", _path(name), body)

    def get(self, name: str, ticks: int) -> ScheduleAnswer:
        return self._one("GET", f"{_path(name)}?ticks={ticks}")

    def all(self) -> Iterator[ScheduleAnswer]:
        """Yield all schedules by name, page by page."""
        page, cursor = self.page(None)
        yield from page
        while cursor is not None:
            page, cursor = self.page(cursor)
            yield from page

    def page(self, cursor: str | None, *, limit: int = PAGE) -> tuple[list[ScheduleAnswer], str | None]:
        """Return the schedules from ``cursor`` on (None: the first), ``limit`` at most, and the next page's cursor."""
        after = f"&cursor={quote(cursor)}" if cursor else ""
        page, _ = self._remote.asked("GET", f"/schedules?limit={limit}{after}", _Page)
        found = [ScheduleAnswer(self._remote.read(raw, RemoteSchedule), bytes(raw)) for raw in page.items]
        return found, page.next_cursor

    def pause(self, name: str) -> ScheduleAnswer:
        return self._one("POST", _path(name, "/pause"))

    def resume(self, name: str) -> ScheduleAnswer:
        return self._one("POST", _path(name, "/resume"))

    def run(self, name: str) -> Answer:
        """Have a job of it be made at once. Done again, there are two."""
        return self._remote.job_made("POST", _path(name, "/run"))

    def delete(self, name: str) -> None:
        self._remote.done("DELETE", _path(name))

    def _one(self, method: str, path: str, body: bytes | None = None) -> ScheduleAnswer:
        return ScheduleAnswer(*self._remote.asked(method, path, RemoteSchedule, body=body))


def _path(name: str, action: str = "") -> str:
    return f"/schedules/{quote(name, safe='')}{action}"
