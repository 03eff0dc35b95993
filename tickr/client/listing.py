"""A list of jobs that is read page by page, as it is iterated; nothing is held on the server meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from tickr.client.calls import Calls
from tickr.client.records import Job
from tickr.client.steps import Steps


class Pages:
    """Attributes:
    ready: jobs that were read and not handed out; taken by the face.
    over: no page is left to be read.
    feed_cursor: a place in the feed from before the first page was read; None as long as it was not.
    """

    def __init__(self, calls: Calls, filters: Mapping[str, Any], limit: int | None) -> None:
        self._calls = calls
        self._filters = filters
        self._left = limit
        self._cursor: str | None = None
        self.ready: deque[Job] = deque()
        self.over = limit is not None and limit <= 0
        self.feed_cursor: str | None = None

    def turn(self) -> Steps[None]:
        """Read the next page. Cancellation: it was not read."""
        page = yield from self._calls.page(self._filters, self._left, self._cursor)
        self.ready.extend(page.items)
        self.feed_cursor = self.feed_cursor or page.feed_cursor
        self._cursor = page.next_cursor
        if self._left is not None:
            self._left -= len(page.items)
        self.over = page.next_cursor is None or (self._left is not None and self._left <= 0)
