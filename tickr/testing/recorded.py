"""Recorded: the handlers of a test, which are the ones that are given, and a note of each of their calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from tickr import jobs
from tickr.worker.handlers import Handler, Jobs
from tickr.worker.view import Job, Listener

Note = Callable[[jobs.Job, dict[str, Any]], None]


class RecordedHandler(Handler, frozen=True, kw_only=True):
    """A handler of which ``note`` is called with the job and the arguments, just before it is itself."""

    note: Note

    def bind(self, record: jobs.Job, listener: Listener, view: Job | None = None) -> dict[str, Any]:
        arguments = super().bind(record, listener, view)
        # Bound once more, since what a handler does with its lists shall not be seen here.
        self.note(record, self.arguments.bind(record.payload))
        return arguments


class RecordedJobs(Jobs):
    """The handlers of ``given``, with a note of each call."""

    def __init__(self, given: Jobs, note: Note) -> None:
        super().__init__()
        self._middleware = list(given._middleware)
        self.schedules.include(given.schedules)
        for type in given:
            handler = given.get(type)
            assert handler is not None
            self._add(RecordedHandler(**msgspec.structs.asdict(handler), note=note))
