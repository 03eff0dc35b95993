"""What is to be changed about jobs → a checked ``Edit``.

The body of ``PATCH /jobs/<id>``, of ``POST /jobs/<id>/retry``, or the ``changes`` of an operation: bytes come in,
already known to be strict JSON. Each field means what it means in a submission, and is checked as it is there. Pure:
the clock is handed in.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from tickr import jobs
from tickr.api.problems import invalid
from tickr.api.submission import RULES, Labels, all_faults, further_faults, labels_text, micros, span, whole
from tickr.edits import NEVER, NO_LABELS, Edit
from tickr.jobs import MAX_ATTEMPTS, MAX_TIMEOUT_S
from tickr.retry import MAX_DELAY_S, Backoff


class Changes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields that are to be different. Durations in seconds."""

    payload: Raw | UnsetType = UNSET
    queue: Annotated[str, whole(jobs.QUEUE_PATTERN)] | UnsetType = UNSET
    priority: Annotated[int, Meta(ge=0, le=9)] | UnsetType = UNSET
    delay: Annotated[float, Meta(ge=0, le=MAX_DELAY_S)] | UnsetType = UNSET
    run_at: Annotated[datetime, Meta(tz=True)] | UnsetType = UNSET
    expires_at: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    expires_in: Annotated[float, Meta(gt=0, le=MAX_DELAY_S)] | UnsetType = UNSET
    max_attempts: Annotated[int, Meta(ge=1, le=MAX_ATTEMPTS)] | UnsetType = UNSET
    timeout: Annotated[float, Meta(gt=0, le=MAX_TIMEOUT_S)] | UnsetType = UNSET
    backoff: Backoff | Literal["constant", "linear", "exponential"] | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    limit_key: Annotated[str, whole(jobs.LIMIT_KEY_PATTERN)] | UnsetType = UNSET


Value = TypeVar("Value")

_decode = msgspec.json.Decoder(Changes).decode


def read(body: bytes, *, now: int) -> Edit:
    """Return the edit that ``body`` (strict JSON) describes.

    Args:
      now: microseconds UTC by the store's clock; bounds ``run_at``.
    Raises: Problem (422) with every fault found.
    """
    try:
        said = _decode(body)
    except msgspec.ValidationError:
        raise invalid(all_faults(body, Changes, RULES, now)) from None
    if faults := further_faults(_but_null(msgspec.structs.asdict(said)), now):
        raise invalid(faults)
    return Edit(
        payload=None if said.payload is UNSET else bytes(said.payload).decode(),
        queue=_given(said.queue),
        priority=_given(said.priority),
        max_attempts=_given(said.max_attempts),
        timeout_us=None if said.timeout is UNSET else max(1, round(said.timeout * 1_000_000)),
        backoff=Backoff(kind=said.backoff) if isinstance(said.backoff, str) else _given(said.backoff),
        labels=_labels(said.labels),
        limit_key=_given(said.limit_key),
        delay_us=None if said.delay is UNSET else span(said.delay),
        run_at=None if said.run_at is UNSET else micros(said.run_at),
        expires_in_us=None if said.expires_in is UNSET else max(1, span(said.expires_in)),
        expires_at=None if said.expires_at is UNSET else NEVER if said.expires_at is None else micros(said.expires_at),
    )


def _but_null(said: dict[str, object]) -> dict[str, object]:
    """Return what was said without what says that a job shall not have something."""
    return {name: value for name, value in said.items() if value is not None}


def _labels(said: dict[str, str] | UnsetType) -> str | None:
    if said is UNSET:
        return None
    return labels_text(said).decode() if said else NO_LABELS


def _given(said: Value | UnsetType) -> Value | None:
    return None if said is UNSET else said
