"""Lists and counts of jobs by what is in their payloads, the same for every store.

The jobs that pass the rest of the filter are read page by page, newest first, and looked into here (see
``payload_search.py``): at most so many jobs, and so many bytes, for one answer, however many are stored.
"""

from __future__ import annotations

from tickr.filters import Filter
from tickr.jobs import Job
from tickr.packing import full_size
from tickr.payload_search import searcher
from tickr.store.answers import LOOK_AT, Page, Place, Tally, groups_of, place_of

LOOK_INTO, LOOK_INTO_BYTES = 500, 4 * 1024 * 1024
"""So many payloads, and about so many bytes of them, are looked into for one page."""
TALLY_INTO, TALLY_INTO_BYTES = 5_000, 32 * 1024 * 1024
"""And for one count."""
FIRST_READ, LARGEST_READ = 50, 200
"""How many jobs are read at once: first, and at most, if their payloads are small."""


class Searched:
    """``list_jobs`` and ``tally`` of the contract, over those of an adapter, which know nothing of payloads."""

    async def list_jobs(
        self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = LOOK_AT
    ) -> Page:
        if which.searches:
            return await _search(self, which, limit, before, look_at)
        return await self._list_jobs(which, limit, before, look_at)

    async def tally(self, which: Filter, *, most: int | None = None) -> Tally:
        return await (_count(self, which, most or TALLY_INTO) if which.searches else self._tally(which, most))

    def now_us(self) -> int:
        raise NotImplementedError

    async def _list_jobs(self, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
        raise NotImplementedError

    async def _tally(self, which: Filter, most: int | None) -> Tally:
        raise NotImplementedError


class _Walk:
    """Through the jobs that pass all but what is asked of payloads.

    Attributes:
      place: where to go on; None once ``over`` because there are no more.
      over: enough has been looked at.
    """

    def __init__(self, store: Searched, which: Filter, before: Place | None, most: int, most_bytes: int) -> None:
        self.place, self.over = before, False
        self._store, self._rest = store, which.beside_payloads
        self._left, self._left_bytes = most, most_bytes
        self._size = min(FIRST_READ, most)

    async def read(self, look_at: int) -> list[Job]:
        """Return the next ones. Cancellation: they were not read."""
        size = self._size
        page = await self._store.list_jobs(self._rest, limit=size, before=self.place, look_at=look_at)
        self.place = page.after
        read_bytes = sum(full_size(job.payload) for job in page.jobs)
        self._left -= len(page.jobs)
        self._left_bytes -= read_bytes
        # A page that is short was cut off because so many were looked at already.
        self.over = page.after is None or min(self._left, self._left_bytes) <= 0 or len(page.jobs) < size
        mean = 1 + read_bytes // max(1, len(page.jobs))
        self._size = max(1, min(LARGEST_READ, self._left, self._left_bytes // mean))
        return page.jobs


async def _search(store: Searched, which: Filter, limit: int, before: Place | None, look_at: int) -> Page:
    meets = searcher(which.payload, which.payload_parts)
    walk = _Walk(store, which, before, min(LOOK_INTO, look_at), LOOK_INTO_BYTES)
    found: list[Job] = []
    while not walk.over:
        for job in await walk.read(look_at):
            if meets(job.payload):
                found.append(job)
                if len(found) == limit:
                    return Page(found, place_of(job))
    return Page(found, walk.place)


async def _count(store: Searched, which: Filter, most: int) -> Tally:
    meets = searcher(which.payload, which.payload_parts)
    walk = _Walk(store, which, None, min(TALLY_INTO, most), TALLY_INTO_BYTES)
    found: list[Job] = []
    while not walk.over:
        found += [job for job in await walk.read(LOOK_AT) if meets(job.payload)]
    return Tally(groups_of(found, store.now_us()), walk.place is None)
