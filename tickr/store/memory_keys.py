"""The keys of the store in memory: a row by name, and what ``Store`` asks about them."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence

from tickr.edits import Edit
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob
from tickr.keys import Unique
from tickr.store import keys, links, sequences
from tickr.store.answers import Start
from tickr.store.keys import Admitted, Key
from tickr.store.memory_links import LinkTable


class KeyTable:
    """All keys. ``jobs``, ``links``: the store's own of all jobs by id, and of all links; only read here."""

    def __init__(self, jobs: Mapping[str, Job], links: LinkTable) -> None:
        self._jobs = jobs
        self._links = links
        self._rows: dict[str, Key] = {}
        self._look_at: dict[str, int] = {}

    def admit(self, new: Sequence[NewJob], now: int, *, whole: bool, start: Start | None) -> Admitted:
        """See ``Store.insert``. Writes the keys, and nothing else."""
        kept = self.rows(keys.names(new))
        ids = {one.id for one in new} | {key.job_id for key in kept.values()} | links.needed(new)
        stored = {id_: self._jobs[id_] for id_ in ids if id_ in self._jobs}
        waits = self._links.of(sequences.last_of(kept))
        admitted = keys.insert(new, stored, kept, now, whole=whole, start=start, waits=waits)
        self.write(admitted.keys)
        return admitted

    def redrive(self, job: Job, version: int | None, now: int, edit: Edit) -> Change:
        """See ``Store.redrive``. Writes the key of ``job``, and returns what is to be changed."""
        unique = keys.needs_key(job)
        row = self._rows.get(unique.name) if unique else None
        change, key = keys.redrive(job, version, row, self._jobs, now, edit)
        self.write([key] if key else [])
        return change

    def write(self, written: Iterable[Key]) -> None:
        for key in written:
            self._rows[key.name] = key
            self._look_at[key.name] = key.look_at

    def rows(self, names: Iterable[str]) -> dict[str, Key]:
        """Return the rows of ``names`` that there are, by name."""
        return {name: self._rows[name] for name in names if name in self._rows}

    def holder(self, unique: Unique, now: int) -> Job | None:
        """See ``Store.holder``."""
        return keys.holder(unique, self._rows.get(unique.name), self._jobs, now)

    def prune(self, limit: int, now: int) -> int:
        """See ``Store.prune_keys``."""
        due = ((at, name) for name, at in self._look_at.items() if at <= now)
        looked_at = [self._rows[name] for _, name in heapq.nsmallest(limit, due)]
        jobs = [job for key in looked_at if (job := self._jobs.get(key.job_id))]
        alive = {job.id for job in jobs if job.state not in FINAL or self._links.of([job.id])}
        gone, later = keys.sweep(looked_at, alive, now)
        for name in gone:
            del self._rows[name], self._look_at[name]
        self._look_at.update(later)
        return len(looked_at)
