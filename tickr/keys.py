"""Keys: what a submission says so that nothing is done twice. Pure: no trio, no I/O, no clock.

An *idempotency key* names a request: whoever sends it again means the same request, and gets the first answer again
for as long as the key is kept. A *unique key* names what a job is about: while one job holds it, no second one is
stored beside it. A *sequence* is a key as well, and the last of its jobs has it. All come in with a ``NewJob`` as its
``Wish``; a plain job has none.

The stores keep all kinds in one table. The names under which they are kept are made here; no name of one kind is ever
a name of the other.
"""

from __future__ import annotations

import enum
import hashlib

import msgspec

MAX_KEY_LENGTH = 255
"""Of a key of either kind, in characters."""
MAX_UNIQUE_S = 365 * 86_400.0
"""Longest time that a unique key may be held for, in seconds, where it is held for a time."""
MAX_NAME_BYTES = 255


class OnConflict(enum.StrEnum):
    """What a submission is told whose unique key is held by another job."""

    RETURN = "return"
    """That job, and nothing is stored."""
    REJECT = "reject"
    """A refusal."""
    REPLACE = "replace"
    """Nothing: that job is cancelled if it waits, and the new one takes its place."""


class Unique(msgspec.Struct, frozen=True, omit_defaults=True):
    """The unique key of a job.

    Attributes:
      until_us: for how long after its creation the job holds it, in microseconds; None: until it is final.
      until_started: or until it is started for the first time, if that is sooner; not with ``until_us``.
    """

    key: str
    until_us: int | None = None
    until_started: bool = False

    @property
    def name(self) -> str:
        return _name("u", self.key)


class Idempotency(msgspec.Struct, frozen=True):
    """The idempotency key of a request.

    Attributes:
      digest: of the whole request; another one under the same key is another request.
      keep_us: for how long the key is kept after its first use, in microseconds.
      item: place of the job in a request for many, from 0; None where the request is for one.
      also: digests under which the same request may have been kept: with another encryption key, or without any.
    """

    key: str
    digest: bytes
    keep_us: int
    item: int | None = None
    also: tuple[bytes, ...] = ()

    def is_same(self, digest: bytes | None) -> bool:
        """Whether ``digest`` is that of this request."""
        return digest == self.digest or digest in self.also

    @property
    def name(self) -> str:
        """Under which the request is kept."""
        return _name("i", self.key)

    @property
    def item_name(self) -> str:
        """Under which this job of it is kept; the same where it is for one."""
        return self.name if self.item is None else _name(f"i{self.item}", self.key)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What a submission asks for by keys; at least one of them.

    Attributes:
      derived: the unique key is made of the payload, as the handler of its type wishes.
      sequence: the sequence that it is to be in.
    """

    unique: Unique | None = None
    derived: bool = False
    on_conflict: OnConflict = OnConflict.RETURN
    idempotency: Idempotency | None = None
    sequence: str | None = None

    def names(self) -> list[str]:
        """Return the names of all keys that have to be looked at."""
        found = [] if self.unique is None else [self.unique.name]
        if self.idempotency is not None:
            found += {self.idempotency.name, self.idempotency.item_name}
        if self.sequence is not None:
            found.append(sequence_name(self.sequence))
        return found


def sequence_name(sequence: str) -> str:
    """Return the name under which the last job of a sequence is kept."""
    return _name("s", sequence)


def of_sequence(name: str) -> bool:
    """Whether it is such a name."""
    return name.startswith(("s:", "s#"))


def _name(kind: str, key: str) -> str:
    """Return the name for ``key``: readable if it fits, otherwise what stands for it. ``kind`` holds no ":" or "#"."""
    name = f"{kind}:{key}"
    return name if len(name.encode()) <= MAX_NAME_BYTES else f"{kind}#{hashlib.sha256(key.encode()).hexdigest()}"
