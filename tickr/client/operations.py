"""Operations: retry or cancel all jobs that match. What may be asked about them, on both faces.

``OperationCalls`` is what is asked, as steps; ``Operations`` and ``AsyncOperations`` have it done and are the attribute
``operations`` of the two clients. Each operation is begun under an id that is made here, so that asking again is safe;
stopping and looking are so by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Unpack

import msgspec
import uuid_utils

from tickr.client import bodies
from tickr.client.calls import FIRST_LOOK_S, LOOK_S, Calls, in_words
from tickr.client.errors import NotEnded
from tickr.client.operation_records import Changes, Count, Filters, Operation, OperationRef
from tickr.client.paths import path
from tickr.client.records import JobRef, id_of
from tickr.client.steps import JSON, AsyncRun, Request, Run, Steps, pause

PAGE = 200
"""Operations on a page; the server takes no more."""

Found = list[Operation]
Action = Literal["retry", "cancel", "edit", "delete"]
Wish = dict[str, Any]


class Which(Filters, total=False):
    """Which jobs. ``ids``: of these alone."""

    ids: Iterable[JobRef]


class _Page(msgspec.Struct, frozen=True):
    items: list[Operation]
    next_cursor: str | None


class OperationCalls:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def look(self, action: Action, which: Which) -> Steps[Count]:
        body = bodies.encoded({"action": action, "filter": _filter(which), "dry_run": True})
        return self._calls.asked(Request("POST", "/operations", body, headers=JSON), Count)

    def begin(self, action: Action, which: Which, wish: Wish) -> Steps[Operation]:
        told = {name: value for name, value in wish.items() if value is not None}
        told |= {"action": action, "filter": _filter(which), "id": str(uuid_utils.uuid7())}
        return self._calls.asked(Request("POST", "/operations", bodies.encoded(told), headers=JSON), Operation)

    def get(self, operation: OperationRef) -> Steps[Operation]:
        return self._calls.asked(Request("GET", _path(operation)), Operation)

    def stop(self, operation: OperationRef) -> Steps[Operation]:
        return self._calls.asked(Request("DELETE", _path(operation)), Operation)

    def list(self, limit: int) -> Steps[Found]:
        found: Found = []
        cursor: str | None = ""
        while cursor is not None and len(found) < limit:
            query = {"limit": str(min(PAGE, limit - len(found)))} | ({"cursor": cursor} if cursor else {})
            page = yield from self._calls.asked(Request("GET", "/operations", query=query), _Page)
            found.extend(page.items)
            cursor = page.next_cursor
        return found

    def wait(self, operation: OperationRef, timeout_s: float | None) -> Steps[Operation]:
        over = math.inf if timeout_s is None else self._calls.now() + timeout_s
        look_s = FIRST_LOOK_S
        while True:
            seen = yield from self.get(operation)
            if seen.ended:
                return seen
            if (left_s := over - self._calls.now()) <= 0:
                raise NotEnded(seen)
            yield from pause(min(look_s, left_s))
            look_s = min(1.5 * look_s, LOOK_S)


def changing(everything: bool, changes: Changes | None, rate: float | None) -> Wish:
    return {"all": everything, "changes": None if changes is None else bodies.changes(changes), "rate": rate}


def cancelling(everything: bool, reason: str | None, rate: float | None) -> Wish:
    return {"all": everything, "reason": reason, "rate": rate}


def _filter(which: Which) -> dict[str, Any]:
    given: Mapping[str, Any] = which
    found = in_words({name: value for name, value in given.items() if name != "ids"})
    ids = which.get("ids")
    return found if ids is None else {**found, "ids": [id_of(job) for job in ids]}


def _path(operation: OperationRef) -> str:
    return path("operations", operation if isinstance(operation, str) else operation.id)


class Operations:
    """``Client.operations``. Every method raises ``ClientError``; docs/dead-letters.md explains what is done."""

    def __init__(self, run: Run, calls: Calls) -> None:
        self._run = run
        self._calls = OperationCalls(calls)

    def look(self, action: Action, **which: Unpack[Which]) -> Count:
        """Return how many jobs an operation would be about. Changes nothing."""
        return self._run(self._calls.look(action, which))

    def retry(
        self, *, all: bool = False, changes: Changes | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to start over all jobs that match, failed ones if no ``state`` is given.

        ``all``: has to be True where nothing is said of which. ``changes``: of each. ``rate``: so many a second.
        """
        return self._run(self._calls.begin("retry", which, changing(all, changes, rate)))

    def edit(
        self, *, changes: Changes, all: bool = False, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to change all jobs that match, those that wait if no ``state`` is given; otherwise like ``retry``."""
        return self._run(self._calls.begin("edit", which, changing(all, changes, rate)))

    def cancel(
        self, *, all: bool = False, reason: str | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to cancel all jobs that match and have not ended. The arguments are as in ``retry``."""
        return self._run(self._calls.begin("cancel", which, cancelling(all, reason, rate)))

    def delete(
        self, *, all: bool = False, reason: str | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to delete all jobs that match for good, those that have ended if no ``state`` is given.

        Those that wait, where ``state`` names them, are cancelled first, for ``reason``.
        """
        return self._run(self._calls.begin("delete", which, cancelling(all, reason, rate)))

    def get(self, operation: OperationRef) -> Operation:
        return self._run(self._calls.get(operation))

    def list(self, *, limit: int = 50) -> Found:
        """Return the newest operations, the newest first."""
        return self._run(self._calls.list(limit))

    def stop(self, operation: OperationRef) -> Operation:
        """Have it go no further. What it has done stays done."""
        return self._run(self._calls.stop(operation))

    def wait(self, operation: OperationRef, timeout_s: float | None = None) -> Operation:
        """Return the operation once it has ended. Raises: NotEnded after ``timeout_s`` seconds."""
        return self._run(self._calls.wait(operation, timeout_s))


class AsyncOperations:
    """``AsyncClient.operations``; see ``Operations``."""

    def __init__(self, run: AsyncRun, calls: Calls) -> None:
        self._run = run
        self._calls = OperationCalls(calls)

    async def look(self, action: Action, **which: Unpack[Which]) -> Count:
        """Return how many jobs an operation would be about. Changes nothing."""
        return await self._run(self._calls.look(action, which))

    async def retry(
        self, *, all: bool = False, changes: Changes | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to start over all jobs that match, failed ones if no ``state`` is given.

        ``all``: has to be True where nothing is said of which. ``changes``: of each. ``rate``: so many a second.
        """
        return await self._run(self._calls.begin("retry", which, changing(all, changes, rate)))

    async def edit(
        self, *, changes: Changes, all: bool = False, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to change all jobs that match, those that wait if no ``state`` is given; otherwise like ``retry``."""
        return await self._run(self._calls.begin("edit", which, changing(all, changes, rate)))

    async def cancel(
        self, *, all: bool = False, reason: str | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to cancel all jobs that match and have not ended. The arguments are as in ``retry``."""
        return await self._run(self._calls.begin("cancel", which, cancelling(all, reason, rate)))

    async def delete(
        self, *, all: bool = False, reason: str | None = None, rate: float | None = None, **which: Unpack[Which]
    ) -> Operation:
        """Begin to delete all jobs that match for good, those that have ended if no ``state`` is given.

        Those that wait, where ``state`` names them, are cancelled first, for ``reason``.
        """
        return await self._run(self._calls.begin("delete", which, cancelling(all, reason, rate)))

    async def get(self, operation: OperationRef) -> Operation:
        return await self._run(self._calls.get(operation))

    async def list(self, *, limit: int = 50) -> Found:
        """Return the newest operations, the newest first."""
        return await self._run(self._calls.list(limit))

    async def stop(self, operation: OperationRef) -> Operation:
        """Have it go no further. What it has done stays done."""
        return await self._run(self._calls.stop(operation))

    async def wait(self, operation: OperationRef, timeout_s: float | None = None) -> Operation:
        """Return the operation once it has ended. Raises: NotEnded after ``timeout_s`` seconds."""
        return await self._run(self._calls.wait(operation, timeout_s))
