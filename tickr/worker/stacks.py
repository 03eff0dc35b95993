"""Where a handler is: its stack as text, for one that does not stop and for one that blocks the loop.

Reads the frames of other tasks and threads, which go on meanwhile; what comes out is a snapshot and never an error.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Iterator
from types import FrameType

import trio

from tickr.worker.attempt import RunningJob
from tickr.worker.failures import is_handlers, shorten

MAX_CHILDREN = 5
"""Of the tasks a handler has started, so many are shown."""


def of_task(task: trio.lowlevel.Task) -> str:
    """Return where ``task`` waits, from the handler inwards, and where the tasks in its nurseries wait.

    Called in trio's thread while ``task`` does not run.
    """
    parts = [_format(_await_frames(task))]
    for child in list(_descendants(task))[:MAX_CHILDREN]:
        parts.append(f"in its task {child.name}:\n{_format(_await_frames(child))}")
    return shorten("".join(parts))


def of_thread(ident: int) -> str:
    """Return where the thread ``ident`` is, from the handler inwards; "" if it has ended."""
    innermost = sys._current_frames().get(ident)
    frames = list(traceback.walk_stack(innermost)) if innermost is not None else []
    return of_frames([frame for frame, _ in reversed(frames)])


def of_attempt(running: RunningJob) -> str:
    """Return where the handler of ``running`` is; "" if it is not called yet, or in another process."""
    if running.company is not None:
        running = running.company.leader
    if running.handler.place == "loop":
        return "" if running.task is None else of_task(running.task)
    name = thread_name(running.job.id)
    return "".join(of_thread(one.ident) for one in threading.enumerate() if one.name == name and one.ident)


def thread_name(job_id: str) -> str:
    """Return how the thread is called that a job's handler runs in."""
    return f"job {job_id}"


def of_frames(outermost_first: list[FrameType]) -> str:
    """Return the stack from the first frame behind Tickr's own worker on."""
    own = [place for place, frame in enumerate(outermost_first) if not is_handlers(frame)]
    return shorten(_format((frame, frame.f_lineno) for frame in outermost_first[own[-1] + 1 if own else 0 :]))


def _await_frames(task: trio.lowlevel.Task) -> Iterator[tuple[FrameType, int]]:
    for frame, line in task.iter_await_frames():
        if is_handlers(frame):
            yield frame, line


def _descendants(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    waiting = [task]
    while waiting:
        children = [child for nursery in waiting.pop().child_nurseries for child in nursery.child_tasks]
        yield from children
        waiting.extend(children)


def _format(frames: Iterator[tuple[FrameType, int]]) -> str:
    try:
        return "".join(traceback.StackSummary.extract(frames).format())
    except Exception as error:  # what a task waits for may be something trio can not look through
        return f"(its stack can not be read: {error})\n"
