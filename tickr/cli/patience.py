"""``--wait`` of ``tickr submit`` and ``tickr show``: a job's end, or how it is when the time is over.

The server holds its answer back until the job has ended (``GET /jobs/<id>?wait=``), for a while at a time. Whoever does
not answer, or says "later", is asked again as long as there is time; who refuses is believed.
"""

from __future__ import annotations

import time

import click

from tickr.cli.exits import CANCELLED, FAILED, INTERRUPTED, NOT_ENDED, Exit
from tickr.cli.remote import Refused, Remote, Unanswered
from tickr.cli.remote_records import Answer

AT_A_TIME_S = 20.0
"""How long one request has the server wait, in seconds."""
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
    until = time.monotonic() + seconds
    try:
        while True:
            began = time.monotonic()
            wait_s = min(AT_A_TIME_S, max(0.0, until - began))
            try:
                answer = remote.job(job_id, wait_s=wait_s)
            except (Unanswered, Refused) as no:
                if time.monotonic() >= until or (isinstance(no, Refused) and not _is_passing(no)):
                    raise
            else:
                if answer.job.state in OUTCOMES or time.monotonic() >= until:
                    return answer
                if time.monotonic() - began >= wait_s:
                    continue
            time.sleep(min(PAUSE_S, max(0.0, until - time.monotonic())))
    except KeyboardInterrupt:
        click.echo(f"The job goes on. To go on waiting: tickr show {job_id} --wait 1h{where}", err=True)
        raise Exit("", INTERRUPTED) from None


def _is_passing(no: Refused) -> bool:
    return no.status >= 500 or no.status == 429


def outcome(answer: Answer) -> int:
    """Return the exit code for a job that was waited for."""
    return OUTCOMES.get(answer.job.state, NOT_ENDED)
