"""What may be changed about a job, and what it tells of the times that it was started over. Pure.

An ``Edit`` says only what is to be different; ``jobs.redriven`` makes the job of it where one is started over,
``editing.edited`` where one waits or runs. What a value may be is checked where it comes in, as in a submission.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from tickr.envelopes import is_sealed, key_of, lacking, name_of, same_text
from tickr.errors import CannotOpen
from tickr.retry import Backoff

if TYPE_CHECKING:
    from tickr.jobs import Job

NO_LABELS = "{}"
"""What ``Edit.labels`` is where there shall be none any more."""
NEVER = 0
"""What ``Edit.expires_at`` is where the job shall not expire any more."""


class Edit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The fields that are to be different; None leaves one as it is.

    Attributes:
      payload, labels: JSON text, as on the job; the payload an envelope where the node that took it has keys.
      others: envelopes of the same under the other keys of that node, by the keys' ids: each job keeps its key.
      place: what these envelopes and signatures belong to, see ``Extras.place``.
      signed: signatures of the queue and of the payload, where the node that took it signs.
      delay_us: due so long from now; ``run_at``: due then. At most one of them; without either a job that is started
        over is due at once.
      expires_in_us: expires so long from now; ``expires_at``: then. At most one of them.
    """

    payload: str | None = None
    others: Mapping[str, str] = {}
    place: str | None = None
    signed: tuple[str | None, str | None] = (None, None)
    queue: str | None = None
    priority: int | None = None
    max_attempts: int | None = None
    timeout_us: int | None = None
    backoff: Backoff | None = None
    labels: str | None = None
    limit_key: str | None = None
    delay_us: int | None = None
    run_at: int | None = None
    expires_in_us: int | None = None
    expires_at: int | None = None

    def fields(self, now: int) -> dict[str, Any]:
        """Return the fields of a job that this sets at ``now``, microseconds UTC, by their names in the record."""
        set_: dict[str, Any] = {
            name: value for name in _PLAIN if (value := getattr(self, name)) is not None and name != "labels"
        }
        if self.labels is not None:
            set_["labels"] = None if self.labels == NO_LABELS else self.labels
        if self.run_at is not None or self.delay_us is not None:
            set_["run_at"] = self.run_at if self.run_at is not None else now + (self.delay_us or 0)
        return set_

    def expiry(self, kept: int | None, now: int) -> int | None:
        """Return when a job expires that expired at ``kept`` so far; None: never."""
        if self.expires_in_us is not None:
            return now + self.expires_in_us
        return kept if self.expires_at is None else self.expires_at or None

    def payload_for(self, key: str | None) -> str:
        """Return the payload for a job that is encrypted with ``key``; None: for one that is plain.

        Raises: CannotOpen: it is not there under that key. It is never given in the clear to a job that is encrypted.
        """
        assert self.payload is not None, "only asked for where there is one"
        if key is None or (is_sealed(self.payload) and key_of(self.payload) == key):
            return self.payload
        if key not in self.others:
            raise CannotOpen(lacking(key), key=name_of(key))
        return self.others[key]

    def given_to(self, job: Job, now: int) -> tuple[Job, dict[str, Any]]:
        """Return ``job`` with the key of what this gives it, and the fields that are set; see ``fields``.

        A job that is encrypted keeps its key; a plain one has that of its new payload, if that is encrypted.
        Raises: CannotOpen: the payload is not there under the job's key.
        """
        edited, job = self.fields(now), self._moved(job)
        extras, signed = job.extras, job.extras.signed
        if self.payload is None:
            return job, edited
        edited["payload"] = payload = self.payload_for(extras.sealed)
        if same_text(payload, job.payload):
            return job, edited | {"payload": job.payload}
        sealed = key_of(payload) if is_sealed(payload) else None
        if sealed != extras.sealed:  # what it has said so far is not encrypted, and of the time before
            job = msgspec.structs.replace(job, progress=None)
        place = None if self.place == job.id and extras.schedule is None else self.place
        if signed is not None:
            signed = msgspec.structs.replace(signed, payload=self.signed[1] or "")
        mended = extras.parent is not None
        extras = msgspec.structs.replace(extras, sealed=sealed, place=place, signed=signed, mended=mended)
        return msgspec.structs.replace(job, extras=extras), edited

    def _moved(self, job: Job) -> Job:
        """Return ``job`` with the signature of the queue that this gives it, if it is signed at all."""
        signed = job.extras.signed
        if signed is None or self.queue in (None, job.queue):
            return job
        signed = msgspec.structs.replace(signed, queue=self.signed[0] or "", moved_by=self.place)
        return msgspec.structs.replace(job, extras=msgspec.structs.replace(job.extras, signed=signed))

    def same(self, other: Edit) -> bool:
        """Whether ``other`` sets the same, however often it was encrypted."""
        with_ours = msgspec.structs.replace(
            other, payload=self.payload, others=self.others, place=self.place, signed=self.signed
        )
        if self != with_ours or (self.payload is None) != (other.payload is None):
            return False
        ours, theirs = self._envelopes(), other._envelopes()
        return any(same_text(ours[key], theirs[key]) for key in ours.keys() & theirs.keys())

    def _envelopes(self) -> dict[str, str]:
        """Return the payload, or that there is none, by the key that it is encrypted with; "" for none."""
        payload = self.payload or ""
        return {key_of(payload) if is_sealed(payload) else "": payload, **self.others}

    def named(self) -> Iterator[tuple[str, str]]:
        """Yield what is set: its name as the outside has it, and that in the record of a job."""
        for name, told in _PLAIN.items():
            if getattr(self, name) is not None:
                yield told, name
        if self.run_at is not None or self.delay_us is not None:
            yield "run_at", "run_at"

    def different(self, job: Job, edited: Mapping[str, Any], now: int) -> tuple[str, ...]:
        """Return the names of the fields that are others than those of ``job``; ``edited`` as ``given_to`` has it."""
        names = [name for name, field in self.named() if edited[field] != getattr(job, field)]
        expires_at = job.extras.expires_at
        return (*names, "expires_at") if self.expiry(expires_at, now) != expires_at else tuple(names)


_PLAIN = {
    "payload": "payload",
    "queue": "queue",
    "priority": "priority",
    "max_attempts": "max_attempts",
    "timeout_us": "timeout",
    "backoff": "backoff",
    "labels": "labels",
    "limit_key": "limit_key",
}
"""The fields that a job has under the same name, and what they are called outside."""

NO_EDIT = Edit()
EDITABLE = (
    *("max_attempts", "timeout_us", "backoff", "labels", "payload", "limit_key"),
    "progress",
)
"""Columns that an edit may change beside those of every move."""

MAX_REDRIVES = 20
"""Of so many redrives, the last ones, a job tells."""


class Redrive(msgspec.Struct, frozen=True, array_like=True):
    """One time that a job was started over.

    Attributes:
      life: number of the life that began with it; the first redrive begins the second.
      at: instant, microseconds UTC.
      fence: the attempts of the lives before it have fences up to this.
      changed: names of the fields that were changed with it.
      operation: id of the operation that did it, if one did.
    """

    life: int
    at: int
    fence: int
    changed: tuple[str, ...] = ()
    operation: str | None = None
