"""Hypercorn's log, told through ours: its trouble, not its chatter."""

from __future__ import annotations

import sys
from typing import Any

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.logging import Logger

log = structlog.get_logger("tickr.http")


class ServerLog(Logger):
    """Where Hypercorn writes."""

    def __init__(self, config: Config) -> None:
        self.access_logger = None
        self.error_logger = None

    async def warning(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.warning("http.server", message=message % args)

    async def error(self, message: str, *args: Any, **kwargs: Any) -> None:
        log.error("http.server", message=message % args)

    async def exception(self, message: str, *args: Any, **kwargs: Any) -> None:
        errors = [error for error in leaves(sys.exc_info()[1]) if not isinstance(error, trio.Cancelled)]
        if all(isinstance(error, h11.ProtocolError) for error in errors):
            # The client's doing: it sent what cannot be at this point. No reason to fill the log with tracebacks.
            log.warning("http.protocol_error", errors=[repr(error) for error in errors])
        else:
            log.error("http.server", message=message % args, exc_info=True)


def leaves(error: BaseException | None) -> list[BaseException]:
    """Return the errors in ``error``, which may be a group of groups of them."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in leaves(part)]
    return [] if error is None else [error]
