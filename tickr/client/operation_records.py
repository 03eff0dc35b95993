"""What the client tells of failed jobs and of what is done to many at once: history, groups, operations. All frozen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec

from tickr.retry import Backoff

if TYPE_CHECKING:
    from tickr.client.records import JobRef

Names = str | Iterable[str] | None


class Filters(TypedDict, total=False):
    """Which jobs; docs/http-api.md has the rules of each.

    ``payload``: paths with what is to be there, or lists of such; ``contains``: texts that are to be somewhere in it.
    """

    state: Names
    type: Names
    queue: Names
    label: Names | Mapping[str, str]
    error: Names
    schedule: Names
    parent: JobRef | None
    payload: Mapping[str, Any] | None
    contains: Names
    created_after: datetime | None
    created_before: datetime | None
    finished_after: datetime | None
    finished_before: datetime | None


class Changes(TypedDict, total=False):
    """What is to be different about a job; what is not named stays as it is. ``expires_at=None``: it never expires."""

    payload: Any
    queue: str
    priority: int
    max_attempts: int
    timeout: float | timedelta
    backoff: str | Backoff
    labels: Mapping[str, str]
    limit_key: str
    delay: float | timedelta
    run_at: datetime
    expires_in: float | timedelta
    expires_at: datetime | None


class Failure(msgspec.Struct, frozen=True):
    """Why an attempt did not succeed."""

    kind: str
    message: str
    traceback: str | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a job. ``number`` counts within its ``life``; a retry of a final job begins another life."""

    number: int
    life: int = 1
    fence: int
    outcome: str
    node: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: Failure | None = None


class Redrive(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a job was started over: the life that began, what was changed, which operation did it."""

    life: int
    at: datetime
    changed: list[str] = []
    operation: str | None = None


class History(msgspec.Struct, frozen=True):
    """Everything that happened to a job, the first first. ``redrives``: the last twenty."""

    items: list[Attempt]
    redrives: list[Redrive] = []


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are alike. ``oldest_at``, ``newest_at``: when the first of them ended, or was created, and the last."""

    state: str
    type: str
    error: str | None
    count: int
    oldest_at: datetime | None = None
    newest_at: datetime | None
    example: str


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """How many jobs there are, and in which groups, the largest first. Not ``exact``: so many or more."""

    total: int
    exact: bool
    groups: list[Group]


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to many jobs, as far as it was when the server answered; docs/dead-letters.md explains the fields.

    ``filter`` and ``changes`` are empty in events.
    """

    id: str
    action: str
    state: str
    rate: float
    total: int
    exact: bool
    done: int
    skipped: int
    created_at: datetime
    finished_at: datetime | None = None
    filter: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    reason: str | None = None

    @property
    def ended(self) -> bool:
        """Whether it goes no further: it is done, or was stopped."""
        return self.state != "running"


OperationRef = str | Operation
"""What names an operation: its id, or a record of it."""
