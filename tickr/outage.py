"""Outage: a duty that needs the store outlives its absence, and tells of it once, however often it asks in vain.

State: ``on`` is written here only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


class Outage:
    """Of one duty.

    Args:
      what: the duty, as the log calls it.
    Attributes:
      on: whether the store was away when last asked.
    """

    def __init__(self, log: structlog.typing.FilteringBoundLogger, what: str) -> None:
        self._log, self._what = log, what
        self.on = False

    @contextmanager
    def outlived(self, *kinds: type[Exception]) -> Iterator[None]:
        """A block that ends early, and in peace, with an error of ``kinds``; then it is ``on``."""
        try:
            yield
        except kinds as error:
            if not self.on:
                self._log.info(f"{self._what}.interrupted", error=str(error))
            self.on = True
        else:
            self.on = False
