"""Trials that mostly wait are played all at once; then each of them is a test, which says how it ended.

Comes in: the cases of a parametrized test and how one is played. Goes out: how each has ended, for a fixture of module
scope to hand out. Nothing of a trial is left when the first test begins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable
from typing import TypeVar

import outcome
import pytest
import trio

OVER_WITHIN_S = 75.0
"""For all of them together."""

Case = TypeVar("Case", bound=Hashable)


def play_wanted(
    request: pytest.FixtureRequest, cases: Collection[Case], play: Callable[[Case], Awaitable[None]]
) -> dict[Case, outcome.Outcome[None]]:
    """Play those of ``cases`` that this run has tests for, parametrized as ``case``, each in a task of its own."""
    items = [item for item in request.session.items if item.path == request.path and hasattr(item, "callspec")]
    wanted = {item.callspec.params["case"] for item in items if "case" in item.callspec.params}
    ended: dict[Case, outcome.Outcome[None]] = {}

    async def in_time(case: Case) -> None:
        with trio.fail_after(OVER_WITHIN_S):
            await play(case)

    async def keep(case: Case) -> None:
        ended[case] = await outcome.acapture(in_time, case)

    async def all_at_once() -> None:
        async with trio.open_nursery() as nursery:
            for case in cases:
                if case in wanted:
                    nursery.start_soon(keep, case)

    trio.run(all_at_once)
    return ended
