"""Scenes for ``test_contract_cuts.py``: what is there before a call of the store, and the call."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

import msgspec

from tests.store.backends import MANY_BYTES, OOPS, START, a_node, logged, noted, put
from tests.store.inboxed import put_rows, rows_of
from tests.store.keyed import request, unique_job, unique_of
from tests.store.linked import child_of, in_turn
from tests.store.tokened import a_token, an_entry
from tickr import operation_moves
from tickr.jobs import Attempt, Extras, Job, NewJob, State
from tickr.missed import due
from tickr.operation_moves import Begin, Stop
from tickr.operations import Operation
from tickr.queues import Limits, Rate
from tickr.reports import Checkpoint, Outcome
from tickr.schedule_moves import Fire, Pause, Put
from tickr.schedules import Schedule
from tickr.store.contract import MAX_BATCH, Filter, Mark, Resealed, Span, Start, Store, Tallied, Untallied
from tickr.store.sums import add_up
from tickr.tallies import Step as Length
from tickr.ticks import Timing
from tickr.tokens import Make

MANY = 12
"""With so many, some of the successes are written together."""


class Scene:
    """One call's own jobs and node, by the same names in every store.

    Attributes:
      jobs: the jobs of this scene as they are in its store when the call is made.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store = store
        self.type = name
        self.node = f"node of {name}"
        self.operation = str(uuid.uuid5(uuid.NAMESPACE_OID, f"operation of {name}"))
        self.mark = Mark(str(uuid.uuid5(uuid.NAMESPACE_OID, f"mark of {name}")), START, name)
        self.counts = False  # whether sums, ages and marks are looked at
        token_id = hashlib.sha256(name.encode()).hexdigest()[:16]
        self.token = a_token(token_id, id=token_id, digest=bytes(32))
        self.entry = an_entry()._replace(id=self.mark.id, who=name)
        self.admits = False  # whether tokens and the trail are looked at
        self.log = Untallied(0, [])
        self.jobs: list[Job] = []
        self.fires: list[Fire] = []
        self.rows: list[int] = []
        self.seen = 0

    def ids(self) -> list[str]:
        return [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.type} {n}")) for n in range(MANY)]

    def new(self, count: int) -> list[NewJob]:
        return [NewJob(id=job_id, type=self.type) for job_id in self.ids()[:count]]

    async def put(self, count: int) -> None:
        self.jobs = await put(self.store, *self.new(count))

    async def join(self, count: int) -> None:
        await self.put(count)
        await self.store.register(a_node(id=self.node), lease_s=15)

    async def limit(self, count: int) -> None:
        """Join, and put the jobs into a queue of their own that is limited."""
        self.jobs = await put(self.store, *(msgspec.structs.replace(one, queue=self.type) for one in self.new(count)))
        await self.store.control(self.type, limits=Limits(max_running=2, rate=Rate(5, 60_000_000)))
        await self.store.register(a_node(id=self.node), lease_s=15)

    async def let_expire(self, count: int) -> None:
        await self.join(0)
        late = [msgspec.structs.replace(new, extras=Extras(expires_at=START)) for new in self.new(count)]
        self.jobs = await put(self.store, *late)

    async def outlive(self, count: int) -> None:
        """Have jobs that are not kept any longer, by an age of their own."""
        await self.join(0)
        brief = [msgspec.structs.replace(new, extras=Extras(keep_us=0)) for new in self.new(count)]
        self.jobs = await put(self.store, *brief)
        for job in self.jobs:
            await self.store.cancel(job.id)

    async def run(self, count: int) -> None:
        await self.join(count)
        claimed = await self.store.claim([job.id for job in self.jobs], node=self.node, types={self.type})
        self.jobs = sorted(claimed, key=lambda job: self.ids().index(job.id))

    async def fail(self, count: int) -> None:
        await self.run(count)
        await self.store.finish(self.outcomes("failed"))

    async def lose(self, count: int) -> None:
        await self.run(count)
        await self.store.deregister(self.node)

    async def ask_to_stop(self, count: int) -> None:
        await self.run(count)
        await self.store.cancel(self.jobs[0].id)

    def outcomes(self, *kinds: str) -> list[Outcome]:
        kinds += kinds[-1:] * (len(self.jobs) - len(kinds))
        return [
            Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)  # type: ignore[arg-type]
            for job, kind in zip(self.jobs, kinds, strict=True)
        ]

    def schedule(self, name: str) -> Put:
        job = NewJob(id="", type=self.type)
        return Put(name=f"{self.type}.{name}", timing=Timing(every_us=10**6), job=job, given="{}")

    async def schedule_some(self, count: int) -> None:
        """Have schedules, and ticks of theirs to fire."""
        ids = iter(self.ids())
        for n in range(count):
            ((_, after, _),) = await self.store.move_schedules([self.schedule(str(n))])
            assert after is not None
            self.fires.append(due(after, after.next_at or 0, lambda: next(ids)))

    def begin(self) -> Begin:
        which = Filter(states=(State.FAILED,), types=(self.type,))
        return Begin(Operation(id=self.operation, action="retry", which=which))

    async def insert_rows(self, count: int) -> None:
        """Put rows into the inbox; another has been refused."""
        *self.rows, refused = await put_rows(self.store, *(f"{self.type}. {n}" for n in range(count + 1)))
        await self.store.settle_inbox([], {refused: "no"})
        self.rows.append(refused)

    async def found(self) -> list[Schedule]:
        return [one for one in await self.store.schedules(MAX_BATCH) if one.name.startswith(f"{self.type}.")]

    async def view(self) -> tuple[object, ...]:
        """Return what can be seen of the scene; of a crowd of jobs the attempts of some."""
        jobs = (await self.store.list_jobs(Filter(types=(self.type,)), limit=100)).jobs
        attempts = [
            await self.store.attempts(job_id) for job_id in self.ids()[:4] if job_id in {job.id for job in jobs}
        ]
        nodes = [node for node in await self.store.nodes() if node.id == self.node]
        pages = await self.store.event_rows(self.seen, 1000, MANY_BYTES)
        assert [seq for seq, _ in pages] == list(range(self.seen + 1, self.seen + 1 + len(pages)))
        holder = await self.store.holder(unique_of(self.type))
        standings = await self.store.standings([self.type])
        checkpoints = [await self.store.checkpoint(job) for job in self.jobs[:4]]
        logs = [await self.store.job_log(job.id, MAX_BATCH) for job in self.jobs[:4]]
        inbox = [row.job for row in await rows_of(self.store) if self.type in str(row.job)]
        refused = [(row.job, row.reason) for row in await self.store.inbox_refused(MAX_BATCH) if self.type in row.job]
        children = [job.id for job in await self.store.children(self.ids())]
        waits = {*(await self.store.open_links(MAX_BATCH)).ended} & {*self.ids()}
        waits |= {link.on for link in await self.store.waits_of(self.ids()[2])}
        counted = (*(await self.counted() if self.counts else ()), *(await self.admitted() if self.admits else ()))
        others = await self.found(), await self.store.operation(self.operation), inbox, refused, children, waits
        return (
            jobs,
            attempts,
            nodes,
            holder,
            standings,
            checkpoints,
            logs,
            counted,
            *others,
            [body for _, body in pages],
        )

    async def counted(self) -> tuple[object, ...]:
        sums = await self.store.sums(Span(Length.DAY, 0, 2 * START, types=(self.type,)), MAX_BATCH)
        marks = await self.store.marks(0, 2 * START, MAX_BATCH)
        ages = await self.store.backlog(Span(Length.DAY, 0, 2 * START, queues=(self.type,)), MAX_BATCH)
        seen = [(place, age) for place, age in ages if place.queue == self.type]
        return sums, [mark for mark in marks if mark.text == self.type], seen

    async def admitted(self) -> tuple[object, ...]:
        kept = await self.store.tokens()
        assert kept is not None
        return kept.tokens.get(self.token.id), await self.store.trail(10, who=self.type)


Step = Callable[[Scene], Awaitable[object]]


class Case(NamedTuple):
    """A method: what there is before, and the call."""

    name: str
    prepare: Step
    call: Step


def insert_some_again(scene: Scene) -> Awaitable[object]:
    return scene.store.insert(scene.new(MANY))


def insert_and_start(scene: Scene) -> Awaitable[object]:
    return scene.store.insert(scene.new(3), start=Start(scene.node, frozenset(scene.ids()[1:3])))


def reseal_all(scene: Scene) -> Awaitable[object]:
    anew = [msgspec.structs.replace(job, payload="tickr1:anew") for job in scene.jobs]
    attempts = [Attempt(fence=1, number=1, node="n", started_at=1, finished_at=2, outcome="failed", error=OOPS)]
    return scene.store.reseal([Resealed(job, attempts, '"anew"') for job in anew])


def claim_all(scene: Scene) -> Awaitable[object]:
    return scene.store.claim(scene.ids(), node=scene.node, types={scene.type})


def say_something(scene: Scene) -> Awaitable[object]:
    return scene.store.note([noted(scene.jobs[0], 1), noted(scene.jobs[1], 1, fraction=0.5), noted(scene.jobs[0], 2)])


def unique(scene: Scene, number: int, on_conflict: str = "return") -> NewJob:
    """Return the scene's job ``number`` with the scene's unique key, submitted under an idempotency key, too."""
    asked = request(f"{scene.type} {number}")
    return unique_job(scene.type, on_conflict=on_conflict, request=asked, id=scene.ids()[number], type=scene.type)


def insert_with_keys(scene: Scene) -> Awaitable[object]:
    return scene.store.insert([unique(scene, 0), unique(scene, 1), *scene.new(4)[2:]])


async def put_unique(scene: Scene) -> None:
    scene.jobs = [job for job, _ in await scene.store.insert([unique(scene, 0)])]


async def end_unique(scene: Scene) -> None:
    await put_unique(scene)
    await scene.store.cancel(scene.ids()[0])


async def put_family(scene: Scene) -> None:
    """A parent that runs with two children of which one has failed, and a job that waits for the other."""
    await scene.run(1)
    first, second = scene.new(3)[1:]
    await scene.store.spawn(scene.jobs[0], [child_of(scene.jobs[0], first), child_of(scene.jobs[0], second)])
    (running,) = await scene.store.claim([first.id], node=scene.node, types={scene.type})
    await scene.store.finish([Outcome(job=running, kind="failed", failure=OOPS)])


async def put_sequence(scene: Scene) -> None:
    """Three jobs one after the other, of which the one in the middle was cancelled."""
    scene.jobs = await put(scene.store, *(in_turn(scene.type, one) for one in scene.new(3)))
    await scene.store.cancel(scene.ids()[1])


def insert_another(scene: Scene) -> Awaitable[object]:
    return scene.store.insert([in_turn(scene.type, scene.new(4)[3])])


def spawn_more(scene: Scene) -> Awaitable[object]:
    return scene.store.spawn(scene.jobs[0], [child_of(scene.jobs[0], one) for one in scene.new(4)[1:]])


def fire_and_pause(scene: Scene) -> Awaitable[object]:
    return scene.store.move_schedules([*scene.fires[1:], Pause(name=f"{scene.type}.0")])


def keep_something(scene: Scene) -> Awaitable[object]:
    return scene.store.keep_checkpoints([Checkpoint(job=job, value="7") for job in scene.jobs[:3]])


def log_something(scene: Scene) -> Awaitable[object]:
    said = [logged(job, n, trim=True) for n in (1, 2, 3) for job in scene.jobs[:3]]
    return scene.store.keep_log(said, bound=2)


async def logged_some(scene: Scene) -> None:
    await scene.run(3)
    await log_something(scene)


async def kept_some(scene: Scene) -> None:
    await scene.run(3)
    await keep_something(scene)


async def use_up_a_queue(scene: Scene) -> None:
    """Have a queue with something set on it, and a job that has ended."""
    await scene.limit(1)
    await scene.store.cancel(scene.jobs[0].id)


async def begin_operation(scene: Scene) -> None:
    """Have an operation that retries what has failed, and a page of that for its first step."""
    await scene.fail(3)
    await scene.store.move_operation(scene.begin())


async def end_operation(scene: Scene) -> None:
    await scene.store.move_operation(Stop(scene.operation))


async def have_an_old_operation(scene: Scene) -> None:
    await begin_operation(scene)
    await end_operation(scene)


def step(scene: Scene) -> Awaitable[object]:
    return scene.store.move_operation(
        operation_moves.Step(scene.operation, 1, tuple(scene.ids()), (START, scene.ids()[0]), last=True)
    )


def settle(scene: Scene) -> Awaitable[object]:
    return scene.store.settle_inbox(scene.rows[:2], {scene.rows[2]: "why"})


async def uncounted(scene: Scene) -> None:
    """Have jobs that are not in the sums, in which all else is."""
    scene.counts = True
    seq = await scene.store.number_events()
    after, _ = await scene.store.untallied(1)
    await scene.store.add_tallies({}, after=after, upto=Tallied(seq, START))
    await scene.put(3)
    await scene.store.number_events()
    scene.log = await scene.store.untallied(MAX_BATCH)


def add_tallies(scene: Scene) -> Awaitable[object]:
    after, log = scene.log
    return scene.store.add_tallies(add_up(log), after=after, upto=Tallied(log[-1].seq, START))


async def unseen(scene: Scene) -> None:
    """Have jobs that wait in a queue of their own."""
    scene.counts = True
    await scene.limit(3)


async def seen(scene: Scene) -> None:
    await unseen(scene)
    await scene.store.look_at_backlog(0)


async def unmarked(scene: Scene) -> None:
    scene.counts = True
    await scene.put(1)


async def marked(scene: Scene) -> None:
    scene.counts = True
    await scene.store.make_mark(scene.mark)


async def unadmitted(scene: Scene) -> None:
    scene.admits = True
    await scene.put(1)


async def admitted(scene: Scene) -> None:
    scene.admits = True
    await scene.store.change_token(Make(scene.token))
    await scene.store.write_trail([scene.entry], [])


few, running = partial(Scene.put, count=3), partial(Scene.run, count=MANY)
scheduled = partial(Scene.schedule_some, count=3)
rows = partial(Scene.insert_rows, count=3)
