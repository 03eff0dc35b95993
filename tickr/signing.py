"""Signing: what a job is to do is signed on its way in, and nothing else is run where that is asked for. Pure.

Whoever can write into the database can put jobs there, and without a key he can not sign them. Three things are
signed, each with what it belongs to: a job's type, its queue, and its payload (HMAC-SHA-256, ``Extras.signed``). They
belong to the job itself, or to the schedule that makes it; a queue or a payload that it was given later belongs to who
has given it: the job again, where it was started over, or the operation. Nothing is hidden: the payload stands in the
store as it is, or encrypted, and is signed as it was submitted in either case.

A ``Signer`` has the keys of a node; the vault (``sealing.py``) has it sign and check what it seals and opens.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Literal

import msgspec

from tickr.ciphers import derived, id_of
from tickr.edits import Edit
from tickr.envelopes import told
from tickr.errors import BadSignature
from tickr.extras import Signed
from tickr.jobs import Job, NewJob
from tickr.reports import Outcome

Part = Literal["type", "queue", "payload"]

SIGNATURE_BYTES = 16
OPERATION = "operation/"

_JSON = msgspec.json.Encoder().encode


class Signer:
    """The keys that a node signs with: the first signs, all are good.

    Args:
      keys: as for ``Vault``; without any nothing is signed.
      only: run nothing that is not signed with one of them.
    """

    def __init__(self, keys: Sequence[tuple[str, str]] = (), *, only: bool = False) -> None:
        made = [(id_of(name, raw := b64decode(secret)), derived(raw, "sign")) for name, secret in keys]
        self._keys = dict(made)
        self._first = made[0][0] if made else None
        self.only = only

    @property
    def signs(self) -> bool:
        return self._first is not None

    def mark(self, text: str) -> str:
        """Return ``text``, which tells something from others, as another one if it is signed here; of any order."""
        return text if not self._keys else _mac(self._keys[min(self._keys)], "mark", "", text)

    def signed(self, new: NewJob, subject: str) -> NewJob:
        """Return ``new``, whose payload is in the clear, with signatures for ``subject``: itself, or its schedule."""
        if self._first is None:
            return new
        parts: tuple[Part, ...] = ("type", "queue", "payload")
        signed = Signed(*[self._sign(part, subject, getattr(new, part)) for part in parts])
        return msgspec.structs.replace(new, extras=msgspec.structs.replace(new.extras, signed=signed))

    def signed_edit(self, edit: Edit, place: str) -> Edit:
        """Return ``edit``, whose payload is in the clear, with signatures for ``place``: who gives it to jobs."""
        if self._first is None or (edit.payload is None and edit.queue is None):
            return edit
        queue = None if edit.queue is None else self._sign("queue", place, edit.queue)
        payload = None if edit.payload is None else self._sign("payload", place, edit.payload)
        return msgspec.structs.replace(edit, place=place, signed=(queue, payload))

    def signed_outcome(self, outcome: Outcome) -> Outcome:
        """Return ``outcome`` with a signature of the queue that it puts its job into, if that is signed."""
        if self._first is None or outcome.queue is None or outcome.job.extras.signed is None:
            return outcome
        return msgspec.structs.replace(outcome, signature=self._sign("queue", outcome.job.id, outcome.queue))

    def _sign(self, part: Part, subject: str, text: str) -> str:
        assert self._first is not None, "who has no key signs nothing"
        return f"{self._first}:{_mac(self._keys[self._first], part, subject, text)}"

    def check(self, job: Job) -> None:
        """Return if ``job``, with its payload in the clear, may be run here. Raises: BadSignature."""
        if self.only:
            self._checked(job)

    def has_signed(self, signed: Signed | None) -> bool:
        """Whether all of that was signed with the first key; or nothing is signed."""
        return signed is None or all(
            one.rpartition(":")[0] == self._first for one in (signed.type, signed.queue, signed.payload)
        )

    def resigned(self, job: Job) -> Signed:
        """Return the signatures of ``job``, with its payload in the clear, with the first key. Raises: BadSignature."""
        signed = self._checked(job)
        return Signed(
            self._sign("type", origin_of(job), job.type),
            self._sign("queue", subject_of(job, signed.moved_by), job.queue),
            self._sign("payload", subject_of(job, job.extras.place), job.payload),
            signed.moved_by,
        )

    def _checked(self, job: Job) -> Signed:
        signed = job.extras.signed
        if signed is None:
            raise BadSignature("It is not signed, and signed jobs alone are run here (--signed-only).", key="")
        self._check(signed.type, "type", origin_of(job), job.type)
        self._check(signed.queue, "queue", subject_of(job, signed.moved_by), job.queue)
        self._check(signed.payload, "payload", subject_of(job, job.extras.place), job.payload)
        return signed

    def _check(self, signature: str, part: Part, subject: str, text: str) -> None:
        key_id, _, mac = signature.rpartition(":")
        name = key_id.rpartition(".")[0]
        if not key_id:
            raise BadSignature(f"Its {part} was changed by a node that does not sign.", key="")
        if key_id not in self._keys:
            lacking = f"Its {part} is signed with {told(key_id)}, which is not here: add it to TICKR_SIGNING_KEYS."
            raise BadSignature(lacking, key=name)
        if not hmac.compare_digest(_mac(self._keys[key_id], part, subject, text).encode(), mac.encode()):
            raise BadSignature(f"Its {part} was changed after it was signed, or is that of another job.", key=name)


def _mac(key: bytes, part: str, subject: str, text: str) -> str:
    made = hmac.new(key, _JSON((part, subject)) + b"\n", "sha256")  # JSON has no line break: nothing can be shifted
    made.update(text.encode())
    return urlsafe_b64encode(made.digest()[:SIGNATURE_BYTES]).decode().rstrip("=")


# -- what texts belong to ---------------------------------------------------------------------------------------------


def template(schedule: str) -> str:
    """Return what stands for the template of a schedule."""
    return f"schedule/{schedule}"


def place_of(operation: str, types: Sequence[str]) -> str:
    """Return what stands for an operation that is about jobs of ``types``; none: of all."""
    return "/".join([f"{OPERATION}{operation}", *([",".join(types)] if types else [])])


def origin_of(job: Job) -> str:
    """Return who made ``job``: its schedule, or else the job itself."""
    made_by = job.extras.schedule
    return job.id if made_by is None else template(made_by)


def subject_of(job: Job, place: str | None) -> str:
    """Return what a text of ``job`` belongs to.

    Args:
      place: who gave it the text, as is noted there; None: who made it. Somebody may have written that into the
        database as well, so of another job, or an operation that is not about its type, nothing is taken: then it is
        held to be the job's own, and is found not to be.
    """
    if place is None:
        return origin_of(job)
    id_, _, types = place.removeprefix(OPERATION).partition("/")
    is_meant = place.startswith(OPERATION) and id_ and (not types or job.type in types.split(","))
    return place if is_meant else job.id
