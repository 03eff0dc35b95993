"""Tickr: background jobs over HTTP, durable and observable, on trio.

    HTTP -> intake.py     a submission is checked, batched and stored; the 201 leaves after COMMIT
         -> store/        the truth: MySQL, MariaDB, SQLite or memory
         -> index/        the disposable order: Redis or a heap
         -> scheduler/    due jobs become ready, lost ones are taken back, the index is compared with the store
         -> worker/       jobs are claimed, run and their outcomes stored
         -> feed/         every change, in order, to whoever listens; its events are written with each commit

``service.py`` puts a node together. The names below are what a program that uses Tickr needs:

    jobs = tickr.Jobs()

    @jobs.handler("thumbnail", timeout=30)
    async def thumbnail(job: tickr.Job, url: str, width: int = 200) -> dict: ...
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from tickr.errors import (
    ConfigError,
    DuplicateJob,
    IllegalTransition,
    JobError,
    JobNotFound,
    LifespanFailed,
    Overloaded,
    SchemaMismatch,
    SpecRejected,
    StoreError,
    StoreUnavailable,
    TickrError,
    VersionMismatch,
)

if TYPE_CHECKING:
    from tickr.api.program import inbox_row
    from tickr.handle import Handle
    from tickr.retry import Backoff
    from tickr.service import serve
    from tickr.worker.batch import Batch
    from tickr.worker.debugger import breakpoint
    from tickr.worker.endings import Drop, GiveUp, RetryLater, Snooze
    from tickr.worker.handlers import Jobs
    from tickr.worker.kin import ChildrenFailed, JobEnd
    from tickr.worker.view import Job, Tick
    from tickr.worker.wishes import Unique

__all__ = [
    "Backoff",
    "Batch",
    "ChildrenFailed",
    "ConfigError",
    "Drop",
    "DuplicateJob",
    "GiveUp",
    "Handle",
    "IllegalTransition",
    "Job",
    "JobEnd",
    "JobError",
    "JobNotFound",
    "Jobs",
    "LifespanFailed",
    "Overloaded",
    "RetryLater",
    "SchemaMismatch",
    "Snooze",
    "SpecRejected",
    "StoreError",
    "StoreUnavailable",
    "Tick",
    "TickrError",
    "Unique",
    "VersionMismatch",
    "breakpoint",
    "inbox_row",
    "serve",
]


_HOMES = {
    "Backoff": "tickr.retry",
    "Batch": "tickr.worker.batch",
    "ChildrenFailed": "tickr.worker.kin",
    "Drop": "tickr.worker.endings",
    "GiveUp": "tickr.worker.endings",
    "Handle": "tickr.handle",
    "Job": "tickr.worker.view",
    "JobEnd": "tickr.worker.kin",
    "Jobs": "tickr.worker.handlers",
    "RetryLater": "tickr.worker.endings",
    "Snooze": "tickr.worker.endings",
    "Tick": "tickr.worker.view",
    "Unique": "tickr.worker.wishes",
    "breakpoint": "tickr.worker.debugger",
    "inbox_row": "tickr.api.program",
    "serve": "tickr.service",
}
"""Where each name is that is imported when it is first asked for, so that `tickr --help` and `tickr show` wait for
neither trio nor the web server."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tickr' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value
