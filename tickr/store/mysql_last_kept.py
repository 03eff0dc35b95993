"""Which of the jobs that have ended are the last so many, in MySQL.

The index ``jobs_order`` has them by when their last attempt was due, but for each queue and priority apart. So each of
these ranges is read from its end, a page at a time, and always the one that is at the newest job: ``count`` entries are
read, and what is left over of a page of each range, however many jobs there are.
"""

from __future__ import annotations

import heapq

from tickr.jobs import State
from tickr.store import rows
from tickr.store.contract import STATE_CODES, Edge
from tickr.store.mysql_transactions import Transaction
from tickr.store.mysql_values import number, raw, text
from tickr.store.mysql_waiting import LAST, NEXT_RANGE
from tickr.store.retention_answers import MAX_RANGES_COUNTED

PAGE = 2_000
"""So many entries of a range are read at once, at most."""

_BACKWARDS = (
    "(SELECT run_at, id FROM jobs FORCE INDEX (jobs_order) WHERE state = %s AND queue = %s AND priority = %s AND "
)
_FROM_THE_END = "ORDER BY run_at DESC, id DESC LIMIT %s"
END_OF_RANGE = (
    f"{_BACKWARDS}run_at = %s AND id < %s {_FROM_THE_END}) UNION ALL "
    f"{_BACKWARDS}run_at < %s {_FROM_THE_END}) {_FROM_THE_END}"
)
"""From a place in one range towards its front, however many jobs share the instant of the place."""


class _Range:
    """One range, read from its end: ``page`` is what has been read and not been taken, the newest last."""

    def __init__(self, code: int, queue: str, priority: int) -> None:
        self.of = code, queue, priority
        self.page: list[tuple[int, bytes]] = []
        self._at, self._key = LAST, b""

    async def read(self, tx: Transaction, limit: int) -> bool:
        """Read another page. Returns whether there is any."""
        values = (*self.of, self._at, self._key, limit, *self.of, self._at, limit, limit)
        found = [(number(at), raw(key)) for at, key in (await tx.run(END_OF_RANGE, *values)).rows]
        if found:
            self._at, self._key = found[-1]
        self.page = found[::-1]
        return bool(found)

    def place(self, n: int) -> tuple[tuple[int, int], int]:
        """Return what the newest of those not taken is ordered by, the newest first, and ``n``."""
        at, key = self.page[-1]
        return (-at, -int.from_bytes(key)), n


async def last_beyond(tx: Transaction, state: State, count: int) -> Edge | None:
    """See ``Store.last_beyond``."""
    ranges = await _ranges(tx, STATE_CODES[state])
    page = min(PAGE, count + 1, 1 + 2 * count // max(1, len(ranges)))
    heads = [one.place(n) for n, one in enumerate(ranges) if await one.read(tx, page)]
    heapq.heapify(heads)
    while heads:
        _, n = heads[0]
        at, key = ranges[n].page.pop()
        if not count:
            return Edge(at, rows.id_text(key))
        count -= 1
        if ranges[n].page or await ranges[n].read(tx, page):
            heapq.heapreplace(heads, ranges[n].place(n))
        else:
            heapq.heappop(heads)
    return None


async def _ranges(tx: Transaction, code: int) -> list[_Range]:
    ranges, queue, priority = list[_Range](), "", -1
    while len(ranges) < MAX_RANGES_COUNTED:
        following = (await tx.run(NEXT_RANGE, code, queue, priority, code, queue)).rows
        if not following:
            break
        queue, priority = text(following[0][0]), number(following[0][1])
        ranges.append(_Range(code, queue, priority))
    return ranges
