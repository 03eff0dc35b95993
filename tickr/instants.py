"""Instants: microseconds since 1970 UTC, as Tickr keeps them, and how the outside reads them. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)


def datetime_of(at_us: int) -> datetime:
    return EPOCH + timedelta(microseconds=at_us)


def rfc3339(at_us: int) -> str:
    """Return microseconds UTC as ``2025-01-31T12:00:00.000000Z``."""
    return (_NAIVE_EPOCH + timedelta(microseconds=at_us)).isoformat(timespec="microseconds") + "Z"
