"""Reseals: the part of the vault that gives what is stored another key, its first one. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tickr.ciphers import Field, Key
from tickr.envelopes import Seal, is_sealed
from tickr.job_log import LogPart
from tickr.jobs import Attempt, Job, Progress
from tickr.reasons import Failure
from tickr.signing import Signer, subject_of


class Reseals:
    """What ``Vault`` does with texts that have another key than its first. Needs what it has beside this."""

    signer: Signer
    _first: Key | None

    def _open(self, envelope: str, field: Field, subject: str) -> str:
        raise NotImplementedError

    def _seal_payload(self, first: Key, text: str, subject: str) -> tuple[str, Seal]:
        raise NotImplementedError

    def open_payload(self, job: Job) -> Job:
        raise NotImplementedError

    def reseal_job(self, job: Job) -> Job:
        """Return ``job`` with all that is sealed of it sealed with the first key. Raises: CannotOpen."""
        first, progress, subject = self._first, job.progress, subject_of(job, job.extras.place)
        if first is None or job.extras.sealed in (None, first.id):
            return job
        payload, _ = self._seal_payload(first, self._open(job.payload, "payload", subject), subject)
        if progress is not None:
            message = None if progress.message is None else self._again(progress.message, "note", job.id)
            data = None if progress.data is None else self._again(progress.data, "data", job.id)
            progress = Progress(progress.fraction, message, data)
        return msgspec.structs.replace(
            job,
            payload=payload,
            result=None if job.result is None else self._again(job.result, "result", job.id),
            error=self._reseal_failure(job.error, job.id),
            progress=progress,
            extras=msgspec.structs.replace(job.extras, sealed=first.id),
        )

    def resign_job(self, job: Job) -> Job:
        """Return ``job`` signed with the first key, if it is signed as it is. Raises: CannotOpen, BadSignature."""
        signed = self.signer.resigned(self.open_payload(job))
        return msgspec.structs.replace(job, extras=msgspec.structs.replace(job.extras, signed=signed))

    def reseal_attempt(self, attempt: Attempt, job_id: str) -> Attempt:
        """Raises: CannotOpen."""
        return msgspec.structs.replace(attempt, error=self._reseal_failure(attempt.error, job_id))

    def reseal_checkpoint(self, text: str | None, job: Job) -> str | None:
        """Return what ``job``, as it was read, has kept, sealed with the first key. Raises: CannotOpen."""
        return text if text is None or not is_sealed(text) else self._again(text, "checkpoint", job.id)

    def reseal_log(self, parts: Sequence[LogPart], job_id: str) -> list[LogPart]:
        """Return those of ``parts`` that are sealed, sealed with the first key. Raises: CannotOpen."""
        return [
            msgspec.structs.replace(part, messages=self._again(part.messages, "log", job_id))
            for part in parts
            if is_sealed(part.messages)
        ]

    def _reseal_failure(self, failure: Failure | None, job_id: str) -> Failure | None:
        if failure is None or failure.sealed is None:
            return failure
        return msgspec.structs.replace(failure, sealed=self._again(failure.sealed, "error", job_id))

    def _again(self, envelope: str, field: Field, subject: str) -> str:
        assert self._first is not None, "a vault without keys reseals nothing"
        return self._first.seal(self._open(envelope, field, subject), field, subject)
