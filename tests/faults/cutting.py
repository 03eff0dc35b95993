"""Cancellation at every checkpoint: run an operation again and again, cut at its 1st, 2nd, 3rd … until none is left.

    for checkpoint in itertools.count(1):
        ...                                        # what there is before
        too_late = await cut_at(checkpoint, call)
        ...                                        # whole, or nothing; and everything still works
        if too_late:
            break

What counts are the moments at which trio gets control from the task that makes the call, or from tasks that it has
started: no cancellation can come anywhere else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio


class _Counting(trio.abc.Instrument):
    """Cancels ``scope`` when ``task`` and its children have given control away so many times."""

    def __init__(self, task: trio.lowlevel.Task, checkpoints: int, scope: trio.CancelScope) -> None:
        self._task = task
        self._left = checkpoints
        self._scope = scope

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if self._counts(task):
            self._left -= 1
            if self._left == 0:
                self._scope.cancel()

    def _counts(self, task: trio.lowlevel.Task) -> bool:
        one: trio.lowlevel.Task | None = task
        while one is not None and one is not self._task:
            one = one.parent_nursery.parent_task if one.parent_nursery else None
        return one is not None


async def cut_at(checkpoint: int, call: Callable[[], Awaitable[object]]) -> bool:
    """Call, and cancel at that checkpoint, counted from 1. Return whether the call ended before it came there."""
    scope = trio.CancelScope()
    counting = _Counting(trio.lowlevel.current_task(), checkpoint, scope)
    trio.lowlevel.add_instrument(counting)
    try:
        with scope:
            await call()
    finally:
        trio.lowlevel.remove_instrument(counting)
    return not scope.cancel_called
