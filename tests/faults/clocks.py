"""Processes whose wall clock can be set while they run: a private MariaDB, a Tickr node. By libfaketime, preloaded.

Their monotonic clocks stay true, as they do when an administrator, NTP or a waking laptop sets a real one. The setting
is a file that the library reads again and again.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.processes import TickrProcess
from tests.servers import MariaDB, faketime

NEW_YORK = "EST5EDT4,M3.2.0,M11.1.0"
"""A zone with summer time, spelt out so that no zone files are needed."""


class Clock:
    """The wall clock of one process, in seconds beside the true one. ``folder`` is where its setting is kept."""

    def __init__(self, folder: Path) -> None:
        self._setting = folder / "clock"
        self.set(0)

    def set(self, seconds: float) -> None:
        """Put the clock so many seconds before (> 0) or behind the true one."""
        fresh = self._setting.with_suffix(".new")
        fresh.write_text(f"{seconds:+.6f}")
        fresh.replace(self._setting)  # never half a setting

    def environment(self) -> Mapping[str, str]:
        return {
            "LD_PRELOAD": faketime() or "",
            "FAKETIME_TIMESTAMP_FILE": str(self._setting),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",  # as older versions call it
            "TZ": NEW_YORK,
        }


class SteppedMariaDB(MariaDB):
    """A MariaDB that believes ``clock``, and lives in a zone with summer time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock(self.folder)

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.clock.environment()}


class SteppedTickr(TickrProcess):
    """A node that believes ``clock``, and lives in a zone with summer time. Arguments: as ``TickrProcess``."""

    def __init__(self, **arguments: object) -> None:
        super().__init__(**arguments)  # type: ignore[arg-type]
        self.clock = Clock(self.folder)

    def environment(self) -> Mapping[str, str]:
        return {**super().environment(), **self.clock.environment()}
