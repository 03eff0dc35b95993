"""Leash: the two cancel scopes that handlers run under, held by one worker task and used by one attempt at a time.

The outer one ends the handler, on request or when the job's time is over. The inner one is the shelter of a handler
that is written off (``RunningJob.remind``). To make and unmake both costs more than all else that is done for a short
job, so the next attempt takes the leash over from one that simply returned. After anything else (an error, a stop, a
scope left open by the handler) it is dropped, and the next attempt gets a new one.

State: only the worker task takes and drops it; whoever may stop the attempt that has it cancels ``scope``.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from types import TracebackType

import trio


class Leash:
    """A context manager round one handler after the other, in the task that it was made in.

    Left with an error or with a cancelled scope, it has dropped the scopes: what ``Cancelled`` was theirs goes no
    further. Between two handlers nothing cancels them, as nobody knows ``scope`` and it has no deadline.
    """

    __slots__ = ("_held", "_status", "_task", "scope", "shelter")

    def __init__(self) -> None:
        self._task = trio.lowlevel.current_task()
        self._held: ExitStack | None = None

    def __enter__(self) -> Leash:
        if self._held is None:
            self._held, self.scope, self.shelter = ExitStack(), trio.CancelScope(), trio.CancelScope()
            self._held.enter_context(self.scope)
            self._held.enter_context(self.shelter)
            self._status = self._task._cancel_status
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool | None:
        assert self._held is not None
        # Of a scope that a handler has left open only trio's own record tells; dropping ours brings the error.
        if error is None and not self.scope.cancel_called and self._task._cancel_status is self._status:
            if self.scope.deadline != math.inf:
                self.scope.deadline = math.inf
            return False
        held, self._held = self._held, None
        return held.__exit__(kind, error, at)

    def drop(self) -> None:
        """Leave the scopes, if they are held: before the task waits for anything that is no handler's."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
