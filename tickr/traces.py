"""Trace context: which trace a job belongs to, as W3C Trace Context has it (``traceparent``, ``tracestate``). Pure.

Comes in: what a request's headers say, a submission, or a middleware. Goes out: a ``Trace`` in the form of version 00,
which is stored with the job (``jobs.Extras``), shown to its handler and sent on by ``http`` jobs. What can not be read
is no trace, and never an error of the request: https://www.w3.org/TR/trace-context/.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

MAX_STATE = 512
"""Characters of a ``tracestate`` that are kept: so many the specification asks for."""
LONG_MEMBER = 128
"""Entries of a ``tracestate`` that are longer are the first to go when it is too long."""
KNOWN_FLAGS = 0b11
"""Sampled, and (level 2) a random trace id. The others are reserved, and must be sent as zero."""

_IDS = r"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}"
TRACEPARENT_PATTERN = rf"00-{_IDS}-[0-9a-f]{{2}}|(?!00|ff)[0-9a-f]{{2}}-{_IDS}-[0-9a-f]{{2}}(?:-.*)?"
"""What a ``traceparent`` looks like, whole: version 00, or a later one, of which only the parts of 00 are read."""
_MEMBER = r"[ \t]*(?:[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*)?"
TRACESTATE_PATTERN = rf"{_MEMBER}(?:,{_MEMBER}){{0,31}}"
"""What a ``tracestate`` looks like, whole: up to 32 entries ``key=value``, which may be empty."""

_is_traceparent = re.compile(TRACEPARENT_PATTERN).fullmatch
_is_tracestate = re.compile(TRACESTATE_PATTERN).fullmatch


class Trace(NamedTuple):
    """A trace, and the span in it that what comes next belongs to."""

    traceparent: str
    tracestate: str | None = None

    def in_span(self, span_id: int) -> Trace:
        """Return the same trace under another span (64 bits, not 0)."""
        return self._replace(traceparent=f"{self.traceparent[:36]}{span_id:016x}{self.traceparent[52:]}")


def read(traceparents: Sequence[str], tracestates: Sequence[str] = ()) -> Trace | None:
    """Return the trace that headers name, each given as often as it came; None if they name none that can be read.

    A ``tracestate`` that can not be read, or stands alone, is left out; one that is too long is cut by whole entries.
    """
    if len(traceparents) != 1 or not _is_traceparent(given := traceparents[0].strip(" \t")):
        return None
    flags = int(given[53:55], 16) & KNOWN_FLAGS
    return Trace(f"00{given[2:53]}{flags:02x}", _state(",".join(tracestates)))


def _state(given: str) -> str | None:
    if not _is_tracestate(given):
        return None
    members = [member for one in given.split(",") if (member := one.strip(" \t"))]
    too_long = len(",".join(members)) - MAX_STATE
    for at in [at for at, member in enumerate(members) if len(member) > LONG_MEMBER][::-1]:
        if too_long > 0:
            too_long -= len(members.pop(at)) + 1
    while members and len(",".join(members)) > MAX_STATE:
        members.pop()
    return ",".join(members) or None
