"""Why a Redis is away, in words that tell an operator what to do. Pure."""

from __future__ import annotations

import redis.exceptions as failures
import trio

MAX_LENGTH = 200

REASONS: tuple[tuple[type[Exception], str], ...] = (
    (failures.AuthenticationError, "the server refuses our user name or password"),
    (failures.NoPermissionError, "the server's ACL does not let our user do this"),
    (failures.BusyLoadingError, "the server is loading its data"),
    (failures.OutOfMemoryError, "the server has reached its maxmemory and takes no writes"),
    (failures.ReadOnlyError, "the server is a read-only replica"),
    (failures.TimeoutError, "the server does not answer"),
)


def reason_for(error: Exception) -> str:
    """Return one line of at most about 300 characters; it holds no password and nothing of a job but ids and queues."""
    if isinstance(error, trio.TooSlowError):
        return "the server does not answer"
    said = str(error)[:MAX_LENGTH]
    for kind, reason in REASONS:
        if isinstance(error, kind):
            return f"{reason} ({said})"
    if "unknown command" in said.lower():
        return f"tickr needs Redis >= 7, for its BZMPOP ({said})"
    return said or type(error).__name__
