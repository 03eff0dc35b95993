"""Profiles of attempts: where their time goes, by samples of their stacks. A middleware, for those that ask for it.

    jobs.middleware(tickr.profiling.middleware("profiles"))
    tickr submit report --label profile=1

A thread looks at the stack of the attempt every few milliseconds: of an async handler's task, whether it runs or waits,
or of the thread that a plain handler is in. So the profile tells wall time, what is waited for included, and the
handler pays next to nothing. Goes out: a file for https://www.speedscope.app, and the heaviest functions as lines of
the job's log. What is not profiled pays a look at its labels. Nothing of Tickr imports this module.
"""

from __future__ import annotations

import random
import sys
import threading
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec
import structlog
import trio

from tickr.worker import stacks
from tickr.worker.attempt import RunningJob
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

LABEL = "profile"
CALLERS = ("tickr.worker.run", "tickr.worker.middleware", "tickr.worker.elsewhere", "outcome._impl")
"""What stands between the worker and a handler, on a stack."""
INTERVAL_S = 0.005
MAX_SAMPLES = 60_000
"""Five minutes of them; what comes later is not looked at."""
MAX_STACKS = 10_000
"""Different stacks in one profile; further ones are counted as left out."""
MAX_DEPTH = 200
MAX_AT_ONCE = 4
"""So many attempts of a process are profiled at once; others that ask for it are told that they are not."""
WRITTEN_WITHIN_S = 5.0
"""How long it may hold up the end of an attempt to write its profile, in seconds."""
SCHEMA = "https://www.speedscope.app/file-format-schema.json"

log = structlog.get_logger("tickr.profiling")


class Place(NamedTuple):
    """A function, as a profile names it."""

    name: str
    file: str
    line: int


Stack = tuple[Place, ...]
"""From the handler inwards."""


def middleware(
    directory: str | Path,
    *,
    label: str = LABEL,
    share: float = 0.0,
    top: int = 10,
    chance: Callable[[], float] = random.random,
) -> Middleware:
    """Return a middleware that profiles attempts.

    Args:
      directory: where ``<job>.<fence>.speedscope.json`` is written; made if it is not there. Old files are not deleted.
      label: jobs that have a label of this name are profiled, unless it is ``0`` …
      share: … and so many of all others, 0 to 1.
      top: so many functions are logged, those in which most time was spent.
    A handler in another process is not looked into. A profile that cannot be written costs the attempt nothing.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is a number from 0 to 1, not {share!r}")
    places = threading.BoundedSemaphore(MAX_AT_ONCE)

    @asynccontextmanager
    async def profiled(job: Job) -> AsyncIterator[None]:
        asked = job.labels.get(label)
        if asked == "0" or (asked is None and (not share or chance() >= share)):
            yield
            return
        if not places.acquire(blocking=False):
            await job.log(f"not profiled: {MAX_AT_ONCE} others are")
            yield
            return
        sampler = Sampler(looking_at(job))
        try:
            with sampler:
                yield
        finally:
            places.release()
            with trio.move_on_after(WRITTEN_WITHIN_S, shield=True):
                await _tell(job, sampler.samples, Path(directory), top)

    return profiled


# -- looking ----------------------------------------------------------------------------------------------------------


def looking_at(job: Job) -> Callable[[], Stack]:
    """Return what returns where the handler of ``job`` is, () where that is not known. Called in the task it is in."""
    running = job._listener
    if isinstance(running, RunningJob) and running.handler.place == "thread":
        return lambda: _of_thread(stacks.thread_name(job.id))
    if isinstance(running, RunningJob) and running.handler.place == "process":
        return lambda: ()
    task, loop = trio.lowlevel.current_task(), threading.get_ident()
    return lambda: _of_task(task, loop)


def _of_thread(name: str) -> Stack:
    ident = next((one.ident for one in threading.enumerate() if one.name == name), None)
    return _stack(reversed([frame for frame, _ in traceback.walk_stack(_innermost(ident))]) if ident else iter(()))


def _of_task(task: trio.lowlevel.Task, loop: int) -> Stack:
    """Read from another thread, while the task goes on: a stack that changes meanwhile is a sample that is lost."""
    try:
        frames = [frame for frame, _ in task.iter_await_frames() if frame is not None]
    except Exception:
        return ()
    running = [frame for frame, _ in traceback.walk_stack(_innermost(loop))]
    if frames and frames[-1] in running:  # it does not wait: what it has called is on the loop's own stack
        frames += reversed(running[: running.index(frames[-1])])
    return _stack(iter(frames))


def _innermost(ident: int | None) -> FrameType | None:
    return sys._current_frames().get(ident or 0)


def _stack(outermost_first: Iterator[FrameType]) -> Stack:
    """Return the stack from the first frame behind those that call a handler on."""
    frames = list(outermost_first)
    callers = [place for place, frame in enumerate(frames) if frame.f_globals.get("__name__") in CALLERS]
    theirs = frames[callers[-1] + 1 if callers else 0 :][:MAX_DEPTH]
    return tuple(Place(f.f_code.co_qualname, f.f_code.co_filename, f.f_code.co_firstlineno) for f in theirs)


class Samples:
    """How often each stack was seen; ``left_out``: samples for which there was no room. Bounded."""

    def __init__(self) -> None:
        self.stacks: Counter[Stack] = Counter()
        self.left_out = 0

    def add(self, stack: Stack) -> None:
        if stack in self.stacks or len(self.stacks) < MAX_STACKS:
            self.stacks[stack] += 1
        else:
            self.left_out += 1


class Sampler:
    """Looks every ``INTERVAL_S`` from entering to leaving. ``samples``: written by its thread, read after leaving."""

    def __init__(self, look: Callable[[], Stack]) -> None:
        self.samples = Samples()
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tickr profiler", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        for _ in range(MAX_SAMPLES):
            if self._over.wait(INTERVAL_S):
                return
            if stack := self._look():
                self.samples.add(stack)


# -- telling ----------------------------------------------------------------------------------------------------------


async def _tell(job: Job, samples: Samples, directory: Path, top: int) -> None:
    total = samples.stacks.total()
    if not total:
        await job.log("not profiled: it was over at once, or runs in another process")
        return
    file = directory / f"{job.id}.{job.fence}.speedscope.json"
    try:
        whole = document(f"{job.type} {job.id} attempt {job.attempt}", samples)
        await trio.to_thread.run_sync(_write, file, whole, abandon_on_cancel=True)
    except OSError as error:
        log.warning("profile.not_written", job=job.id, error=str(error))
        return
    for line in heaviest(samples, top):
        await job.log(line)
    await job.log(f"profile of {total} samples: {file}")


def _write(file: Path, whole: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(whole)


def heaviest(samples: Samples, top: int) -> list[str]:
    """Return the functions in which most time was spent: the share in it, that with all it called, and where it is."""
    own, whole, total = Counter[Place](), Counter[Place](), samples.stacks.total()
    for stack, count in samples.stacks.items():
        own[stack[-1]] += count
        for place in set(stack):
            whole[place] += count
    first = sorted(whole, key=lambda place: (-own[place], -whole[place]))[:top]
    return [
        f"{own[place] / total:4.0%} {whole[place] / total:4.0%}  {place.name}  {place.file}:{place.line}"
        for place in first
    ]


def document(name: str, samples: Samples) -> bytes:
    """Return the profile as speedscope reads it: each different stack once, as long as it was seen."""
    frames: dict[Place, int] = {}
    for stack in samples.stacks:
        for place in stack:
            frames.setdefault(place, len(frames))
    weights = [round(count * INTERVAL_S, 6) for count in samples.stacks.values()]
    profile = {
        "type": "sampled",
        "name": name,
        "unit": "seconds",
        "startValue": 0,
        "endValue": round(sum(weights), 6),
        "samples": [[frames[place] for place in stack] for stack in samples.stacks],
        "weights": weights,
    }
    shared = {"frames": [place._asdict() for place in frames]}
    whole = {"$schema": SCHEMA, "exporter": "tickr", "name": name, "shared": shared, "profiles": [profile]}
    return msgspec.json.encode(whole)
