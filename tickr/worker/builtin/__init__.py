"""The handlers that every worker has: ``http``, ``email`` and ``report``.

They are written against the same interface as anybody's handlers. An application that registers a type of its own by
one of these names gets its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tickr.worker.builtin.email import Email
from tickr.worker.builtin.http import Http
from tickr.worker.builtin.report import report
from tickr.worker.handlers import Jobs


def register(jobs: Jobs, *, http_allow_private: bool, smtp: str | None) -> None:
    """Add the built-in handlers to ``jobs``, except for types that have a handler there.

    Args:
      http_allow_private: let ``http`` jobs call private and loopback addresses.
      smtp: ``smtp://[user:password@]host[:port][?starttls]`` or ``smtps://…``, or None: mail is not sent.
    Raises: ConfigError: ``smtp`` is not such a URL.
    """
    types: list[tuple[str, Callable[..., Any]]] = [
        ("http", Http(allow_private=http_allow_private)),
        ("email", Email(smtp)),
        ("report", report),
    ]
    for type, function in types:
        if type not in jobs:
            jobs.handler(type)(function)
