"""Unfinished: what a test is told that waits in vain: which jobs are left, and what each of them waits for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches

from tickr import jobs
from tickr.jobs import State
from tickr.testing.records import Job, shortened, since

MOST_JOBS = 10
"""Of the jobs that are left, so many are told of."""


class Unfinished(AssertionError):
    """What was waited for has not come about in time. The text says what is left, and what it waits for."""


class NotSucceeded(AssertionError):
    """A job whose result was asked for has ended otherwise. The text tells all that happened to it."""


class Left:
    """Tells of jobs that have not ended.

    Args:
      types: those that have a handler here.
      stack: returns where the handler of a running job stands, or "".
    """

    def __init__(self, types: frozenset[str], start_us: int, stack: Callable[[str], str]) -> None:
        self._types = types
        self._start_us = start_us
        self._stack = stack

    def told(self, left: Iterable[tuple[jobs.Job, Job]], now_us: int) -> str:
        """Return what is left, a paragraph for each job: as the store has it, and as the test sees it."""
        found = list(left)
        told = [self._told(stored, shown, now_us) for stored, shown in found[:MOST_JOBS]]
        if len(found) > MOST_JOBS:
            told.append(f"and {len(found) - MOST_JOBS} more")
        return "\n".join(told)

    def _told(self, stored: jobs.Job, shown: Job, now_us: int) -> str:
        story = shortened([event.told for event in shown.events])
        lines = [f"{stored.type} {stored.id} {self._why(stored, shown.state, now_us)}", *story]
        if stored.state is State.RUNNING and (stack := self._stack(stored.id)):
            lines += ["its handler is at", *stack.rstrip().split("\n")]
        return "\n  ".join(lines)

    def _why(self, job: jobs.Job, state: str, now_us: int) -> str:
        if job.state is State.RUNNING:
            started_us = (job.started_at or now_us) - self._start_us
            return (
                f"has been running since {since(started_us)}, attempt {job.attempt} of {job.max_attempts}; "
                f"it has time until {since(started_us + job.timeout_us)}"
            )
        if job.state is State.BLOCKED:
            return "is blocked"
        if job.run_at > now_us:
            return f"is {state}, and due at {since(job.run_at - self._start_us)}"
        if job.type not in self._types:
            near = get_close_matches(job.type, self._types, n=1)
            return "is due, and no handler here takes its type" + (f"; did you mean {near[0]}?" if near else "")
        return f"has been due since {since(job.run_at - self._start_us)}, and nobody has taken it"
