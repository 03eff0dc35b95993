"""What jobs log in this process's memory: part of ``MemoryStore``."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from tickr.job_log import LogPart, LogPlace, PartSize, outgrown
from tickr.jobs import Job, State
from tickr.reports import Lines
from tickr.store import changes


class MemoryJobLog:
    """``JobLog`` of the contract, on a dict by the ids of the jobs."""

    _jobs: dict[str, Job]

    def __init__(self) -> None:
        super().__init__()
        self._logs: dict[str, dict[LogPlace, LogPart]] = {}

    async def keep_log(self, said: Sequence[Lines], *, bound: int) -> int:
        await trio.lowlevel.checkpoint()
        found = (self._jobs.get(one.job.id) for one in said)
        running = {job.id: changes.begun(job) for job in found if job is not None and job.state is State.RUNNING}
        kept = changes.of_running(said, running)
        for one in kept:
            self._logs.setdefault(one.job.id, {}).setdefault(one.part.place, one.part)
        for job_id in changes.to_trim(kept):
            log = self._logs[job_id]
            for gone in outgrown([_size(part) for part in log.values()], bound):
                del log[LogPlace(gone.fence, gone.last)]
        return len(kept)

    async def job_log(
        self, job_id: str, limit: int, *, after: LogPlace | None = None, attempt: int | None = None
    ) -> list[LogPart]:
        await trio.lowlevel.checkpoint()
        log = self._logs.get(job_id, {})
        places = (place for place in sorted(log) if after is None or place > after)
        return [log[place] for place in places if attempt in (None, log[place].attempt)][:limit]

    def _replace_log(self, job_id: str, parts: Sequence[LogPart]) -> None:
        log = self._logs.get(job_id, {})
        log.update({part.place: part for part in parts if part.place in log})

    def _forget_log(self, job_id: str) -> None:
        self._logs.pop(job_id, None)


def _size(part: LogPart) -> PartSize:
    return PartSize(part.fence, part.last, part.count, part.size)
