"""What was done and what waited, asked of a store by the tests of query plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.store.backends import new_id
from tests.store.filled import DAY_US
from tickr.store.contract import Mark, Span, Store, SumPlace, Sums, Tallied
from tickr.store.sums import add_up
from tickr.tallies import Part, Step

if TYPE_CHECKING:
    from tests.store.explained import Asking

LIMIT = 20


async def ask_about_statistics(asking: Asking, store: Store, now: int) -> None:
    """Sums of two days, the age of the backlog, and marks."""
    after, log = await asking.untallied(LIMIT)  # type: ignore[misc]
    await asking.add_tallies(add_up(log) | sums_of(now), after=after, upto=Tallied(log[-1].seq, 0))
    await asking.untallied(LIMIT)
    await asking.tallied()
    for step in Step:
        span = Span(step, now - DAY_US, now + DAY_US)
        page = await store.sums(span, LIMIT)
        await asking.sums(span, LIMIT, page[-1][0])
        await asking.weights(span._replace(queues=("q1", "q2"), types=("t1",)))
        for by in ("queue", "type"):
            await asking.busiest(span._replace(queues=("q1", "q2"), types=("t1",)), by, LIMIT)
        await asking.prune_sums(step, now - DAY_US, LIMIT)
        await _ask_about_backlog(asking, store, now, step)
    marks = [Mark(new_id(), now + n, "v1") for n in range(100)]
    for mark in marks:
        await asking.make_mark(mark)
    await asking.make_mark(marks[0])
    await asking.marks(now, now + 50, LIMIT)
    await asking.drop_mark(marks[0].id)


async def _ask_about_backlog(asking: Asking, store: Store, now: int, step: Step) -> None:
    await asking.look_at_backlog(0)
    await asking.look_at_backlog(DAY_US)
    span = Span(step, now - DAY_US, now + DAY_US)
    page = await store.backlog(span, LIMIT)
    await asking.backlog(span._replace(queues=("q1", "q2")), LIMIT, page[-1][0])
    await asking.prune_backlog(step, now - DAY_US, LIMIT)


def sums_of(now: int) -> Sums:
    """Return sums of two days at most, for a few pairs in each step."""
    pairs = [(f"q{n}", f"t{m}") for n in range(5) for m in range(2)]
    return {
        SumPlace(step, step.begin(now) - n * step.length_us, *pair): Part(*pair)
        for step in Step
        for n in range(min(2 * DAY_US // step.length_us, 200))
        for pair in pairs
    }
