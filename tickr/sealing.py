"""Sealing: how what users say in a job is encrypted and compressed, and read again. The one place for it. Pure.

A ``Vault`` has the keys of a node. What comes in from outside is sealed on its way to the store (``seal_new``,
``seal_edit`` in the intake, ``seal_put`` in the timetable), what comes of an attempt on its way there
(``seal_outcome``, ``seal_note`` …); it is opened for the handler (``open_payload``) and for whoever asks for it in so
many words (``open_job`` …). A job has one key from its submission on, ``Extras.sealed``: all that is sealed of it is
sealed with that one, so that whoever may run it can also say how it went. A text that is sealed (an *envelope*) is no
JSON, so nothing plain is taken for one:

    tickr1:<id of the key>:<print>:<base64 of nonce, ciphertext and tag>

It opens in its place alone: the job and the field are authenticated with it (AES-256-GCM). The *print*, an HMAC of job
and text, lets a submission that comes again be known for the same without being read; no hash of a text is kept.

Where it is asked for jobs are signed besides, encrypted or not: ``signing.py``. Long payloads and results are stored
compressed where that is configured: ``packing.py``.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

from tickr.ciphers import Field, Key, parts
from tickr.config import Config
from tickr.edits import Edit
from tickr.envelopes import Seal, is_sealed, key_of, lacking, name_of
from tickr.errors import BatchTooLarge, CannotOpen
from tickr.events import Event
from tickr.job_log import LogPart
from tickr.jobs import NO_EXTRAS, Attempt, Job, NewJob, Progress
from tickr.keys import Idempotency, Wish
from tickr.operations import Operation
from tickr.packing import is_packed, packed, unpacked
from tickr.reasons import SEALED, Failure, is_own
from tickr.reports import Checkpoint, Lines, Note, Outcome
from tickr.reseals import Reseals
from tickr.schedule_moves import Put
from tickr.schedules import Schedule
from tickr.signing import Signer, place_of, subject_of, template

MAX_EDIT_BYTES = 4 * 1024 * 1024
"""How large the new payload of an operation may be, under all keys together."""

NO_SIGNER = Signer()

_JSON = msgspec.json.Encoder().encode
_decode_failure = msgspec.json.Decoder(tuple[str | None, str | None]).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class Vault(Reseals):
    """The keys of one node: the first seals, all open. Without any, nothing is encrypted.

    Args:
      keys: ``(name, base64 of 32 bytes)``, as the configuration has checked them.
      signer: signs what comes in, and says what may be run.
      compress_above: payloads and results with more bytes are stored compressed; None: none is. To read what others
        have compressed nothing is needed.
    Attributes:
      ids: of all its keys. ordered: the same, that which seals before the others.
    """

    def __init__(
        self, keys: Sequence[tuple[str, str]] = (), compress_above: int | None = None, signer: Signer = NO_SIGNER
    ) -> None:
        made = [Key(name, secret, compress_above) for name, secret in keys]
        self._above = compress_above
        self.signer = signer
        self._first = made[0] if made else None
        self._keys = {key.id: key for key in made}
        self.ordered = tuple(self._keys)
        self.ids = frozenset(self._keys)

    @property
    def first(self) -> str | None:
        """The id of the key that seals; None: there is none."""
        return None if self._first is None else self._first.id

    # -- what comes from outside --------------------------------------------------------------------------------------

    def seal_new(self, new: NewJob, *, sign: bool = True) -> NewJob:
        """Return ``new`` as it is to be stored: signed and sealed, if there are keys, with what it asks for by keys.

        Args:
          sign: False: nobody has said who has submitted it, or it has been signed.
        """
        if sign:
            new = self.signer.signed(new, new.id)
        if new.extras.sealed is not None:
            return new
        if self._first is None:
            payload = packed(new.payload, self._above)
            return new if payload is new.payload else msgspec.structs.replace(new, payload=payload)
        payload, seal = self._seal_payload(self._first, new.payload, new.id)
        extras = msgspec.structs.replace(new.extras, sealed=self._first.id)
        wish = new.wish if new.wish is None else self._seal_wish(new.wish, new.type)
        if wish is not None and wish.unique is not None:
            extras = msgspec.structs.replace(extras, unique=wish.unique)
        return msgspec.structs.replace(new, payload=payload, extras=extras, seal=seal, wish=wish)

    def seal_all(self, new: Sequence[NewJob], *, sign: bool = True) -> Sequence[NewJob]:
        """Return ``new`` as they are to be stored; the very same if nothing is configured."""
        if self._first is None and self._above is None and not (sign and self.signer.signs):
            return new
        return [self.seal_new(one, sign=sign) for one in new]

    def mark(self, text: bytes) -> str:
        """Return what tells ``text`` from others, in hexadecimal digits; whoever has no key cannot guess it by that.

        It is the same on all nodes with the same keys, in whatever order they have them.
        """
        if not self._keys:
            return hashlib.sha256(text).hexdigest()
        return hmac.digest(self._keys[min(self._keys)].requests, text, "sha256").hex()

    def mark_declared(self, text: bytes) -> str:
        """Return ``mark``, another one where what is declared is signed: so it is declared anew then."""
        return self.signer.mark(self.mark(text))

    def _seal_wish(self, wish: Wish, type: str) -> Wish:
        """Keep nothing of a payload in a unique key, and no plain hash of a request.

        The digest of a request is an HMAC then, told from those under the other keys as well.
        """
        if wish.unique is not None and wish.derived:
            key = f"{type}#{self.mark(wish.unique.key.encode())}"
            wish = msgspec.structs.replace(wish, unique=msgspec.structs.replace(wish.unique, key=key), derived=False)
        asked = wish.idempotency
        if asked is None:
            return wish
        digests = [hmac.digest(key.requests, asked.digest, "sha256") for key in self._keys.values()]
        sealed = Idempotency(asked.key, digests[0], asked.keep_us, asked.item, (*digests[1:], asked.digest))
        return msgspec.structs.replace(wish, idempotency=sealed)

    def seal_put(self, put: Put) -> Put:
        """Return ``put`` with its template signed and sealed, and nothing of that in what its owner has written."""
        put = msgspec.structs.replace(put, job=self.signer.signed(put.job, template(put.name)))
        if self._first is None:
            return put
        payload, seal = self._seal_payload(self._first, put.job.payload, template(put.name))
        extras = msgspec.structs.replace(put.job.extras, sealed=self._first.id)
        given = _fields(put.given)
        given.pop("payload", None)
        job = msgspec.structs.replace(put.job, payload=payload, extras=extras)
        return msgspec.structs.replace(put, job=job, given=_JSON(given).decode(), seal=seal)

    def seal_edit(self, edit: Edit, place: str) -> Edit:
        """Return ``edit`` as it is to be stored: signed, its payload under every key, as its jobs have one already.

        Args:
          place: who changes it: the id of the job, or what stands for an operation.
        """
        edit = self.signer.signed_edit(edit, place)
        if edit.payload is None or is_sealed(edit.payload):
            return edit
        if self._first is None:
            return msgspec.structs.replace(edit, payload=packed(edit.payload, self._above))
        digest = hashlib.sha256(edit.payload.encode()).digest()
        made = {
            key.id: key.seal(edit.payload, "payload", place, key.print_of(place, digest)) for key in self._keys.values()
        }
        return msgspec.structs.replace(edit, payload=made.pop(self._first.id), others=made, place=place)

    def seal_operation(self, operation: Operation) -> Operation:
        """Return ``operation`` as it is to be stored. Raises: BatchTooLarge: with so many keys its payload is that."""
        edit = self.seal_edit(operation.edit, place_of(operation.id, operation.which.types))
        size = sum(map(len, [edit.payload or "", *edit.others.values()]))
        if edit.others and size > MAX_EDIT_BYTES:
            raise BatchTooLarge(size, MAX_EDIT_BYTES)
        return msgspec.structs.replace(operation, edit=edit)

    def open_edit(self, edit: Edit) -> Edit:
        """Return ``edit`` with its payload readable. Raises: CannotOpen."""
        if edit.payload is None:
            return edit
        if edit.place is None or not is_sealed(edit.payload):
            return msgspec.structs.replace(edit, payload=unpacked(edit.payload))
        envelopes = [edit.payload, *edit.others.values()]
        envelope = next((one for one in envelopes if key_of(one) in self._keys), edit.payload)
        return msgspec.structs.replace(edit, payload=self._open(envelope, "payload", edit.place), others={}, place=None)

    def _seal_payload(self, first: Key, text: str, subject: str) -> tuple[str, Seal]:
        digest = hashlib.sha256(text.encode()).digest()
        prints = {key.id: key.print_of(subject, digest) for key in self._keys.values()}
        return first.seal(text, "payload", subject, prints[first.id]), Seal(digest, prints)

    # -- what comes of attempts ---------------------------------------------------------------------------------------

    def seal_outcome(self, outcome: Outcome) -> Outcome:
        """Return ``outcome`` as it is to be stored: of an encrypted job the result, and what the handler's error says.

        Raises: CannotOpen: the job's key is not here; whoever has claimed the job has it.
        """
        if outcome.job.extras is NO_EXTRAS and self._above is None:
            return outcome  # as most are
        outcome = self.signer.signed_outcome(outcome)
        job, result, failure = outcome.job, outcome.result, outcome.failure
        if job.extras.sealed is None:
            if result is None or self._above is None:
                return outcome
            return msgspec.structs.replace(outcome, result=packed(result, self._above))
        if result is not None and not is_sealed(result):
            result = self._key(job.extras.sealed).seal(result, "result", job.id)
        if failure is not None:
            failure = self._seal_failure(failure, job, own=is_own(failure.kind))
        return msgspec.structs.replace(outcome, result=result, failure=failure)

    def seal_said(self, failure: Failure, job: Job) -> Failure:
        """Return ``failure``, of a kind that a remote worker has chosen, with all of it sealed. Raises: CannotOpen."""
        return failure if job.extras.sealed is None else self._seal_failure(failure, job, own=False)

    def _seal_failure(self, failure: Failure, job: Job, *, own: bool) -> Failure:
        """Seal what the user's code has said; Tickr's own sentences stay readable. Raises: CannotOpen."""
        if failure.sealed is not None or (own and failure.traceback is None):
            return failure
        said = _JSON((None if own else failure.message, failure.traceback)).decode()
        envelope = self._key(job.extras.sealed or "").seal(said, "error", job.id)
        return Failure(failure.kind, failure.message if own else SEALED, None, envelope)

    def seal_note(self, note: Note) -> Note:
        """Return ``note`` as it is to be stored: what it says is sealed, how far it is is not. Raises: CannotOpen."""
        job, message, data = note.job, note.message, note.data
        if job.extras.sealed is None or (message is None and data is None):
            return note
        key = self._key(job.extras.sealed)
        return msgspec.structs.replace(
            note,
            message=message if message is None or note.kind == "emitted" else key.seal(message, "note", job.id),
            data=None if data is None else key.seal(data, "data", job.id),
        )

    def seal_lines(self, lines: Lines) -> Lines:
        """Return ``lines`` as they are to be stored: when they were said stays readable. Raises: CannotOpen."""
        job, part = lines.job, lines.part
        if job.extras.sealed is None:
            return lines
        messages = self._key(job.extras.sealed).seal(part.messages, "log", job.id)
        return msgspec.structs.replace(lines, part=msgspec.structs.replace(part, messages=messages))

    def seal_checkpoint(self, checkpoint: Checkpoint) -> Checkpoint:
        """Return ``checkpoint`` as it is to be stored. Raises: CannotOpen."""
        job = checkpoint.job
        if job.extras.sealed is None:
            return checkpoint
        value = self._key(job.extras.sealed).seal(checkpoint.value, "checkpoint", job.id)
        return msgspec.structs.replace(checkpoint, value=value)

    # -- reading ------------------------------------------------------------------------------------------------------

    def open_payload(self, job: Job) -> Job:
        """Return ``job`` with its payload in the clear. Raises: CannotOpen."""
        if job.extras.sealed is None:
            return self.unpack_job(job)
        return msgspec.structs.replace(
            job, payload=self._open(job.payload, "payload", subject_of(job, job.extras.place))
        )

    def open_to_run(self, job: Job) -> Job:
        """Return ``job`` with its payload for its handler, if it may be run here. Raises: CannotOpen, BadSignature."""
        opened = self.open_payload(job)
        self.signer.check(opened)
        return opened

    def open_job(self, job: Job) -> Job:
        """Return ``job`` with all of it readable. Raises: CannotOpen."""
        if job.extras.sealed is None:
            return self.unpack_job(job)
        progress = job.progress
        if progress is not None:
            message = None if progress.message is None else self._open(progress.message, "note", job.id)
            data = None if progress.data is None else self._open(progress.data, "data", job.id)
            progress = Progress(progress.fraction, message, data)
        return msgspec.structs.replace(self.open_payload(self.open_end(job)), progress=progress)

    def open_end(self, job: Job) -> Job:
        """Return ``job`` with how it has ended readable: the result, or why there is none. Raises: CannotOpen."""
        if job.extras.sealed is None:
            return self.unpack_job(job)
        result = None if job.result is None else self._open(job.result, "result", job.id)
        return msgspec.structs.replace(job, result=result, error=self.open_failure(job.error, job.id))

    def unpack_job(self, job: Job) -> Job:
        """Return ``job`` with nothing compressed; what is encrypted stays so. Raises: CannotOpen: it was damaged."""
        if not (is_packed(job.payload) or is_packed(job.result)):
            return job
        return msgspec.structs.replace(job, payload=unpacked(job.payload), result=unpacked(job.result))

    def open_attempt(self, attempt: Attempt, job_id: str) -> Attempt:
        """Raises: CannotOpen."""
        return msgspec.structs.replace(attempt, error=self.open_failure(attempt.error, job_id))

    def open_checkpoint(self, text: str | None, job: Job) -> str | None:
        """Return what an attempt of ``job`` has kept, for the next one. Raises: CannotOpen."""
        return text if text is None or not is_sealed(text) else self._open(text, "checkpoint", job.id)

    def open_log(self, part: LogPart, job_id: str) -> LogPart:
        """Raises: CannotOpen."""
        if not is_sealed(part.messages):
            return part
        return msgspec.structs.replace(part, messages=self._open(part.messages, "log", job_id))

    def open_failure(self, failure: Failure | None, job_id: str) -> Failure | None:
        """Raises: CannotOpen."""
        if failure is None or failure.sealed is None:
            return failure
        message, traceback = _decode_failure(self._open(failure.sealed, "error", job_id))
        told = failure.message if message is None else failure.message.replace(SEALED, message, 1)
        return Failure(failure.kind, told, traceback)

    def open_schedule(self, schedule: Schedule) -> Schedule:
        """Return ``schedule`` as its owner has written it. Raises: CannotOpen."""
        job = schedule.job
        if job.extras.sealed is None:
            return schedule
        payload = self._open(job.payload, "payload", template(schedule.name))
        given = {**_fields(schedule.given), "payload": msgspec.Raw(payload.encode())}
        job = msgspec.structs.replace(job, payload=payload)
        return msgspec.structs.replace(schedule, job=job, given=_JSON(given).decode())

    def open_event(self, event: Event) -> Event:
        """Return ``event`` with what it tells readable. Raises: CannotOpen."""
        if event.sealed is None:
            return (
                event if not is_packed(event.result) else msgspec.structs.replace(event, result=unpacked(event.result))
            )
        result, message = event.result, event.message
        if result is not None and event.note:
            message, result = self._open_note(result, message, event.job)
        elif result is not None:
            result = self._open(result, "result", event.job)
        error = self.open_failure(event.error, event.job)
        return msgspec.structs.replace(event, result=result, message=message, error=error)

    def _open_note(self, told: str, message: str | None, job_id: str) -> tuple[str | None, str | None]:
        """Return the message and the data of a note, which ``events.of_note`` has put where they are."""
        if message is None:
            return self._open(told, "note", job_id), None
        words = self._open(message, "note", job_id) if is_sealed(message) else message or None
        return words, self._open(told, "data", job_id)

    def _open(self, envelope: str, field: Field, subject: str) -> str:
        key_id, body = parts(envelope)
        return self._key(key_id).open(body, field, subject)

    def _key(self, key_id: str) -> Key:
        key = self._keys.get(key_id)
        if key is None:
            raise CannotOpen(lacking(key_id), key=name_of(key_id))
        return key


def vault_of(config: Config) -> Vault:
    """Return the vault of a node with this configuration."""
    signer = Signer(config.signing_keys or (), only=config.signed_only)
    return Vault(config.encryption_keys or (), config.compress_above, signer)


NO_VAULT = Vault()
"""For nodes without keys."""
