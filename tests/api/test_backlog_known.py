"""What is told of the age of the backlog is true of whatever happened: an age is right, or it is not told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as some

from tickr.api.backlog_series import Backlog
from tickr.api.statistics_query import StatisticsQuery
from tickr.store import backlog
from tickr.store.backlog import AgePlace, Ages, raised
from tickr.store.contract import Span
from tickr.store.memory import MemoryStore
from tickr.tallies import Step

QUEUES = tuple("abcd")
MINUTE = Step.MINUTE.length_us
LOOKS = some.lists(some.dictionaries(some.sampled_from(QUEUES), some.integers(0, 5)), min_size=1, max_size=6)
"""What is seen in one minute, look by look: the ages of the queues in which something waits."""


def truth(looks: list[dict[str, int]], queues: tuple[str, ...]) -> int:
    return max((look.get(queue, 0) for look in looks for queue in queues), default=0)


def stored(looks: list[dict[str, int]]) -> Ages:
    ages: Ages = {}
    for look in looks:
        ages |= raised({queue: MINUTE - age for queue, age in look.items()}, MINUTE, ages)
    return {place: age for place, age in ages.items() if place.step is Step.MINUTE}


def wishes() -> Iterator[tuple[StatisticsQuery, tuple[str, ...]]]:
    """Yield all that can be asked for: queues, or all of them; in one series, or some of them apart."""
    for size in range(len(QUEUES) + 1):
        for queues in combinations(QUEUES, size):
            span = Span(Step.MINUTE, MINUTE, 2 * MINUTE, queues)
            yield StatisticsQuery(span, None), ()
            for apart in range(min(3, len(queues or QUEUES)) + 1):
                for names in combinations(queues or QUEUES, apart):
                    yield StatisticsQuery(span, "queue"), names


@pytest.mark.parametrize("most", [1, 2, 4])
@settings(max_examples=60)
@given(looks=LOOKS)
def test_an_age_is_true_or_not_told(most: int, looks: list[dict[str, int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backlog, "MAX_QUEUES", most)
        ages = stored(looks)

    class Seen(MemoryStore):
        async def backlog(self, which: Span, limit: int, after: AgePlace | None = None) -> list[tuple[AgePlace, int]]:
            found = sorted(ages.items())
            return [one for one in found if not which.queues or one[0].queue in (*which.queues, backlog.REST)]

    for query, names in wishes():
        told = Backlog(query, names)
        trio.run(told.read, Seen())
        others = tuple(queue for queue in query.span.queues or QUEUES if queue not in names)
        for name in (*names, ""):
            known = told.told(name)
            assert known is not None
            whole = not query.span.queues and not names
            if known.age is not None or whole or most == len(QUEUES):
                assert known.age == truth(looks, (name,) if name else others) / 1e6
