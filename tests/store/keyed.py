"""Words for jobs with keys."""

from __future__ import annotations

import hashlib
from typing import Any

from tests.store.backends import SECOND, new_job
from tickr.jobs import Extras, Job, NewJob
from tickr.keys import Idempotency, OnConflict, Unique, Wish
from tickr.store.contract import Fate, Keyed, Store

KEEP_S = 100.0


def unique_of(key: str, until_s: float | None = None, *, until_started: bool = False) -> Unique:
    return Unique(key, None if until_s is None else int(until_s * SECOND), until_started)


def unique_job(
    key: str,
    *,
    until_s: float | None = None,
    until_started: bool = False,
    on_conflict: str = "return",
    request: Idempotency | None = None,
    **fields: Any,
) -> NewJob:
    """Return a new job with a unique key, and perhaps under the idempotency key of ``request``."""
    unique = unique_of(key, until_s, until_started=until_started)
    wish = Wish(unique=unique, on_conflict=OnConflict(on_conflict), idempotency=request)
    return new_job(extras=Extras(unique=unique), wish=wish, **fields)


def request(key: str, body: str = "{}", *, keep_s: float = KEEP_S, item: int | None = None) -> Idempotency:
    return Idempotency(key, hashlib.sha256(body.encode()).digest(), int(keep_s * SECOND), item)


def requested(key: str, body: str = "{}", *, keep_s: float = KEEP_S, item: int | None = None, **fields: Any) -> NewJob:
    """Return a new job that is submitted under an idempotency key, by a request with ``body``."""
    return new_job(wish=Wish(idempotency=request(key, body, keep_s=keep_s, item=item)), **fields)


async def put_keyed(store: Store, *new: NewJob, **how: Any) -> list[Keyed]:
    """Insert, and return the answers."""
    answers = await store.insert(new, **how)
    assert all(isinstance(answer, Keyed) for answer in answers), answers
    return answers  # type: ignore[return-value]


async def put_one_keyed(store: Store, new: NewJob, **how: Any) -> Keyed:
    return (await put_keyed(store, new, **how))[0]


async def put_held(store: Store, key: str, **fields: Any) -> Job:
    """Insert a job that gets its unique key, and return it."""
    answer = await put_one_keyed(store, unique_job(key, **fields))
    assert (answer.fate, answer[1]) == (Fate.CREATED, True)
    return answer[0]
