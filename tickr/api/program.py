"""Submissions of programs that do not speak HTTP: checked as ``POST /jobs`` checks its body, refused as one error.

Comes in: the fields of a job as Python values. Goes out: the body that says so, and the job it describes; or, for
another program's INSERT into the inbox, the body alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tickr.api import edit_request, operation_request, strict, submission
from tickr.api.context import HandlerDefaults
from tickr.api.problems import Fault, Problem
from tickr.edits import Edit
from tickr.errors import SpecRejected
from tickr.jobs import NewJob
from tickr.operations import Operation
from tickr.store.contract import Store


def body_of(
    fields: Mapping[str, Any], *, now: int, defaults: Callable[[str], HandlerDefaults | None]
) -> tuple[bytes, NewJob]:
    """Return the body that says ``fields``, and the job it describes.

    Args:
      fields: those of ``POST /jobs``. now, defaults: see ``submission.read``.
    Raises: SpecRejected: with the first fault.
    """
    with _spoken():
        body = _written(fields)
        return body, submission.read(body, now=now, defaults=defaults)


def edit_of(changes: Mapping[str, Any], *, now: int) -> Edit:
    """Return what a retry with ``changes`` makes different. Raises: SpecRejected: with the first fault."""
    with _spoken():
        return edit_request.read(_written(changes), now=now)


def operation_of(wish: Mapping[str, Any], *, now: int) -> Operation:
    """Return the operation that ``wish`` describes, as ``POST /operations`` takes it. Raises: SpecRejected."""
    with _spoken():
        asked = operation_request.read(_written(wish), now=now)
    if asked.dry_run:
        raise SpecRejected("/dry_run", "is for POST /operations alone")
    return asked.operation


def _written(fields: Mapping[str, Any]) -> bytes:
    body = submission.write(dict(fields))
    strict.check(body)
    return body


@contextmanager
def _spoken() -> Iterator[None]:
    """Say as one error what the API would say as a problem."""
    try:
        yield
    except Problem as problem:
        fault = problem.faults[0] if problem.faults else Fault("/payload", problem.detail)
        raise SpecRejected(fault.pointer, fault.detail, code=problem.code) from None


def read(store: Store, defaults: Callable[[str], HandlerDefaults | None], fields: Mapping[str, Any]) -> NewJob:
    """Return the job that a program describes by the fields of ``POST /jobs``. Raises: SpecRejected."""
    return body_of(fields, now=store.now_us(), defaults=defaults)[1]


def inbox_row(type: str, payload: Any = None, **fields: Any) -> str:
    """Return what to insert into the column ``job`` of Tickr's table ``inbox``, checked as a node will check it.

        db.execute("INSERT INTO inbox (job) VALUES (?)", [tickr.inbox_row("mail", {"to": address}, priority=2)])

    Args:
      payload: anything JSON can say; None is an empty object.
      fields: the others of ``POST /jobs`` (``queue``, ``priority``, ``delay``, ``id``, ``unique`` …).
    Raises: SpecRejected: with the first fault. A node may still refuse the row, for what only the store knows.
    """
    said = {"type": type, "payload": {} if payload is None else payload, **fields}
    body, _ = body_of(said, now=time.time_ns() // 1000, defaults=lambda _type: None)
    return body.decode()
