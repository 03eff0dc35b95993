"""Queues: how they stand, their pauses, their order and their ends. What may be asked about them, on both faces.

``QueueCalls`` is what is asked, as steps; ``Queues`` and ``AsyncQueues`` have it done and are the attribute ``queues``
of the two clients. What was not answered is asked again, but for a pause with an end, which a second try would
lengthen, and a queue that is taken away, which it would not find.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from types import NoneType
from typing import Literal

import msgspec
import uuid_utils

from tickr.client import bodies
from tickr.client.calls import Calls
from tickr.client.operation_records import Operation
from tickr.client.paths import path
from tickr.client.records import Queue
from tickr.client.steps import JSON, AsyncRun, Request, Run, Steps

Length = float | timedelta | None
"""In seconds, if it is a number."""
Rate = tuple[int, float] | None
"""Starts, and the seconds in which there may be so many."""


Order = Literal["oldest", "newest"]
"""Which jobs of a queue start first."""

Found = list[Queue]


class _Page(msgspec.Struct, frozen=True):
    items: Found


class QueueCalls:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def list(self) -> Steps[Found]:
        page = yield from self._calls.asked(Request("GET", "/queues"), _Page)
        return page.items

    def get(self, name: str) -> Steps[Queue]:
        return self._calls.asked(Request("GET", path("queues", name)), Queue)

    def pause(self, name: str, length: Length, until: datetime | None) -> Steps[Queue]:
        length_s = length.total_seconds() if isinstance(length, timedelta) else length
        said = {"for": length_s, "until": until}
        body = msgspec.json.encode({word: value for word, value in said.items() if value is not None})
        request = Request("POST", path("queues", name, "/pause"), body, headers=JSON)
        return self._calls.asked(request, Queue, repeatable=length is None)

    def resume(self, name: str) -> Steps[Queue]:
        return self._calls.asked(Request("POST", path("queues", name, "/resume")), Queue)

    def limit(self, name: str, running: int | None, per_key: int | None, rate: Rate, shared: bool) -> Steps[Queue]:
        said = {
            "max_running": running,
            "max_running_per_key": per_key,
            "rate": rate and {"starts": rate[0], "period": rate[1]},
            "shared_keys": shared,
        }
        return self._calls.asked(Request("PUT", path("queues", name), bodies.encoded(said), headers=JSON), Queue)

    def order(self, name: str, order: Order) -> Steps[Queue]:
        return self._calls.asked(
            Request("PUT", path("queues", name, "/order"), bodies.encoded({"order": order}), headers=JSON), Queue
        )

    def empty(self, name: str, delete: bool, reason: str | None, rate: float | None) -> Steps[Operation]:
        said = {"delete": delete, "reason": reason, "rate": rate, "id": str(uuid_utils.uuid7())}
        body = bodies.encoded({word: value for word, value in said.items() if value is not None})
        return self._calls.asked(Request("POST", path("queues", name, "/empty"), body, headers=JSON), Operation)

    def delete(self, name: str) -> Steps[None]:
        return self._calls.asked(Request("DELETE", path("queues", name)), NoneType, repeatable=False)


class Queues:
    """``Client.queues``. Every method raises ``ClientError``."""

    def __init__(self, run: Run, calls: Calls) -> None:
        self._run = run
        self._calls = QueueCalls(calls)

    def list(self) -> Found:
        """Return all queues, by name."""
        return self._run(self._calls.list())

    def get(self, name: str) -> Queue:
        return self._run(self._calls.get(name))

    def pause(self, name: str, length: Length = None, *, until: datetime | None = None) -> Queue:
        """Start no more jobs of a queue on any node: for ``length``, ``until`` then, or until it is resumed."""
        return self._run(self._calls.pause(name, length, until))

    def resume(self, name: str) -> Queue:
        return self._run(self._calls.resume(name))

    def limit(
        self,
        name: str,
        *,
        max_running: int | None = None,
        max_running_per_key: int | None = None,
        rate: Rate = None,
        shared_keys: bool = False,
    ) -> Queue:
        """Limit a queue over all nodes; what is not named is no limit any more.

        Args:
          rate: so many starts in so many seconds. shared_keys: the limit by key counts over all queues that say so.
        """
        return self._run(self._calls.limit(name, max_running, max_running_per_key, rate, shared_keys))

    def order(self, name: str, order: Order) -> Queue:
        """Start the ``oldest`` or the ``newest`` due jobs of a queue first, among those of one priority."""
        return self._run(self._calls.order(name, order))

    def empty(
        self, name: str, *, delete: bool = False, reason: str | None = None, rate: float | None = None
    ) -> Operation:
        """Begin to cancel all that waits in a queue; ``delete``: and to delete it for good."""
        return self._run(self._calls.empty(name, delete, reason, rate))

    def delete(self, name: str) -> None:
        """Take a queue away in which nothing waits or runs. Not repeated where a first try may have done it."""
        return self._run(self._calls.delete(name))


class AsyncQueues:
    """``AsyncClient.queues``; see ``Queues``."""

    def __init__(self, run: AsyncRun, calls: Calls) -> None:
        self._run = run
        self._calls = QueueCalls(calls)

    async def list(self) -> Found:
        """Return all queues, by name."""
        return await self._run(self._calls.list())

    async def get(self, name: str) -> Queue:
        return await self._run(self._calls.get(name))

    async def pause(self, name: str, length: Length = None, *, until: datetime | None = None) -> Queue:
        """Start no more jobs of a queue on any node: for ``length``, ``until`` then, or until it is resumed."""
        return await self._run(self._calls.pause(name, length, until))

    async def resume(self, name: str) -> Queue:
        return await self._run(self._calls.resume(name))

    async def limit(
        self,
        name: str,
        *,
        max_running: int | None = None,
        max_running_per_key: int | None = None,
        rate: Rate = None,
        shared_keys: bool = False,
    ) -> Queue:
        """Limit a queue over all nodes; what is not named is no limit any more.

        Args:
          rate: so many starts in so many seconds. shared_keys: the limit by key counts over all queues that say so.
        """
        return await self._run(self._calls.limit(name, max_running, max_running_per_key, rate, shared_keys))

    async def order(self, name: str, order: Order) -> Queue:
        """Start the ``oldest`` or the ``newest`` due jobs of a queue first, among those of one priority."""
        return await self._run(self._calls.order(name, order))

    async def empty(
        self, name: str, *, delete: bool = False, reason: str | None = None, rate: float | None = None
    ) -> Operation:
        """Begin to cancel all that waits in a queue; ``delete``: and to delete it for good."""
        return await self._run(self._calls.empty(name, delete, reason, rate))

    async def delete(self, name: str) -> None:
        """Take a queue away in which nothing waits or runs. Not repeated where a first try may have done it."""
        return await self._run(self._calls.delete(name))
