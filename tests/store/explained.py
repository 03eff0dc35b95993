"""Every question that a store can be asked, on one that is ``filled``: what the tests of query plans share.

The questions are asked with small limits, so that whatever reads many rows reads them in vain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from tests.store.backends import MANY_BYTES, OOPS, a_node, logged, methods, new_id, new_job, noted, put
from tests.store.filled import DAY_US
from tests.store.inboxed import put_rows
from tests.store.keyed import request, unique_job, unique_of
from tests.store.linked import child_of, dependent, in_turn
from tests.store.summed import ask_about_statistics
from tests.store.tokened import ask_about_access
from tests.store.written import execute, outcome
from tests.waiting import eventually
from tickr.edits import Edit
from tickr.job_log import LogPlace
from tickr.jobs import FINAL, Extras, Job, NewJob, State
from tickr.missed import due
from tickr.operation_moves import Begin, Step, Stop
from tickr.operations import MAX_RUNNING, Action, Operation
from tickr.queues import NO_LIMITS, Limits, Rate
from tickr.reports import Checkpoint, Outcome
from tickr.schedule_moves import Delete, Move, Pause, Put
from tickr.store import rows
from tickr.store.contract import (
    DueOperations,
    DuePlace,
    DueSchedules,
    Filter,
    Resealed,
    Start,
    Store,
)
from tickr.store.orders import Order
from tickr.ticks import Timing

LOOK_AT = 500
COUNT_TO = 300
LIMIT = 20
KEYS_OF_ALL = (
    "INSERT INTO unique_keys (name, job_id, created_at, expires_at, look_at) "
    "SELECT CONCAT('i:', HEX(id)), id, created_at, CASE WHEN priority = 5 THEN NULL ELSE 9 END, queue <> 'q5' FROM jobs"
)
"""A row for each job; it is time to look at all of them."""
LINKS_OF_ALL = "INSERT INTO links (on_id, waiter, kind) SELECT id, REVERSE(id), 1 FROM jobs WHERE state = 1"
CHILDREN_OF_ALL = "INSERT INTO children (parent, place, child) SELECT REVERSE(id), 0, id FROM jobs"
"""Somebody waits for each job that waits, and every job has a parent; none of these is stored."""
SCHEDULES, OPERATIONS = 600, 200


class Asking:
    """Asks ``store`` everything. ``asked``: the names of the methods that were called so far."""

    def __init__(self, store: Store, now: int) -> None:
        self._store = store
        self._now = now
        self.asked: set[str] = set()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        """Return the store's method, and note that it was called."""
        self.asked.add(name)
        method: Callable[..., Awaitable[object]] = getattr(self._store, name)
        return method

    async def everything(self) -> None:
        await self._work()
        await self._schedule()
        await self._operate()
        await self._look()
        await self._take_in()
        await ask_about_access(self, self._store, self._now)
        await self._keep()

    async def _work(self) -> None:
        store = self._store
        await self.register(a_node(id="n1"), lease_s=15)
        await self.register(a_node(id="n2"), lease_s=15)
        jobs = await put(store, *(new_job() for _ in range(60)))
        await self.insert([new_job(id=jobs[0].id), new_job()])
        await self._use_keys()
        await self._use_links()
        started = new_job()
        await self.insert([started], start=Start("n1", frozenset([started.id])))
        claimed = await store.claim([job.id for job in jobs], node="n1", types={"mail"}, suspects=0)
        self.asked |= {"claim", "finish", "note"}
        await store.note([noted(claimed[0], 1, fraction=0.5), noted(claimed[1], 1)])
        await self.keep_checkpoints([Checkpoint(job=job, value=str(n)) for n, job in enumerate(claimed)])
        await self.checkpoint(claimed[0])
        said = [logged(job, n, trim=True) for n in range(1, 4) for job in claimed[:20]]
        await self.keep_log(said, bound=1)
        await self.job_log(claimed[0].id, LIMIT)
        await self.job_log(claimed[0].id, LIMIT, after=LogPlace(1, 1), attempt=1)
        kinds = ["succeeded"] * 20 + ["retried"] * 10 + ["failed"] * 5
        outcomes = [
            Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)  # type: ignore[arg-type]
            for job, kind in zip(claimed, kinds, strict=False)
        ]
        outcomes += [Outcome(job=job, kind="succeeded", result=f'"{job.id}"') for job in claimed[40:55]]
        await store.finish(outcomes)
        await store.finish([*outcomes[:1], Outcome(job=claimed[-1], kind="succeeded")])
        await self.claim_due(LIMIT, node="n2", types={"noop", "mail"}, suspects=0)
        await self.claim_due(LIMIT, node="n2", types={"none"})
        await self.control("default", limits=Limits(max_running_per_key=1, rate=Rate(100, DAY_US)))
        keyed = await put(store, *(new_job(limit_key="acme") for _ in range(3)))
        await self._end_by_handlers(
            claimed[35:38], await store.claim([job.id for job in keyed], node="n2", types={"mail"})
        )
        await self.claim_due(LIMIT, node="n2", types={"mail"}, queues={"default": LIMIT})
        await self.control("newest", order="newest")
        await put(store, *(new_job(queue="newest") for _ in range(3)))
        await self.newest_first()
        await self.due(LIMIT)
        await self.claim_due(LIMIT, node="n2", types={"mail"}, queues={"newest": LIMIT})
        await self.ahead((await put(store, new_job(queue="newest")))[0], count_to=LIMIT)
        await self.standings(["default"])
        await self.standings()
        await self.control("default", limits=NO_LIMITS)
        await self.heartbeat("n1", lease_s=15)
        await self.node("n1")
        await self.order_node("n1", Order(stop=True))
        await self.at_work(LIMIT)
        await store.at_work(LIMIT, node="n2")
        await self.cancel((await put(store, new_job()))[0].id)
        await self.edit((await put(store, new_job()))[0].id, Edit(queue="edited", run_at=self._now + DAY_US))
        await store.cancel((await put(store, new_job(queue="gone")))[0].id)
        await self.drop_queue("gone")
        await self.delete((await put(store, new_job()))[0].id, cancel=True)
        await self.redrive(claimed[30].id)
        (held,) = await put(store, new_job(queue="held"))
        for job in await store.claim([held.id], node="n2", types={"mail"}):
            put_off = Outcome(job=job, kind="retried", failure=OOPS, queue="elsewhere", hold_us=DAY_US)
            await store.finish([put_off])
        await self.deregister("n2")
        await put(store, new_job(queue="@n2"))
        await self.reap(LIMIT)
        await self.reap(LIMIT)
        await self.expire("n1", lease_until=1)
        await self._let_expire()

    async def _end_by_handlers(self, ending: Sequence[Job], lost: Sequence[Job]) -> None:
        """Some that end with their worker, one that ends as its node is taken away, and one that stands for nothing."""
        for job in (*ending, *lost[:1]):
            await self._write_end(job)
        await self._store.finish([outcome(job, "failed", failure=OOPS) for job in ending])
        await self._write_end(ending[0])

    async def _write_end(self, job: Job) -> None:
        values = f"X'{rows.id_bytes(job.id).hex()}', {job.fence}, {job.started_at}"
        await execute(self._store, f"INSERT INTO ended (job_id, fence, running_since) VALUES ({values})")

    async def _let_expire(self) -> None:
        """Some that are ended by a claim, some that are ended because it is time, and many whose time is to come."""
        store = self._store
        await put(store, *(new_job(extras=Extras(expires_at=self._now + (n + 1) * DAY_US)) for n in range(900)))
        late = await put(store, *(new_job(extras=Extras(expires_at=self._now)) for n in range(60)))
        await store.claim([job.id for job in late[:5]], node="n1", types={"mail"})
        await self.end_expired(LIMIT)
        await store.end_expired(LIMIT)

    async def _use_keys(self) -> None:
        keyed = [unique_job(f"key {n}", until_s=n or None, request=request(f"k{n}", item=n)) for n in range(LIMIT)]
        await self.insert([*keyed, new_job()])
        (replaced, _), *_ = await self._store.insert([unique_job("key 0", on_conflict="replace"), *keyed])
        await self._store.cancel(replaced.id)
        await self._store.redrive(replaced.id)
        await self.holder(unique_of("key 0"))
        uses = await self.key_uses(LIMIT)
        await self._store.key_uses(LIMIT, uses.after)
        attempts = await self._store.attempts(replaced.id)
        job = await self._store.get(replaced.id)
        assert job is not None
        await self.reseal([Resealed(job, attempts)])

    async def _use_links(self) -> None:
        """A job that waits for many, many that wait for one, and a parent; all beside many other links."""
        store = self._store
        first = await put(store, *(new_job() for _ in range(LIMIT)))
        await put(store, dependent(*first), *(dependent(first[0]) for _ in range(LIMIT)))
        ended = await store.cancel(first[0].id)
        (parent,) = await store.claim([first[1].id], node="n1", types={"mail"})
        await self.spawn(parent, [child_of(parent) for _ in range(LIMIT)])
        await store.spawn(parent, [child_of(parent)])
        await self.children([parent.id, *(job.id for job in first)])
        await store.finish([Outcome(job=parent, kind="retried", failure=OOPS)])
        await self.open_links(LIMIT)
        await store.open_links(LIMIT, (new_id(), new_id()))
        await self.settle_links([parent.id, *(job.id for job in first)], new_id())
        await store.settle_links([ended.id, parent.id])
        first, second, third = await put(store, *(in_turn("s") for _ in range(3)))
        await self.waits_of(third.id)
        await store.cancel(second.id)
        await store.settle_links([second.id])
        await store.redrive(second.id)
        await store.redrive(ended.id)

    async def _schedule(self) -> None:
        """A third of the schedules is due again and again."""
        store = self._store
        self.asked |= {"move_schedules", "due_schedules", "schedules"}
        for first in range(0, SCHEDULES, 100):
            await store.move_schedules([_put(f"s{n:04}", 1 if n % 3 == 0 else 3600) for n in range(first, first + 100)])

        async def look() -> DueSchedules | None:
            found = await store.due_schedules(LIMIT)
            return found if len(found.found) == LIMIT else None

        found = await eventually(look)
        await store.due_schedules(LIMIT, DuePlace(found.found[-1].next_at or 0, found.found[-1].name))
        moves: list[Move] = [due(one, found.now, new_id) for one in found.found]
        ((_, _, (job, *_)), *_) = await store.move_schedules(moves)
        assert job.extras.schedule is not None
        again = await store.schedule(job.extras.schedule)
        assert again is not None
        await store.move_schedules([due(again, (again.next_at or 0) + 1, new_id)])
        await store.move_schedules([Pause(name="s0001"), Delete(name="s0002"), _put("s0003", 7)])
        await store.schedules(LIMIT)
        await store.schedules(LIMIT, "s0300")
        await self.schedule("s0300")

    async def _operate(self) -> None:
        """Many operations that have ended, and a few that run: steps by a page of jobs, with and without keys."""
        for n in range(OPERATIONS):
            one = _operation("retry", Filter(states=(State.FAILED,)))
            await self._store.move_operation(Begin(one))
            if n % 20:
                await self._store.move_operation(Stop(one.id))
        self.asked |= {"move_operation", "operations", "tally"}
        due = await self.due_operations(MAX_RUNNING)
        assert isinstance(due, DueOperations)
        keyed = [await self._ended(n) for n in range(5)]
        for begun, which in zip(due.found, ("failed", "failed", "cancelled"), strict=False):
            page = await self._store.list_jobs(Filter(states=(State(which),)), limit=LIMIT)
            ids = (*(job.id for job in page.jobs), *keyed)
            await self._store.move_operation(Step(begun.id, begun.version, ids, page.after, last=False))
        await self.operation(due.found[0].id)
        await self._store.operations(LIMIT)
        await self._store.operations(LIMIT, due.found[-1].id)
        for which_jobs in FILTERS:
            await self._store.tally(which_jobs, most=COUNT_TO)
        await self.prune_operations(self._now - DAY_US, 100, LIMIT)

    async def _ended(self, n: int) -> str:
        """Return a job that needs its unique key again."""
        ((job, _),) = await self._store.insert([unique_job(f"again {n}")])
        await self._store.cancel(job.id)
        return job.id

    async def _take_in(self) -> None:
        """Many rows wait, and many were refused."""
        store = self._store
        rows = await put_rows(store, *("{}" for _ in range(1200)))
        await store.settle_inbox([], dict.fromkeys(rows[:600], "no"))
        self.asked |= {"inbox_rows", "settle_inbox"}
        first = await store.inbox_rows(LIMIT, max_bytes=MANY_BYTES, max_row_bytes=MANY_BYTES)
        await store.settle_inbox([row.seq for row in first[1:]], {first[0].seq: "no"})
        await self.inbox_refused(LIMIT)
        await self.retry_inbox(rows[0])
        await self.drop_inbox(rows[1])
        await self.prune_inbox(2 * self._now, LIMIT)

    async def _look(self) -> None:
        store = self._store
        ids = [entry.id for entry in (await store.waiting_after(None, LIMIT))[0]]
        await self.get(ids[0])
        await self.attempts(ids[0])
        await self.get_many([*ids, new_id()])
        await self.still_waiting([*ids, new_id()])
        self.asked |= {"list_jobs", "waiting_after"}
        for which in FILTERS:
            page = await store.list_jobs(which, limit=LIMIT, look_at=LOOK_AT)
            if page.after is not None:
                await store.list_jobs(which, limit=LIMIT, look_at=LOOK_AT, before=page.after)
        await self.queues(count_to=COUNT_TO)
        await self.queue_names()
        await self.ahead((await store.still_waiting(ids))[-1], count_to=COUNT_TO)
        await self.due(LIMIT)
        position = None
        for _ in range(3):
            _, position = await store.waiting_after(position, LIMIT)
        await store.waiting_after(position and position._replace(state=State.RETRYING), LIMIT)
        await self.epoch("mine")
        await self.nodes()
        await self.ping()

    async def _keep(self) -> None:
        head = (await self._store.feed_state()).head
        await self.feed_state()
        await self.number_events()
        await self.event_rows(0, LIMIT, MANY_BYTES)
        await self.event_rows(max(head - 5, 0), LIMIT, MANY_BYTES)
        await ask_about_statistics(self, self._store, self._now)
        await self.prune_events(self._now - DAY_US, LIMIT)
        for _ in range(3):
            await self.prune_keys(LIMIT)
            await self.prune_checkpoints(LIMIT)
        self.asked.add("prune_jobs")
        for state in sorted(FINAL):
            for before in (1, self._now - 2 * DAY_US):
                _, position = await self._store.prune_jobs(state, before, LIMIT)
                if position is not None:
                    await self._store.prune_jobs(state, before, LIMIT, position)
        self.asked |= {"last_beyond", "prune_beyond"}
        for state in sorted(FINAL):
            edge = await self._store.last_beyond(state, LIMIT)
            if edge is not None:
                await self._store.prune_beyond(state, edge, LIMIT)
        brief = await put(self._store, *(new_job(extras=Extras(keep_us=n % 90)) for n in range(900)))
        for job in brief:
            await self._store.cancel(job.id)
        await self._store.redrive(brief[1].id)
        await self.remove_due(LIMIT)
        await self._store.remove_due(LIMIT, (self._now - DAY_US, brief[0].id))
        await self.new_history("another")
        await self.diagnose()


def _put(name: str, every_s: int) -> Put:
    timing = Timing(every_us=every_s * 1_000_000)
    return Put(name=name, timing=timing, job=NewJob(id="", type="mail"), given="{}", overlap="skip")


def _operation(action: Action, which: Filter) -> Operation:
    return Operation(id=new_id(), action=action, which=which)


FILTERS = [
    Filter(),
    Filter(states=(State.READY,)),
    Filter(states=(State.SCHEDULED,)),
    Filter(states=(State.RUNNING,)),
    Filter(states=(State.FAILED, State.CANCELLED)),
    Filter(queues=("default",)),
    Filter(queues=("q1", "q2")),
    Filter(states=(State.SUCCEEDED,), queues=("q3",)),
    Filter(types=("none",)),
    Filter(types=("other",), states=(State.SUCCEEDED,)),
    Filter(labels=(("who", "me"), ("n", None))),
    Filter(states=(State.FAILED,), errors=("exception",)),
    Filter(schedules=("nightly", "none")),
    Filter(parent=new_id()),
    Filter(parent=new_id(), states=(State.READY, State.FAILED), queues=("q1",)),
    Filter(states=(State.FAILED,), finished_after=1, created_before=DAY_US),
    Filter(states=(State.FAILED,), finished_after=1, types=("noop",), queues=("default", "q1")),
    Filter(states=(State.FAILED,), labels=(("who", "me"),)),
]


def unasked(asked: set[str]) -> set[str]:
    """Return the methods of a store that were not called."""
    return methods() - asked
