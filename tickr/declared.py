"""Declared: the schedules that a node's code declares, put when the node starts.

Each declaration has a *mark*, a digest of what it says. A schedule keeps the marks that were put, the one that counts
last; a node has its own in its row. So a node sees which of three it is: what counts, then nothing is to be done,
whatever was changed by hand since; new, then it is put; or older than what counts. That is put only when no live node
says what counts any more: then somebody has gone back. It is looked at now and then for as long as the node lives, and
of two programs beside each other, as in a rolling deploy, the newer one has its way
(``docs/decisions/0037-declared-schedules.md``). State: what ``_Keeper`` has seen is its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
import structlog
import trio

from tickr import next_ticks
from tickr.api import schedule_request, strict
from tickr.api.problems import Problem
from tickr.api.schedule_request import MAX_BODY_BYTES
from tickr.errors import ConfigError, ScheduleError, StoreError, StoreUnavailable
from tickr.next_ticks import NextTick
from tickr.schedule_moves import Declare, Put
from tickr.scheduler.foretell import Told
from tickr.schedules import Schedule
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Node, Store
from tickr.timetable import Timetable
from tickr.worker.declarations import Declaration
from tickr.worker.handlers import Jobs

AGAIN_S, WATCH_S = 10.0, 60.0
"""Pause between looks where something was left to others or could not be put, and where all is well, in seconds."""
MARK_LENGTH = 16

log = structlog.get_logger("tickr.declared")


class Declared(NamedTuple):
    """A declaration, checked. ``wish`` has it put over whatever counts: ``over`` is filled in when it is.

    ``next_tick``: gives its ticks, if a function does.
    """

    mark: str
    wish: Declare
    next_tick: NextTick | None = None


def read(jobs: Jobs, now: int, vault: Vault = NO_VAULT) -> list[Declared]:
    """Return what ``jobs`` declares. Raises: ConfigError, with all that is wrong.

    Args: vault: has the keys; with one nobody can guess by a mark what is declared.
    """
    faults: list[str] = []
    found: list[Declared] = []
    for one in jobs.schedules:
        try:
            put = _checked(one, jobs, now)
        except Problem as problem:
            told = [f"{fault.pointer[1:]} {fault.detail}" for fault in problem.faults] or [problem.detail]
            faults += [f"schedule {one.name}: {words}" for words in told]
            continue
        mark = mark_of(one, jobs, vault)
        found.append(Declared(mark, Declare(**msgspec.structs.asdict(put), mark=mark, over=None), one.next_tick))
    if faults:
        raise ConfigError(faults)
    return found


def _checked(one: Declaration, jobs: Jobs, now: int) -> Put:
    """Raises: Problem."""
    if len(one.body) > MAX_BODY_BYTES:
        raise Problem(413, "body_too_large", f"it may be {MAX_BODY_BYTES} bytes long")
    strict.check(one.body)
    return schedule_request.read(one.body, one.name, now=now, defaults=jobs.get, next_tick=one.next_tick)


def told(declared: Iterable[Declared]) -> list[Told]:
    """Return the functions that are declared."""
    return [
        Told(one.wish.name, one.mark, one.wish.timing, one.next_tick) for one in declared if one.next_tick is not None
    ]


def mark_of(one: Declaration, jobs: Jobs, vault: Vault = NO_VAULT) -> str:
    """Return what names a declaration: it is another one only if its text is, or the wishes of its type's handler.

    Or the code of the function that gives its ticks.
    """
    handler = jobs.get(one.type)
    wishes = (handler.timeout, handler.max_attempts, handler.backoff) if handler else None
    said = [one.name, msgspec.json.decode(one.body), wishes]
    if one.next_tick is not None:
        said += [next_ticks.name_of(one.next_tick), next_ticks.code_of(one.next_tick)]
    text = msgspec.json.encode(said, order="deterministic")
    return vault.mark_declared(text)[:MARK_LENGTH]


async def keep(
    declared: Sequence[Declared],
    store: Store,
    timetable: Timetable,
    stretch: float = 1.0,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Have the schedules be as ``declared``, until cancelled; has started after the first look.

    Args: stretch: how many times longer than ``WATCH_S`` a pause is where all is well.
    Cancellation: some may have been put.
    """
    if not declared:
        return task_status.started()
    keeper = _Keeper(declared, store, timetable)
    left: list[str] = []
    while True:
        try:
            before, left = left, await keeper.look()
            if left and left != before:
                log.info("schedule.left_as_it_is", schedules=left)
        except StoreUnavailable as error:
            log.info("schedule.declaring_interrupted", error=str(error))
        task_status.started()
        task_status = trio.TASK_STATUS_IGNORED
        await trio.sleep(WATCH_S * stretch if keeper.all_settled else AGAIN_S)


class _Keeper:
    """What a node has seen of the schedules that it declares; the node's row is there already."""

    def __init__(self, declared: Sequence[Declared], store: Store, timetable: Timetable) -> None:
        self._declared = declared
        self._store = store
        self._timetable = timetable
        self._settled: set[str] = set()  # names of those that were as declared
        self._unclaimed: dict[str, str | None] = {}  # what counted at the last look, and no live node declared

    @property
    def all_settled(self) -> bool:
        return len(self._settled) == len(self._declared)

    async def look(self) -> list[str]:
        """Put what is to be put, and return the names of the others that are not as declared.

        Raises: StoreUnavailable: the rest is looked at the next time.
        """
        left: list[str] = []
        nodes: list[Node] | None = None
        for one in self._declared:
            name = one.wish.name
            schedule = await self._store.schedule(name)
            over = _counts(schedule)
            if over == one.mark or (schedule is None and name in self._settled):  # gone: somebody has deleted it
                self._settled.add(name)
                continue
            self._settled.discard(name)
            may_put = True
            if schedule is not None and not self._timetable.keeps(schedule):
                may_put = False  # what others have encrypted or signed is not to be there otherwise for want of a key
            elif schedule is not None and one.mark in schedule.declared:
                nodes = await self._store.nodes() if nodes is None else nodes
                may_put = self._is_free(name, over, nodes)
            if may_put and await _put(msgspec.structs.replace(one.wish, over=over), self._timetable):
                self._settled.add(name)
            else:
                left.append(name)
        return left

    def _is_free(self, name: str, over: str | None, nodes: Sequence[Node]) -> bool:
        """Whether an older declaration may go before ``over``, which counts.

        A node that starts again is away for a moment: with others beside this one, two looks in a row must find nobody.
        """
        if any(over in node.declared for node in nodes):
            self._unclaimed.pop(name, None)
            return False
        seen_before = self._unclaimed.get(name) == over
        self._unclaimed[name] = over
        return seen_before or len(nodes) <= 1


def _counts(schedule: Schedule | None) -> str | None:
    return schedule.declared[-1] if schedule is not None and schedule.declared else None


async def _put(wish: Declare, timetable: Timetable) -> bool:
    """Return whether what is wished counts now. Raises: StoreUnavailable."""
    try:
        after, _ = await timetable.put(wish)
    except StoreUnavailable:
        raise
    except (StoreError, ScheduleError) as error:
        log.error("schedule.not_declared", schedule=wish.name, error=str(error))
        return False
    return _counts(after) == wish.mark
