"""``tickr submit --watch``: from the submission of a job to its end, told as it happens.

Comes in: the body of the submission. Goes out: an exit code that says how the job ended. The subscription is opened
first and the job's id was chosen by the client, so nothing that happens to the job is missed, however soon it ends.
Where the answer is about another job, as the keys of a submission may have it, that one is followed from then on.
"""

from __future__ import annotations

import click
import msgspec

from tickr.cli import screen
from tickr.cli.audience import Audience
from tickr.cli.exits import INTERRUPTED, Exit
from tickr.cli.patience import OUTCOMES
from tickr.cli.remote import Refused, Remote, Unanswered
from tickr.cli.remote_records import Answer, RemoteJob
from tickr.cli.subscription import RemoteEvent, Sign, Subscription, Told

_NULL = msgspec.Raw(b"null")


class Follower:
    """Follows one job, once.

    Args:
      job_id: of the job that is to be submitted; None if the server makes it, under an ``idempotency_key``.
      where: flags that name the server, for what a person is told to type next.
      idempotency_key: as its header has it.
    """

    def __init__(
        self,
        remote: Remote,
        job_id: str | None,
        audience: Audience,
        where: str = "",
        idempotency_key: str | None = None,
    ) -> None:
        self._remote = remote
        self._job_id = job_id or ""
        self._audience = audience
        self._where = where
        self._key = idempotency_key
        self._feed = self._of_job()
        self._submitting = self._submitted = False
        self._gap = False
        self._untold = False

    def run(self, body: bytes) -> int:
        """Submit the job that ``body`` describes, and return the exit code of its outcome.

        Raises: Exit: it was refused, or nobody answers; also after Ctrl-C, which leaves the job alone.
        """
        try:
            with self._audience:
                job = self._to_its_end(body)
                if self._untold:
                    job = self._with_result(job)
        except KeyboardInterrupt:
            click.echo(self._farewell(), err=True)
            raise Exit("", INTERRUPTED) from None
        self._audience.end(job)
        return OUTCOMES[job.state]

    def _of_job(self) -> Subscription:
        return Subscription(self._remote, {"job": [self._job_id]}, if_expired=None)

    def _submit(self, body: bytes) -> Answer:
        """Hand the job in, and return the one to follow, to whose events the feed is open."""
        if self._job_id:
            self._feed.open()
        self._submitting = True
        answer = self._remote.submit(body, self._job_id or None, self._key)
        self._submitted = True
        if answer.job.id == self._job_id.lower():
            return answer
        if answer.held:
            click.echo(screen.held(answer.job), err=True)
        self._job_id = answer.job.id
        self._feed = self._of_job()
        self._feed.open()
        return self._remote.job(self._job_id)  # as it is now: the answer may be older than the feed's beginning

    def _to_its_end(self, body: bytes) -> RemoteJob:
        answer = self._submit(body)
        self._audience.whole(answer)
        job, items = answer.job, iter(self._feed)
        while job.state not in OUTCOMES:
            item = next(items)
            if isinstance(item, Told):
                job = after(job, item.event)
                self._untold = item.event.data.result_bytes > 0
                self._audience.told(item, job)
            elif item is Sign.QUIET:
                job = self._look(job)
            else:
                self._gap = self._gap or item is Sign.MISSED
                self._audience.said(self._feed.words(item), lost=item is Sign.LOST)
        return job

    def _look(self, job: RemoteJob) -> RemoteJob:
        """Ask for what the feed does not tell: why the job waits; and, after a gap, how it is."""
        try:
            answer = self._remote.job(self._job_id)
        except Unanswered:
            return job
        except Refused as no:
            if no.status < 500:
                raise
            return job
        if self._gap:
            self._gap = False
            job = answer.job
            self._audience.whole(answer)
        # Without a gap the answer may be ahead of the events, but the notice is of no moment in particular.
        job = msgspec.structs.replace(job, notice=answer.job.notice)
        self._audience.noticed(job)
        return job

    def _with_result(self, job: RemoteJob) -> RemoteJob:
        try:
            return msgspec.structs.replace(job, result=self._remote.job(self._job_id).job.result)
        except Exit as no:
            click.echo(f"Its result is too long for the feed, and could not be asked for: {no.message}", err=True)
            return job

    def _farewell(self) -> str:
        if not self._submitting:
            return "Nothing was submitted."
        if not self._submitted and self._key:
            return "Whether the job is stored is not known; submit it again with the same --idempotency-key."
        if not self._submitted:
            return f"Whether the job is stored is not known; this tells: tickr show {self._job_id}{self._where}"
        place = f" --after {self._feed.cursor}" if self._feed.cursor else ""
        return f"The job goes on. To go on watching: tickr watch --job {self._job_id}{place}{self._where}"


def after(job: RemoteJob, event: RemoteEvent) -> RemoteJob:
    """Return ``job`` as it is after ``event``; an event that is older than what is known changes nothing."""
    data = event.data
    if data.job is None:
        return job
    if data.job.version is None:
        if data.progress is None or data.job.attempt != job.attempt:
            return job
        return _said(job, data.progress, data.message, data.data)
    if data.job.version <= job.version:
        return job
    job = msgspec.structs.replace(
        job,
        state=data.job.state,
        version=data.job.version,
        attempt=data.job.attempt,
        max_attempts=data.job.max_attempts,
        run_at=data.job.run_at,
        result=data.result,
        error=data.error,
        node=data.node if isinstance(data.node, str) else None,
        notice=None,
    )
    if event.what == "started":
        return _said(msgspec.structs.replace(job, started_at=event.time), None, None, _NULL)
    return msgspec.structs.replace(job, finished_at=event.time) if job.state in OUTCOMES else job


def _said(job: RemoteJob, fraction: float | None, message: str | None, data: msgspec.Raw) -> RemoteJob:
    return msgspec.structs.replace(job, progress=fraction, progress_message=message, progress_data=data)
