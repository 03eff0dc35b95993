"""The base of all errors, and those that are about no single thing."""

from __future__ import annotations

from collections.abc import Sequence


class TickrError(Exception):
    """Base of everything Tickr raises on purpose."""

    code = "internal"


class ConfigError(TickrError):
    """The configuration cannot be used. ``faults`` holds one sentence for each fault found."""

    code = "config"

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


class CannotOpen(TickrError):
    """Something encrypted can not be read: this node does not have ``key`` (its name), or it is not what was sealed."""

    code = "cannot_decrypt"

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class BadSignature(CannotOpen):
    """A job is not to be run: it is not signed, or not as it is now, or with a ``key`` that is not here."""

    code = "bad_signature"


class BatchTooLarge(TickrError):
    """Jobs that shall be stored whole or not at all are together more than one transaction carries. None was stored.

    Args:
      size_bytes, most_bytes: about how much they are, and may be, in bytes.
    """

    code = "batch_too_large"

    def __init__(self, size_bytes: int, most_bytes: int) -> None:
        super().__init__(
            f"These jobs are about {size_bytes} bytes together; one transaction carries {most_bytes}. "
            "Send fewer at once, or not as one whole."
        )
        self.size_bytes = size_bytes
        self.most_bytes = most_bytes


class Overloaded(TickrError):
    """A bounded queue is full. Nothing was stored; the caller may come back after ``retry_after_s`` seconds."""

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
