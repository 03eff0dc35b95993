"""What keys make of submissions, computed from the rows and jobs that a store has read. Pure; shared by all adapters.

In come new jobs with their wishes, the jobs that are stored and the rows of the keys, locked; out go answers, changes
and rows to be written. Jobs of one batch are dealt with one after the other, each seeing what those before it did. Who
holds a unique key is decided here and nowhere else, when somebody asks for it: a job that ends does nothing about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from tickr import jobs, reasons
from tickr.edits import NO_EDIT, Edit
from tickr.errors import KeyReused, UniqueConflict
from tickr.events import Change
from tickr.jobs import FINAL, Job, NewJob, State
from tickr.keys import OnConflict, Unique, Wish, sequence_name
from tickr.links import Link
from tickr.store import changes, links
from tickr.store.answers import Fate, Keyed, Start
from tickr.store.key_rows import FIRST_LOOK_US
from tickr.store.key_rows import Key as Key
from tickr.store.link_answers import Refused
from tickr.store.sequences import Sequences


class Admitted(NamedTuple):
    """What comes of new jobs: the answers in order, the changes of one commit, and its rows of keys and links.

    ``links`` are new, and those of ``gone`` were taken over; the others may be there already.
    """

    answers: list[tuple[Job, bool]]
    changes: list[Change]
    keys: list[Key]
    links: list[Link]
    gone: list[Link]


def names(new: Iterable[NewJob]) -> list[str]:
    """Return the names of all keys in the wishes of ``new``, sorted, each once: the order in which rows are locked."""
    return sorted({name for one in new if one.wish is not None for name in one.wish.names()})


def locks(new: Iterable[NewJob]) -> bool:
    """Whether the jobs that are read for ``new`` are to be locked: they may be cancelled, or waited for."""
    return any(
        one.extras.depends_on is not None
        or (one.wish is not None and (one.wish.on_conflict is OnConflict.REPLACE or one.wish.sequence is not None))
        for one in new
    )


def insert(
    new: Sequence[NewJob],
    stored: Mapping[str, Job],
    kept: Mapping[str, Key],
    now: int,
    *,
    whole: bool = False,
    start: Start | None = None,
    waits: Iterable[Link] = (),
) -> Admitted:
    """Return what comes of ``new``, of which some have wishes or depend on others. For the rest see ``changes.insert``.

    Args:
      stored: those of the new ids that exist already, of the jobs that ``kept`` names, and of ``links.needed(new)``.
      kept: the rows of ``names(new)`` that there are, by name.
      waits: the links of those of ``stored`` that are in a sequence and wait, or have waited.
    Raises: DuplicateJob, UniqueConflict, KeyReused, DependencyMissing, DependencyCycle: only with ``whole``.
    """
    order, circling = links.in_order(new, stored)
    admission = _Admission(stored, kept, now, whole, start, circling, waits)
    answers = {at: admission.admit(new[at]) for at in order}
    in_order = [answers[at] for at in range(len(new))]
    written = admission.written | admission.sequences.written
    return Admitted(in_order, admission.changes, [*written.values()], admission.links, admission.sequences.gone)


def refusal(new: NewJob, answer: Keyed) -> KeyReused | UniqueConflict | None:
    """Return the error that ``answer`` is to whoever has submitted ``new``, or None."""
    job = answer[0]
    if answer.fate is Fate.REUSED:
        return KeyReused(job.id)
    if answer.fate is Fate.HELD and not answer.replayed and _wish(new).on_conflict is not OnConflict.RETURN:
        return UniqueConflict(job.id, _does(job), refused=new.id)
    return None


def holder(unique: Unique, key: Key | None, stored: Mapping[str, Job], now: int) -> Job | None:
    """Return the job that holds ``unique``'s key at ``now``; None if it is free.

    Args:
      key: the row of that key, if there is one.
      stored: has its job, if that is stored.
    """
    job = None if key is None else stored.get(key.job_id)
    if key is None or job is None:
        return None
    if job.extras.unique is None or job.extras.unique.key != unique.key:  # its id was deleted, and given out again
        return None
    if key.expires_at is None:
        given_up = job.extras.unique.until_started and job.fence > 0
        return None if given_up or job.state in FINAL else job
    return job if now < key.expires_at else None


def redrive(
    job: Job,
    version: int | None,
    key: Key | None,
    stored: Mapping[str, Job],
    now: int,
    edit: Edit = NO_EDIT,
    operation: str | None = None,
) -> tuple[Change, Key | None]:
    """Return the change that starts ``job`` over, and the row of its key if that is to be written.

    Args:
      key: the row of the job's unique key (``needs_key``), if there is one.
      stored: has its job, if that is stored.
      edit, operation: see ``jobs.redriven``.
    Raises: IllegalTransition, VersionMismatch, UniqueConflict.
    """
    change = changes.redrive(job, version, now, edit, operation)
    unique = needs_key(job)
    if unique is None:
        return change, None
    other = holder(unique, key, stored, now)
    if other is not None and other.id != job.id:
        raise UniqueConflict(other.id, _does(other), refused=job.id)
    return change, Key(unique.name, job.id, now, None)


def needs_key(job: Job) -> Unique | None:
    """Return the unique key that ``job`` has to hold while it is not final, if there is one."""
    unique = job.extras.unique
    return None if unique is None or unique.until_us is not None or unique.until_started else unique


def wanted_again(job: Job) -> list[str]:
    """Return the names of the keys that ``job`` has to do with when it is started over."""
    unique, sequence = needs_key(job), job.extras.sequence
    found = [] if unique is None else [unique.name]
    return found if sequence is None else [*found, sequence_name(sequence.name)]


def sweep(looked_at: Iterable[Key], alive: Collection[str], now: int) -> tuple[list[str], list[tuple[str, int]]]:
    """Return the names of the rows that are to be deleted, and of the others when to look again.

    Args:
      alive: the ids of those of their jobs that are stored and not final, or have a link still (``sequences.py``).
    """
    gone: list[str] = []
    later: list[tuple[str, int]] = []
    for key in looked_at:
        if key.expires_at is None and key.job_id in alive:
            later.append((key.name, now + max(FIRST_LOOK_US, now - key.created_at)))
        elif key.expires_at is None or key.expires_at <= now:
            gone.append(key.name)
        else:
            later.append((key.name, key.expires_at))
    return gone, later


class _Admission:
    """One batch on its way: what is stored and kept, as the jobs before have left it."""

    def __init__(
        self,
        stored: Mapping[str, Job],
        kept: Mapping[str, Key],
        now: int,
        whole: bool,
        start: Start | None,
        circling: Collection[str],
        waits: Iterable[Link],
    ) -> None:
        self._stored = dict(stored)
        self._kept = dict(kept)
        self._now = now
        self._whole = whole
        self._start = start
        self._circling = circling
        self.changes: list[Change] = []
        self.links: list[Link] = []
        self.written: dict[str, Key] = {}
        self.sequences = Sequences(self._kept, self._stored, waits, now)

    def admit(self, new: NewJob) -> tuple[Job, bool]:
        if new.wish is None:
            return self._refused(new) or self._store(new)
        answer = self._again(new) or self._refused(new) or self._first_time(new, new.wish)
        if isinstance(answer, Refused):
            return answer
        if self._whole and (error := refusal(new, answer)):
            raise error
        return answer

    def _refused(self, new: NewJob) -> Refused | None:
        """Return the answer to a job that cannot wait for what it depends on; None to the others."""
        if new.id in self._stored or (error := links.fault(new, self._stored, self._circling)) is None:
            return None
        if self._whole:
            raise error
        return Refused(jobs.created(new, self._now), error)

    def _again(self, new: NewJob) -> Keyed | None:
        """Return the answer to a request that was made before; None to a first one."""
        asked = _wish(new).idempotency
        request = self._live(asked.name) if asked is not None else None
        if asked is None or request is None:
            return None
        if not asked.is_same(request.digest):
            return Keyed(self._made(new, request), Fate.REUSED)
        key = request if asked.item is None else self._live(asked.item_name)
        if key is None or not asked.is_same(key.digest):  # of many: this one was not stored then
            return None
        if key.made:
            return Keyed(self._made(new, key), Fate.CREATED, replayed=True)
        job = self._stored.get(key.job_id)
        if job is None:  # it was another's, and is deleted
            return None
        return Keyed(job, Fate.SAME if job.id == new.id else Fate.HELD, replayed=True)

    def _first_time(self, new: NewJob, wish: Wish) -> Keyed:
        if (known := self._stored.get(new.id)) is not None:
            self._store(new)
            if changes.same_content(known, new):
                self._keep(wish, known.id, made=False)
            return Keyed(known, Fate.SAME)
        replaced = None
        if wish.unique is not None:
            other = holder(wish.unique, self._kept.get(wish.unique.name), self._stored, self._now)
            if other is not None and (wish.on_conflict is not OnConflict.REPLACE or _is_at_work(other)):
                if wish.on_conflict is OnConflict.RETURN:
                    self._keep(wish, other.id, made=False)
                return Keyed(other, Fate.HELD)
            replaced = self._cancel(other, new.id) if other is not None and other.state not in FINAL else None
            self._take(wish.unique, new.id)
        job, _ = self._store(new)
        self._keep(wish, job.id, made=True)
        return Keyed(job, Fate.CREATED, replaced=replaced)

    def _store(self, new: NewJob) -> tuple[Job, bool]:
        known, sequence = self._stored.get(new.id), new.extras.sequence
        if known is None and sequence is not None:
            sequence = msgspec.structs.replace(sequence, after=self.sequences.before(sequence.name))
            new = msgspec.structs.replace(new, extras=msgspec.structs.replace(new.extras, sequence=sequence))
        waits = new.extras.depends_on is not None or (sequence is not None and sequence.after is not None)
        (answer,), made = changes.insert(
            [new], {new.id: known} if known else {}, self._now, whole=self._whole, start=None if waits else self._start
        )
        if made and waits:
            made, opened = links.begin(made[0].after, self._stored, self._now)
            answer = made[-1].after, True
            self.links += opened
        self.changes += made
        self._stored[new.id] = answer[0]
        if made and sequence is not None and answer[0].state not in FINAL:
            self.sequences.put(new.id, sequence.name)
        return answer

    def _cancel(self, job: Job, for_id: str) -> Job:
        change = Change(job, jobs.cancelled(job, reasons.replaced_by(for_id), self._now))
        self.changes.append(change)
        self._stored[job.id] = change.after
        return change.after

    def _take(self, unique: Unique, job_id: str) -> None:
        until = None if unique.until_us is None else self._now + unique.until_us
        self._write(Key(unique.name, job_id, self._now, until))

    def _keep(self, wish: Wish, job_id: str, *, made: bool) -> None:
        """Keep what became of a request, if it has a key."""
        asked = wish.idempotency
        if asked is None:
            return
        key = Key(asked.item_name, job_id, self._now, self._now + asked.keep_us, asked.digest, made)
        self._write(key)
        if self._live(asked.name) is None:
            self._write(key._replace(name=asked.name))

    def _write(self, key: Key) -> None:
        self._kept[key.name] = self.written[key.name] = key

    def _live(self, name: str) -> Key | None:
        key = self._kept.get(name)
        return key if key is not None and key.expires_at is not None and self._now < key.expires_at else None

    def _made(self, new: NewJob, key: Key) -> Job:
        """Return the job that came of a request as it was created, whether or not it is stored still.

        ``new`` is the same request, so that only what a handler's defaults have added may differ. (Of another request,
        nothing but the id means anything.)
        """
        said = msgspec.structs.replace(new, id=key.job_id)
        if (job := self._stored.get(key.job_id)) is not None:
            queue, priority = job.extras.submitted_to or (job.queue, job.priority)
            said = msgspec.structs.replace(
                said,
                max_attempts=job.max_attempts,
                timeout_us=job.timeout_us,
                backoff=job.backoff,
                queue=queue,
                priority=priority,
                extras=msgspec.structs.replace(
                    said.extras,
                    keep_us=job.extras.keep_us,
                    max_crashes=job.extras.max_crashes,
                    unique=job.extras.unique,
                    sequence=job.extras.sequence,
                ),
            )
        return jobs.created(said, key.created_at)


def _does(job: Job) -> str:
    """Return what a job that holds a key does, in a word or two."""
    return "has ended" if job.state in FINAL else "runs" if job.state is State.RUNNING else "waits"


def _wish(new: NewJob) -> Wish:
    assert new.wish is not None, "only jobs with a wish are asked about"
    return new.wish


def _is_at_work(job: Job) -> bool:
    """Whether ``job`` cannot be replaced: it runs, or its children may."""
    return job.state is State.RUNNING or job.extras.nursery is not None
