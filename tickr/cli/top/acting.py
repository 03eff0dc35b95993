"""What the keys of ``tickr top`` have done, and how the server's answer reads. Blocks."""

from __future__ import annotations

from urllib.parse import quote

from tickr.cli import changes, node_screen, schedule_screen, screen
from tickr.cli.exits import Exit
from tickr.cli.remote import Remote
from tickr.cli.remote_nodes import RemoteNodes
from tickr.cli.remote_schedules import RemoteSchedules
from tickr.cli.top.model import Act, Said, View


def do(remote: Remote, act: Act) -> Said:
    """Have ``act`` be done, and return the answer, be it yes or no."""
    try:
        return Said(_done(remote, act), True)
    except Exit as no:
        return Said(no.message, False)


def _done(remote: Remote, act: Act) -> str:
    if act.view is View.QUEUES:
        return screen.queue_line(remote.pause(act.id, act.word, None)[0]).plain
    if act.view is View.NODES:
        return node_screen.line(RemoteNodes(remote).tell(act.id, act.word).node).plain
    if act.view is View.JOBS:
        return f"{act.id}  {_to_job(remote, act)}"
    schedules = RemoteSchedules(remote)
    if act.word == "run":
        return f"made {screen.line(schedules.run(act.id).job).plain}"
    answer = schedules.pause(act.id) if act.word == "pause" else schedules.resume(act.id)
    return schedule_screen.line(answer.schedule).plain


def _to_job(remote: Remote, act: Act) -> str:
    if act.word == "cancel":
        return changes.cancelled(remote.cancel(act.id))
    if act.word == "retry":
        remote.retry(act.id)
        return "runs again"
    remote.done("DELETE", f"/jobs/{quote(act.id, safe='')}")
    return "deleted"
