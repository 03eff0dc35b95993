"""A past for pictures: what a Tickr would have added up in the last hour, with a release that went wrong in it."""

from __future__ import annotations

import math
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from tickr.store.backlog import REST
from tickr.store.open import open_store
from tickr.store.sums import SumPlace, Sums, Tallied
from tickr.tallies import COUNTED, Part, Step, times

MINUTE_US = 60_000_000
SINCE_MIN, BAD_MIN, GOOD_MIN = 58, 34, 17
"""Minutes before now: from when on there is a past; the release that declines cards; the one that does not."""
KINDS = [("mail", "mail.welcome", 58, 0.1), ("billing", "invoice.charge", 24, 0.4), ("search", "search.index", 30, 0.6)]
"""Queue, type, jobs a minute, seconds that one takes."""


async def write_past(store: str) -> None:
    """Write sums and ages of the past into the store at ``store``, a URL of SQLite; it is made if there is none yet."""
    async with open_store(store, migrate=True) as opened:
        now = opened.now_us()
        chance = random.Random(4)
        sums: Sums = dict(_minutes(now, chance))
        assert await opened.add_tallies(sums, after=0, upto=Tallied(0, now))
    with closing(sqlite3.connect(store.removeprefix("sqlite:///"))) as db:
        db.executemany("INSERT INTO backlogs (step, at, queue, age) VALUES (1, ?, ?, ?)", _ages(now, chance))
        db.commit()


def _minutes(now: int, chance: random.Random) -> Iterator[tuple[SumPlace, Part]]:
    begin = Step.MINUTE.begin(now)
    for ago in range(SINCE_MIN, 0, -1):
        for queue, kind, rate, takes_s in KINDS:
            bad = queue == "billing" and GOOD_MIN < ago <= BAD_MIN
            jobs = int(rate * (1 + 0.25 * math.sin(ago / 9)) * chance.uniform(0.85, 1.15))
            yield (
                SumPlace(Step.MINUTE, begin - ago * MINUTE_US, queue, kind),
                _part(queue, kind, jobs, takes_s, bad, chance),
            )


def _ages(now: int, chance: random.Random) -> Iterator[tuple[int, str, int]]:
    """Yield when a minute began, a queue, and the age of its backlog: work piles up behind the bad release."""
    begin = Step.MINUTE.begin(now)
    for ago in range(SINCE_MIN, 0, -1):
        late_s = max(0.0, 11.0 * (BAD_MIN - ago)) if ago > GOOD_MIN else max(0.0, 187 - 42.0 * (GOOD_MIN - ago))
        yield begin - ago * MINUTE_US, "billing", int((late_s + chance.uniform(0.1, 2.5)) * 1e6)
        yield begin - ago * MINUTE_US, REST, 0


def _part(queue: str, kind: str, jobs: int, takes_s: float, bad: bool, chance: random.Random) -> Part:
    failed = int(jobs * (0.3 if bad else 0.02) * chance.uniform(0.7, 1.3))
    counts = {
        "created": jobs,
        "started": jobs + 2 * failed,
        "succeeded": jobs - failed,
        "failed": failed,
        "retrying": 2 * failed,
    }
    slow = 3 if bad else 1
    waits = [int(chance.expovariate(1 / (0.02 * slow)) * 1e6) for _ in range(jobs)]
    runs = [int(chance.lognormvariate(math.log(takes_s * slow), 0.5) * 1e6) for _ in range(jobs)]
    return Part(queue, kind, [counts.get(name, 0) for name in COUNTED], times(waits), times(runs))
