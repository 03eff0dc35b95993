"""What an operator sees of one setting, and a value that he has given. Pure; ``config.py`` has the settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from tickr import values


class Setting(NamedTuple):
    """What the operator sees of one field.

    Attributes:
      read: makes the field's value of text or of a TOML value; ``ValueError`` says what it must be.
      help: one or two sentences; the first stands alone in ``--help``.
      metavar: what stands for the value in ``--help``.
      secret: never a flag (anybody on the machine sees those with ``ps``) and never shown.
      name: of the field; also the key in the file.
    """

    read: Callable[[object], object]
    help: str
    metavar: str = "TEXT"
    secret: bool = False
    name: str = ""
    default: object = None

    @property
    def variable(self) -> str:
        return f"TICKR_{self.name.upper()}"

    @property
    def flag(self) -> str | None:
        return None if self.secret else f"--{self.name.replace('_', '-')}"

    @property
    def may_be_secret(self) -> bool:
        """Whether a value of it may hold a password."""
        return self.secret or self.metavar == "URL"

    @property
    def shown_default(self) -> str:
        """The default as an operator would write it."""
        default: Any = self.default
        if isinstance(default, bool):
            return "true" if default else "false"
        if self.metavar == "SIZE":
            return f"{default // 1024**2}MiB"
        if self.metavar == "DURATION":
            return _shown_duration(default)
        return ",".join(default) if isinstance(default, tuple) else str(default)


def _shown_duration(seconds_: float) -> str:
    if seconds_ == math.inf:
        return values.FOREVER
    if seconds_ % 3600:
        return f"{seconds_:g}s"
    return f"{seconds_ / 3600:g}h" if seconds_ % 86_400 or seconds_ == 86_400 else f"{seconds_ / 86_400:g}d"


class Given(NamedTuple):
    """A raw value and where it comes from, in the operator's words: ``--port``, ``TICKR_PORT``, ``t.toml: port``."""

    value: object
    origin: str
