"""An operation as the outside sees it, and how many jobs there are in groups. The order of the fields is contract."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickr.api import wire
from tickr.api.listing import PAYLOAD_PART
from tickr.edits import Edit
from tickr.envelopes import is_sealed
from tickr.filters import Filter
from tickr.jobs import Job
from tickr.operations import Operation
from tickr.retry import Backoff
from tickr.schedules import seconds
from tickr.store.contract import Group

MOST_GROUPS = 100
"""Groups that are shown, the largest."""


class FilterDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the filter says, with the states that are meant; ``ids`` are left out in lists."""

    state: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    error: tuple[str, ...] = ()
    schedule: tuple[str, ...] = ()
    parent: str | None = None
    payload: dict[str, list[str]] = {}
    payload_parts: tuple[str, ...] = msgspec.field(default=(), name=PAYLOAD_PART)
    created_after: wire.Instant | None = None
    created_before: wire.Instant | None = None
    finished_after: wire.Instant | None = None
    finished_before: wire.Instant | None = None
    ids: tuple[str, ...] = ()


class ChangesDocument(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is changed. ``encrypted``: the payload is, and so left out."""

    payload: Raw | UnsetType = UNSET
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    timeout: float | None = None
    backoff: Backoff | None = None
    labels: Raw | UnsetType = UNSET
    limit_key: str | None = None
    delay: float | None = None
    run_at: wire.Instant | None = None
    expires_in: float | None = None
    expires_at: wire.Instant | UnsetType | None = UNSET
    encrypted: bool = False


class OperationDocument(msgspec.Struct, frozen=True):
    id: str
    action: str
    state: str
    filter: FilterDocument
    changes: ChangesDocument
    reason: str | None
    rate: float
    total: int
    exact: bool
    done: int
    skipped: int
    created_at: wire.Instant | None
    finished_at: wire.Instant | None


class GroupDocument(msgspec.Struct, frozen=True):
    """Jobs that are alike. ``oldest_at``, ``newest_at``: when the first of them ended, the last; or was created."""

    state: str
    type: str
    error: str | None
    count: int
    oldest_at: wire.Instant | None
    newest_at: wire.Instant | None
    example: str


class CountDocument(msgspec.Struct, frozen=True):
    """How many there are; not ``exact``: so many or more. ``groups``: the largest."""

    total: int
    exact: bool
    groups: list[GroupDocument]


class PreviewDocument(CountDocument, frozen=True, kw_only=True):
    """What an operation would be about; ``examples``: some of the jobs, the newest."""

    action: str
    examples: list[wire.JobDocument]


class OperationPage(msgspec.Struct, frozen=True):
    items: list[OperationDocument]
    next_cursor: str | None


def operation_document(one: Operation, *, ids: bool = True) -> OperationDocument:
    """Args: ids: whether to show the ids of the jobs, where it is about certain ones."""
    return OperationDocument(
        id=one.id,
        action=one.action,
        state=one.state,
        filter=_filter(one.which, one.ids if ids else ()),
        changes=_changes(one.edit),
        reason=one.reason,
        rate=one.rate,
        total=max(one.total, one.done),
        exact=one.exact,
        done=one.done,
        skipped=one.skipped,
        created_at=wire.instant(one.created_at),
        finished_at=wire.instant(one.finished_at),
    )


def count(groups: Sequence[Group], *, exact: bool) -> CountDocument:
    return CountDocument(sum(group.count for group in groups), exact, _groups(groups))


def preview(action: str, groups: Sequence[Group], examples: Iterable[Job], now: int, *, exact: bool) -> PreviewDocument:
    return PreviewDocument(
        total=sum(group.count for group in groups),
        exact=exact,
        groups=_groups(groups),
        action=action,
        examples=[wire.job_document(job, now) for job in examples],
    )


def _groups(groups: Sequence[Group]) -> list[GroupDocument]:
    return [
        GroupDocument(
            one.state,
            one.type,
            one.error,
            one.count,
            wire.instant(one.oldest_at),
            wire.instant(one.newest_at),
            one.example,
        )
        for one in groups[:MOST_GROUPS]
    ]


def _filter(which: Filter, ids: tuple[str, ...]) -> FilterDocument:
    return FilterDocument(
        state=which.states,
        type=which.types,
        queue=which.queues,
        label=tuple(name if value is None else f"{name}={value}" for name, value in which.labels),
        error=which.errors,
        schedule=which.schedules,
        parent=which.parent,
        payload={path: [value for at, value in which.payload if at == path] for path, _ in which.payload},
        payload_parts=which.payload_parts,
        created_after=wire.instant(which.created_after),
        created_before=wire.instant(which.created_before),
        finished_after=wire.instant(which.finished_after),
        finished_before=wire.instant(which.finished_before),
        ids=ids,
    )


def _changes(edit: Edit) -> ChangesDocument:
    return ChangesDocument(
        payload=UNSET if edit.payload is None else wire.readable(edit.payload) or Raw(b"null"),
        queue=edit.queue,
        priority=edit.priority,
        max_attempts=edit.max_attempts,
        timeout=seconds(edit.timeout_us),
        backoff=edit.backoff,
        labels=UNSET if edit.labels is None else Raw(edit.labels),
        limit_key=edit.limit_key,
        delay=seconds(edit.delay_us),
        run_at=wire.instant(edit.run_at),
        expires_in=seconds(edit.expires_in_us),
        expires_at=UNSET if edit.expires_at is None else wire.instant(edit.expires_at or None),
        encrypted=is_sealed(edit.payload),
    )
