"""The calls about many jobs at once, as the commands make them on a running Tickr."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Raw

from tickr.cli import submission
from tickr.cli.remote import Remote

PAGE = 200
"""Most operations that the API puts on one page."""


class RemoteGroup(msgspec.Struct, frozen=True):
    """Jobs that are alike."""

    state: str
    type: str
    count: int
    example: str
    error: str | None = None
    newest_at: str | None = None


class RemoteCount(msgspec.Struct, frozen=True):
    """How many jobs there are; not ``exact``: so many or more."""

    total: int
    exact: bool
    groups: list[RemoteGroup]


class RemoteOperation(msgspec.Struct, frozen=True):
    """An operation as the API shows it; fields that a newer server adds are left aside."""

    id: str
    action: str
    state: str
    rate: float
    total: int
    exact: bool
    done: int
    skipped: int
    created_at: str
    filter: Raw = Raw(b"{}")
    changes: Raw = Raw(b"{}")
    reason: str | None = None
    finished_at: str | None = None


class OperationAnswer(msgspec.Struct, frozen=True):
    """An operation and the bytes it came as."""

    operation: RemoteOperation
    raw: bytes


class _Page(msgspec.Struct, frozen=True):
    items: list[Raw]
    next_cursor: str | None = None


class RemoteOperations:
    """The operations of ``remote``. Every method raises ``Exit`` when the answer is no, or none comes."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def look(self, wish: Mapping[str, Any]) -> tuple[RemoteCount, bytes]:
        """Return how many jobs ``wish`` would be about, and the bytes that said so. Changes nothing."""
        return self.remote.asked("POST", "/operations", RemoteCount, body=submission.body({**wish, "dry_run": True}))

    def begin(self, wish: Mapping[str, Any]) -> OperationAnswer:
        """Begin the operation; its ``id`` makes that safe to repeat."""
        return self._one("POST", "/operations", submission.body(wish))

    def empty(self, queue: str, body: bytes) -> OperationAnswer:
        """Begin to empty a queue. Done again, there is another operation, which finds nothing left to do."""
        return self._one("POST", f"/queues/{quote(queue, safe='')}/empty", body)

    def get(self, operation_id: str) -> OperationAnswer:
        return self._one("GET", _path(operation_id))

    def stop(self, operation_id: str) -> OperationAnswer:
        return self._one("DELETE", _path(operation_id))

    def newest(self, limit: int) -> Iterator[OperationAnswer]:
        """Yield up to ``limit`` operations, the newest first."""
        cursor: str | None = ""
        while limit > 0 and cursor is not None:
            query = urlencode({"limit": min(limit, PAGE)} | ({"cursor": cursor} if cursor else {}))
            page, _ = self.remote.asked("GET", f"/operations?{query}", _Page)
            for raw in page.items:
                yield OperationAnswer(self.remote.read(raw, RemoteOperation), bytes(raw))
            cursor, limit = page.next_cursor, limit - len(page.items)

    def dead_letters(self, filters: Mapping[str, Any]) -> tuple[RemoteCount, bytes]:
        query = urlencode(filters, doseq=True)
        return self.remote.asked("GET", f"/dead-letters{f'?{query}' if query else ''}", RemoteCount)

    def _one(self, method: str, path: str, body: bytes | None = None) -> OperationAnswer:
        return OperationAnswer(*self.remote.asked(method, path, RemoteOperation, body=body))


def _path(operation_id: str) -> str:
    return f"/operations/{quote(operation_id, safe='')}"
