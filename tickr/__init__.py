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
from tickr.retry import Backoff
from tickr.worker.batch import Batch
from tickr.worker.debugger import breakpoint
from tickr.worker.endings import Drop, GiveUp, RetryLater, Snooze
from tickr.worker.handlers import Jobs
from tickr.worker.kin import ChildrenFailed, JobEnd
from tickr.worker.view import Job, Tick
from tickr.worker.wishes import Unique

if TYPE_CHECKING:
    from tickr.api.program import inbox_row
    from tickr.handle import Handle
    from tickr.service import serve

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


def __getattr__(name: str) -> Any:
    # A module of handlers imports tickr, and so does `tickr submit`; neither shall load the web server.
    if name in ("Handle", "serve"):
        from tickr import service

        return getattr(service, name)
    if name == "inbox_row":
        from tickr.api import program

        return program.inbox_row
    raise AttributeError(f"module 'tickr' has no attribute {name!r}")
