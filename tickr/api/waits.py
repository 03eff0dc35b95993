"""``GET /jobs/<id>?wait=30``: answered when the job has ended or is another, or after so many seconds, without polling.

A job that is not there yet is read again once a watch on it is open, so that nothing is missed in between; the watch is
woken by the feed's one reader, whichever node the job runs on, and then the job is read for the last time. Those who
want to read at the same time read together (``batching.py``), as thousands may be woken at once. So a wait costs a
share of three reads, however long it is, and a place among those who listen; it is no request at work.

State: ``Waits`` has the watches of this process, for the stop.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, NamedTuple

import trio
from msgspec import Meta
from quart import Request

from tickr.api import incoming
from tickr.api.context import Context
from tickr.api.listener import MAX_LISTENERS, Audience
from tickr.api.parameters import Parameter
from tickr.batching import Batcher, TooLate
from tickr.errors import StoreUnavailable
from tickr.feed.tail import ASKED_WITHIN_S
from tickr.feed.watch import Watch
from tickr.jobs import WAITING, Job
from tickr.store.contract import Node

MAX_WAIT_S = 60
"""Longest wait, in seconds: what lies between a client and Tickr often ends a silent connection after so long."""
TOGETHER = 100
"""How many jobs one read brings at most, payloads and results and all."""
READ_WITHIN_S = 5.0
"""How long a job may take to be read for somebody who has waited already, in seconds: thousands of answers that leave
at once keep a node busy for that long. Who has just come is told within ``ASKED_WITHIN_S``."""
RETRY_S = 0.5
"""Pause between tries to read while the store is away, and before another watch on a log that broke, in seconds."""

_is_number = re.compile(r"\d{1,2}(?:\.\d{1,40})?(?:e-\d{1,3})?", re.ASCII).fullmatch  # as programs write floats
WAIT = Parameter(
    "wait",
    Annotated[float, Meta(ge=0, le=MAX_WAIT_S)],
    f"must be a number of seconds from 0 to {MAX_WAIT_S}",
    "Answer when the job has ended, or with If-None-Match is another, or after so many seconds.",
    default=0,
    check=lambda text: _is_number(text) is not None and float(text) <= MAX_WAIT_S,
)


def wished_wait(request: Request) -> float:
    """Return how long the query wants to wait, in seconds. Raises: Problem (400)."""
    if faults := [*WAIT.faults(request.args)]:
        raise incoming.bad_query(faults)
    return float(request.args.get(WAIT.name, WAIT.default))


class Wish(NamedTuple):
    """What is waited for.

    Attributes:
      until: when the wait is over, by trio's clock.
      done: whether the job is as it is waited for.
      due: when, microseconds UTC, the clock alone may make it so; None: never.
    """

    job_id: str
    until: float
    done: Callable[[Job], bool]
    due: Callable[[Job], int | None]


class Look(NamedTuple):
    """A job as it was read; None if there is none. ``nodes``: those that live, if that was asked for."""

    job: Job | None
    nodes: Sequence[Node] | None = None


class _Wanted(NamedTuple):
    job_id: str
    last: bool


class Waits:
    """Those who wait for jobs at this process. ``run`` must be running."""

    def __init__(self, context: Context, audience: Audience) -> None:
        self._store = context.store
        self._feed = context.feed
        self._audience = audience
        self._looks: Batcher[_Wanted, Look] = Batcher(
            self._look, max_items=TOGETHER, max_bytes=1, max_waiting=2 * MAX_LISTENERS
        )
        self._watches: set[Watch] = set()
        self._ended = False

    async def run(self) -> None:
        """Read for those who wait, until cancelled."""
        await self._looks.run()

    def end(self) -> None:
        """Have everybody answered with the job as it is, now and from now on: the node stops."""
        self._ended = True
        for watch in self._watches:
            watch.ring()

    async def until(self, wish: Wish) -> Look:
        """Return the job when it is as wished, or as it is when the time is over.

        Raises: Problem (503): too many listen already. StoreUnavailable.
        Cancellation: nothing is left of the wait.
        """
        with self._audience.seat():
            look = await self._read(wish, ASKED_WITHIN_S, last=False)
            while look.job is not None and not wish.done(look.job) and not self._is_over(wish):
                async with self._feed.watch(wish.job_id) as watch:
                    with self._known(watch):
                        look = await self._watched(watch, wish)
                if watch.lost:
                    await self._pause(wish)
            return look

    async def _watched(self, watch: Watch, wish: Wish) -> Look:
        """Read the job, and again whenever something has happened, until there is nothing to wait for here."""
        while True:
            over = self._is_over(wish)
            try:
                look = await self._read(wish, READ_WITHIN_S, last=over)
            except StoreUnavailable:
                if over:
                    raise
                await self._pause(wish)
                continue
            if look.job is None or over or watch.lost or wish.done(look.job):
                return look
            with trio.move_on_at(min(wish.until, self._due_at(wish, look.job))):
                await watch.wait()

    def _due_at(self, wish: Wish, job: Job) -> float:
        due = wish.due(job)
        return math.inf if due is None else trio.current_time() + max(0.0, (due - self._store.now_us()) / 1e6)

    def _is_over(self, wish: Wish) -> bool:
        return self._ended or trio.current_time() >= wish.until

    async def _pause(self, wish: Wish) -> None:
        with trio.move_on_at(wish.until):
            await trio.sleep(RETRY_S)

    @contextmanager
    def _known(self, watch: Watch) -> Iterator[None]:
        self._watches.add(watch)
        try:
            yield
        finally:
            self._watches.discard(watch)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def _read(self, wish: Wish, within_s: float, *, last: bool) -> Look:
        """Raises: StoreUnavailable: also when its turn did not come in time."""
        try:
            return await self._looks.submit(_Wanted(wish.job_id, last), within_s=within_s)
        except TooLate:
            raise StoreUnavailable(f"The store did not answer within {within_s} s.") from None

    async def _look(self, wanted: Sequence[_Wanted]) -> list[Look]:
        jobs = {job.id: job for job in await self._store.get_many({one.job_id for one in wanted})}
        looks = [Look(jobs.get(one.job_id)) for one in wanted]
        if any(one.last and look.job and look.job.state in WAITING for one, look in zip(wanted, looks, strict=True)):
            nodes = await self._store.nodes()
            looks = [look._replace(nodes=nodes) for look in looks]
        return looks
