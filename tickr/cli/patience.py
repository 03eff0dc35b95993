"""``--wait`` of ``tickr submit`` and ``tickr show``: a job's end, or how it is when the time is over.

The server holds its answer back until the job has ended (``GET /jobs/<id>?wait=``), for a while at a time. Whoever does
not answer, or says "later", is asked again as long as there is time; who refuses is believed.
"""

from __future__ import annotations

import time

import click
from rich.console import Console, Group
from rich.text import Text

from tickr.cli import progress, screen
from tickr.cli.audience import picture
from tickr.cli.exits import CANCELLED, FAILED, INTERRUPTED, NOT_ENDED, Exit
from tickr.cli.remote import Refused, Remote, Unanswered
from tickr.cli.remote_records import Answer, RemoteJob

AT_A_TIME_S = 20.0
"""How long one request has the server wait, in seconds."""
WATCHED_S = 1.0
"""The same for the first one, which tells why the job waits, and for all where somebody sees how the job is."""
PAUSE_S = 1.0
"""Before the next try after one without an answer, or with one that came early, in seconds."""
OUTCOMES = {"succeeded": 0, "failed": FAILED, "cancelled": CANCELLED}
"""Exit code of each state that a job ends in."""


def wait_for(remote: Remote, job_id: str, seconds: float, where: str = "") -> Answer:
    """Return the job when it has ended, or as it is after ``seconds`` (may be infinite).

    Args:
      where: flags that name the server, for what a person is told to type next.
    Raises: Exit: it was refused; nobody answered at the end; Ctrl-C, which leaves the job alone.
    """
    sight = _Sight()
    try:
        with progress.showing(sight.picture):
            answer = _ended(remote, job_id, time.monotonic() + seconds, sight)
        sight.over(answer.job)
        return answer
    except KeyboardInterrupt:
        click.echo(f"The job goes on. To go on waiting: tickr show {job_id} --wait 1h{where}", err=True)
        raise Exit("", INTERRUPTED) from None


def _ended(remote: Remote, job_id: str, until: float, sight: _Sight) -> Answer:
    """Return the job when it has ended, or as it is at the instant ``until`` of the monotonic clock."""
    while True:
        began = time.monotonic()
        wait_s = min(sight.at_a_time_s, max(0.0, until - began))
        try:
            answer = remote.job(job_id, wait_s=wait_s)
        except (Unanswered, Refused) as no:
            if time.monotonic() >= until or (isinstance(no, Refused) and not _is_passing(no)):
                raise
            sight.lost(no.message)
        else:
            if answer.job.state in OUTCOMES or time.monotonic() >= until:
                return answer
            sight.seen(answer.job)
            if time.monotonic() - began >= wait_s:
                continue
        time.sleep(min(PAUSE_S, max(0.0, until - time.monotonic())))


class _Sight:
    """What is seen of the job meanwhile: on a terminal a picture, elsewhere a line for each new notice."""

    def __init__(self) -> None:
        self._is_shown = progress.is_shown()
        self._job: RemoteJob | None = None
        self._lost = ""
        self.at_a_time_s = WATCHED_S

    def seen(self, job: RemoteJob) -> None:
        if not self._is_shown:
            self.at_a_time_s = AT_A_TIME_S
            if job.notice and (self._job is None or self._job.notice != job.notice):
                click.echo(screen.harmless(job.notice), err=True)
        self._job, self._lost = job, ""

    def over(self, job: RemoteJob) -> None:
        """The picture is gone: say again what it has shown, if that is why the job has not ended."""
        if self._is_shown and job.notice:
            click.echo(screen.harmless(job.notice), err=True)

    def lost(self, why: str) -> None:
        self._lost = why

    def picture(self, console: Console) -> Group:
        width, ascii_only = console.width, console.options.ascii_only
        parts = picture(self._job, width=width, ascii_only=ascii_only) if self._job else [Text("waiting …", "dim")]
        return Group(*parts, *([Text(self._lost, "yellow")] if self._lost else []))


def _is_passing(no: Refused) -> bool:
    return no.status >= 500 or no.status == 429


def outcome(answer: Answer) -> int:
    """Return the exit code for a job that was waited for."""
    return OUTCOMES.get(answer.job.state, NOT_ENDED)
