"""What jobs log, as it is kept with them: lines go in parts, some that an attempt has logged one after the other. Pure.

``worker/logbook.py`` makes parts, the stores keep the newest of each job (``outgrown``), the API takes them apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from tickr.envelopes import is_sealed

KEPT_LINES = 1_000
"""So many lines of a job are kept if nothing else is configured."""
LINE_BYTES = 1_024
"""For each line of the bound so many bytes may be kept."""
MOST_IN_PART = 100


class LogPlace(NamedTuple):
    """A line of a job: the attempt's fence, which grows with each start, and the line's number in it, from 1.

    No line has the number 0, so that place is in front of the attempt.
    """

    fence: int
    number: int


class LogLine(NamedTuple):
    """One line.

    Attributes:
      at: instant at which it was said, microseconds UTC.
      message: None where it is encrypted, and was not opened.
      dropped: how many lines before it were left out, because they came too fast.
    """

    place: LogPlace
    attempt: int
    at: int
    message: str | None
    dropped: int


class LogPart(msgspec.Struct, frozen=True, kw_only=True):
    """Some lines of one attempt.

    Attributes:
      fence, attempt: of which.
      last: number of the last of them.
      count: how many. size: how many bytes they have together.
      marks: JSON text, an array of [instant, dropped].
      messages: JSON text, an array of what they say, or its envelope (``sealing.py``).
    """

    fence: int
    attempt: int
    last: int
    count: int
    size: int
    marks: str
    messages: str

    @property
    def place(self) -> LogPlace:
        return LogPlace(self.fence, self.last)

    def lines(self) -> Iterator[LogLine]:
        marks, first = _decode_marks(self.marks), self.last - self.count + 1
        said: Sequence[str | None] = [None] * self.count
        if not is_sealed(self.messages):
            said = _decode_messages(self.messages)
        for number, ((at, dropped), message) in enumerate(zip(marks, said, strict=True), first):
            yield LogLine(LogPlace(self.fence, number), self.attempt, at, message, dropped)


class PartSize(NamedTuple):
    """As much of a part as has to be known to tell whether it is one too many."""

    fence: int
    last: int
    lines: int
    size: int


_encode = msgspec.json.Encoder().encode
_decode_marks = msgspec.json.Decoder(list[tuple[int, int]]).decode
_decode_messages = msgspec.json.Decoder(list[str]).decode


def part_of(fence: int, attempt: int, last: int, said: Sequence[tuple[int, int, str]]) -> LogPart:
    """Return the part that lines make, each its instant, how many were dropped before it, and what it says."""
    messages = _encode([message for _, _, message in said])
    return LogPart(
        fence=fence,
        attempt=attempt,
        last=last,
        count=len(said),
        size=len(messages),
        marks=_encode([(at, dropped) for at, dropped, _ in said]).decode(),
        messages=messages.decode(),
    )


def outgrown(parts: Iterable[PartSize], bound: int) -> list[PartSize]:
    """Return those of the parts of one job that are too many, where ``bound`` lines are to be kept, the newest.

    A part is one too many when those after it are enough; so at most a part's lines more are kept.
    """
    lines = size = 0
    gone = []
    for part in sorted(parts, reverse=True):
        if lines >= bound or size >= bound * LINE_BYTES:
            gone.append(part)
        lines, size = lines + part.lines, size + part.size
    return gone
