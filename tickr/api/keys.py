"""Keys on the wire: ``Idempotency-Key``, ``unique`` and ``sequence`` on the way in, what came of them on the way out.

Pure. What is done about a key is decided where it is stored (``store/keys.py``); here it is read and told.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from tickr.api.call import Call
from tickr.api.problems import Problem
from tickr.intake import Stored
from tickr.jobs import Extras, NewJob
from tickr.keys import MAX_KEY_LENGTH, MAX_UNIQUE_S, Idempotency, OnConflict, Unique, Wish
from tickr.links import Sequence
from tickr.store.contract import Fate, Keyed
from tickr.worker.wishes import Unique as HandlersUnique

HEADER = "idempotency-key"
# A string of RFC 9651 in its quotes, as the draft of the header has it; or bare, as nearly everybody sends it.
_quoted = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"').fullmatch
_is_bare = re.compile(r"[!#-+\--:<-~]+").fullmatch


class UniqueWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The field ``unique`` of a submission. ``until`` in seconds."""

    key: Annotated[str, Meta(min_length=1, max_length=MAX_KEY_LENGTH)]
    until: Annotated[float, Meta(gt=0, le=MAX_UNIQUE_S)] | Literal["final", "started"] = "final"
    on_conflict: OnConflict = OnConflict.RETURN


RULE = (
    f'must be an object of key (1 to {MAX_KEY_LENGTH} characters), until ("final", "started", or a number of seconds '
    f'above 0, at most {MAX_UNIQUE_S / 86_400:g} days) and on_conflict ("return", "reject" or "replace"); only key is '
    "required"
)


# -- in ---------------------------------------------------------------------------------------------------------------


def request_of(call: Call, keep_s: float) -> Idempotency | None:
    """Return the idempotency key of ``call``, with what tells the request from others: its path and each byte of it.

    Raises: Problem (400): it is no key.
    """
    said = call.headers.get(HEADER)
    if said is None:
        return None
    digest = hashlib.sha256(b"%b\n%b" % (call.path.encode(), call.body)).digest()
    return Idempotency(_key(said.strip(), call.headers.count(HEADER)), digest, int(keep_s * 1_000_000))


def _key(said: str, count: int) -> str:
    quoted = _quoted(said)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else said
    if count > 1 or not 1 <= len(key) <= MAX_KEY_LENGTH or not (quoted or _is_bare(said)):
        detail = f"Idempotency-Key must be one key of 1 to {MAX_KEY_LENGTH} characters of ASCII, "
        detail += "in quotes, or bare and without blanks, quotes, commas and semicolons."
        raise Problem(400, "invalid_idempotency_key", detail)
    return key


def under(request: Idempotency, new: NewJob, item: int | None = None) -> NewJob:
    """Return ``new`` as submitted by ``request``; ``item``: its place in it, if that is for many."""
    wish, named = new.wish or Wish(), msgspec.structs.replace(request, item=item)
    return msgspec.structs.replace(new, wish=msgspec.structs.replace(wish, idempotency=named))


def wish_of(handler: HandlersUnique | None, new: NewJob) -> UniqueWish | None:
    """Return the unique key that the handler of ``new`` wishes for it, if it wishes for one."""
    if handler is None:
        return None
    return UniqueWish(handler.key_of(new.type, new.payload), handler.until, OnConflict(handler.on_conflict))


def held_by(said: UniqueWish, new: NewJob, *, derived: bool = False) -> NewJob:
    """Return ``new`` with the unique key that was ``said``; ``derived``: it is made of the payload."""
    unique = Unique(said.key, _us(said.until), until_started=said.until == "started")
    extras: Extras = msgspec.structs.replace(new.extras, unique=unique)
    return msgspec.structs.replace(
        new, extras=extras, wish=Wish(unique=unique, derived=derived, on_conflict=said.on_conflict)
    )


def in_sequence(name: str, new: NewJob) -> NewJob:
    """Return ``new`` as the next job of a sequence."""
    extras = msgspec.structs.replace(new.extras, sequence=Sequence(name))
    wish = msgspec.structs.replace(new.wish or Wish(), sequence=name)
    return msgspec.structs.replace(new, extras=extras, wish=wish)


def _us(until: float | str) -> int | None:
    return None if isinstance(until, str) else max(1, round(until * 1_000_000))


# -- out --------------------------------------------------------------------------------------------------------------


class Outcome(NamedTuple):
    """What is answered to a submission.

    Attributes:
      status: of HTTP.
      replayed: the job was stored before, or this was answered before.
      held: the job is another that holds the unique key; nothing was stored.
    """

    status: int
    replayed: bool
    held: bool = False

    def headers(self) -> dict[str, str]:
        told = {"idempotent-replayed": "true"} if self.replayed else {}
        return {**told, "tickr-unique": "held"} if self.held else told


CREATED, KNOWN = Outcome(201, False), Outcome(200, True)


def outcome(answer: Stored) -> Outcome:
    """Return what ``answer``, which is no refusal, is to a client."""
    if answer[1]:
        return CREATED
    if not isinstance(answer, Keyed) or answer.fate is Fate.SAME:
        return KNOWN
    if answer.fate is Fate.HELD:
        return Outcome(200, answer.replayed, held=True)
    return Outcome(201, answer.replayed)


def shown_at(answer: Stored) -> int | None:
    """Return the instant as of which the job of ``answer`` is shown: of an answer given again, when it was new."""
    first = isinstance(answer, Keyed) and answer.replayed and answer.fate is Fate.CREATED
    return answer[0].created_at if first else None
