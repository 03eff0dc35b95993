"""Every method of the contract, cut at each of its checkpoints, beside a twin on which it runs undisturbed.

After each cut the store shows what the twin showed before the call or what it shows after it, and nothing between;
asked again it gets there. Both go through the same scenes with the same ids under the same clock, and the twin is the
memory store, which the contract's other tests hold to the same promises.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from functools import partial

import pytest

from tests.faults.cutting import cut_at
from tests.faults.mysql_checks import assert_clean, connections_to, pools_of
from tests.store.backends import MANY_BYTES, START, Backend, a_node, methods
from tests.store.inboxed import rows_of
from tests.store.keyed import unique_of
from tests.store.linked import child_of
from tests.store.scenes import (
    MANY,
    Case,
    Scene,
    add_tallies,
    admitted,
    begin_operation,
    claim_all,
    end_operation,
    end_unique,
    few,
    fire_and_pause,
    have_an_old_operation,
    insert_and_start,
    insert_another,
    insert_some_again,
    insert_with_keys,
    keep_something,
    kept_some,
    log_something,
    logged_some,
    marked,
    put_family,
    put_sequence,
    put_unique,
    reseal_all,
    rows,
    running,
    say_something,
    scheduled,
    seen,
    settle,
    spawn_more,
    step,
    unadmitted,
    uncounted,
    unique,
    unmarked,
    unseen,
    use_up_a_queue,
)
from tests.waiting import eventually
from tickr.edits import Edit
from tickr.jobs import NewJob, State
from tickr.operation_moves import Stop
from tickr.store.contract import MAX_BATCH, Edge, Filter, Span, Store
from tickr.store.memory import MemoryStore
from tickr.store.mysql import MysqlStore
from tickr.store.orders import Order
from tickr.tallies import Step
from tickr.tokens import Make, Revoke
from tickr.trail import Ended

ABSENT = "f" * 32
FAR = 2 * START

JOBS = [
    Case("insert", partial(Scene.put, count=0), lambda s: s.store.insert(s.new(3))),
    Case("insert again", few, insert_some_again),
    Case("insert and start", partial(Scene.join, count=0), insert_and_start),
    Case("insert with keys", partial(Scene.put, count=0), insert_with_keys),
    Case("insert and replace", put_unique, lambda s: s.store.insert([unique(s, 1, "replace")])),
    Case("cancel", few, lambda s: s.store.cancel(s.jobs[0].id)),
    Case("cancel running", running, lambda s: s.store.cancel(s.jobs[0].id, reason="why")),
    Case("edit", few, lambda s: s.store.edit(s.jobs[0].id, Edit(queue=f"{s.type} edited", priority=1, expires_at=FAR))),
    Case("delete", partial(Scene.fail, count=2), lambda s: s.store.delete(s.jobs[0].id)),
    Case("drop_queue", use_up_a_queue, lambda s: s.store.drop_queue(s.type)),
    Case("redrive", partial(Scene.fail, count=1), lambda s: s.store.redrive(s.jobs[0].id)),
    Case("redrive with a key", end_unique, lambda s: s.store.redrive(s.ids()[0])),
    Case("claim", partial(Scene.join, count=3), claim_all),
    Case("claim_due", partial(Scene.join, count=3), lambda s: s.store.claim_due(3, node=s.node, types={s.type})),
    Case("claim limited", partial(Scene.limit, count=3), lambda s: s.store.claim(s.ids(), node=s.node, types={s.type})),
    Case("control", few, lambda s: s.store.control(s.type, paused=True)),
    Case("finish", running, lambda s: s.store.finish(s.outcomes("retried", "failed", "released", "succeeded"))),
    Case("finish cancelled", partial(Scene.ask_to_stop, count=MANY), lambda s: s.store.finish(s.outcomes("retried"))),
]
UPKEEP = [
    Case("note", running, say_something),
    Case("keep_log", running, log_something),
    Case("keep_checkpoints", running, keep_something),
    Case("prune_checkpoints", kept_some, lambda s: s.store.prune_checkpoints(MAX_BATCH)),
    Case("register", few, lambda s: s.store.register(a_node(id=s.node), lease_s=15)),
    Case("heartbeat", running, lambda s: s.store.heartbeat(s.node, lease_s=30)),
    Case("deregister", running, lambda s: s.store.deregister(s.node)),
    Case("expire", running, lambda s: s.store.expire(s.node, lease_until=START + 15_000_000)),
    Case("order_node", running, lambda s: s.store.order_node(s.node, Order(stop=True))),
    Case("claim what has expired", partial(Scene.let_expire, count=3), claim_all),
    Case("end_expired", partial(Scene.let_expire, count=3), lambda s: s.store.end_expired(100)),
    Case("reap", partial(Scene.lose, count=3), lambda s: s.store.reap(100)),
    Case("prune_keys", put_unique, lambda s: s.store.prune_keys(MAX_BATCH)),
    Case("prune_jobs", partial(Scene.fail, count=3), lambda s: s.store.prune_jobs(State.FAILED, 2 * START, MAX_BATCH)),
    Case("remove_due", partial(Scene.outlive, count=3), lambda s: s.store.remove_due(MAX_BATCH)),
    Case(
        "prune_beyond",
        partial(Scene.fail, count=3),
        lambda s: s.store.prune_beyond(State.FAILED, Edge(2 * START, ABSENT), MAX_BATCH),
    ),
    Case("reseal", few, reseal_all),
    Case(
        "spawn",
        running,
        lambda s: s.store.spawn(
            s.jobs[0], [child_of(s.jobs[0], NewJob(id=str(uuid.uuid5(uuid.NAMESPACE_OID, s.type)), type="x"))]
        ),
    ),
    Case("spawn more", put_family, spawn_more),
    Case("settle_links", put_family, lambda s: s.store.settle_links(s.ids())),
    Case("move_schedules new", scheduled, lambda s: s.store.move_schedules([s.schedule("new")])),
    Case("move_schedules fire", scheduled, fire_and_pause),
    Case("settle_inbox", rows, settle),
    Case("settle_inbox taken", rows, lambda s: s.store.settle_inbox(s.rows[:2], {})),
    Case("retry_inbox", rows, lambda s: s.store.retry_inbox(s.rows[-1])),
    Case("drop_inbox", rows, lambda s: s.store.drop_inbox(s.rows[-1])),
    Case("add_tallies", uncounted, add_tallies),
    Case("prune_sums", few, lambda s: s.store.prune_sums(Step.DAY, START, MAX_BATCH)),
    Case("look_at_backlog", unseen, lambda s: s.store.look_at_backlog(0)),
    Case("prune_backlog", seen, lambda s: s.store.prune_backlog(Step.DAY, FAR, MAX_BATCH)),
    Case("make_mark", unmarked, lambda s: s.store.make_mark(s.mark)),
    Case("drop_mark", marked, lambda s: s.store.drop_mark(s.mark.id)),
    Case("change_token make", unadmitted, lambda s: s.store.change_token(Make(s.token))),
    Case("change_token revoke", admitted, lambda s: s.store.change_token(Revoke(s.token.id))),
    Case("use_tokens", admitted, lambda s: s.store.use_tokens({s.token.id: START})),
    Case("write_trail", unadmitted, lambda s: s.store.write_trail([s.entry], [Ended(s.entry.id, 200, "it")])),
    Case("prune_trail", admitted, lambda s: s.store.prune_trail(2 * START, MAX_BATCH)),
    Case("prune_inbox", rows, lambda s: s.store.prune_inbox(2 * START, MAX_BATCH)),
]
READS = [
    Case("last_beyond", partial(Scene.fail, count=3), lambda s: s.store.last_beyond(State.FAILED, 1)),
    Case("get", few, lambda s: s.store.get(s.jobs[0].id)),
    Case("job_log", logged_some, lambda s: s.store.job_log(s.jobs[0].id, 2)),
    Case("checkpoint", kept_some, lambda s: s.store.checkpoint(s.jobs[0])),
    Case("holder", put_unique, lambda s: s.store.holder(unique_of(s.type))),
    Case("get_many", few, lambda s: s.store.get_many(s.ids())),
    Case("attempts", running, lambda s: s.store.attempts(s.jobs[0].id)),
    Case("list_jobs", few, lambda s: s.store.list_jobs(Filter(types=(s.type,)), limit=2)),
    Case("queues", few, lambda s: s.store.queues()),
    Case("standings", partial(Scene.limit, count=3), lambda s: s.store.standings()),
    Case("newest_first", few, lambda s: s.store.newest_first()),
    Case("queue_names", few, lambda s: s.store.queue_names()),
    Case("due", few, lambda s: s.store.due(2)),
    Case("waiting_after", few, lambda s: s.store.waiting_after(None, 2)),
    Case("still_waiting", few, lambda s: s.store.still_waiting(s.ids())),
    Case("ahead", few, lambda s: s.store.ahead(s.jobs[0], count_to=10)),
    Case("epoch", few, lambda s: s.store.epoch("mine")),
    Case("nodes", running, lambda s: s.store.nodes()),
    Case("node", running, lambda s: s.store.node(s.node)),
    Case("at_work", running, lambda s: s.store.at_work(5, node=s.node)),
    Case("event_rows", few, lambda s: s.store.event_rows(s.seen, 10, MANY_BYTES)),
    Case("number_events", few, lambda s: s.store.number_events()),
    Case("feed_state", few, lambda s: s.store.feed_state()),
    Case("prune_events", few, lambda s: s.store.prune_events(START, 10)),
    Case("new_history", few, lambda s: s.store.new_history("another")),
    Case("diagnose", few, lambda s: s.store.diagnose()),
    Case("waits_of", put_family, lambda s: s.store.waits_of(s.ids()[0])),
    Case("open_links", put_family, lambda s: s.store.open_links(10)),
    Case("children", put_family, lambda s: s.store.children(s.ids())),
    Case("schedule", scheduled, lambda s: s.store.schedule(f"{s.type}.0")),
    Case("schedules", scheduled, lambda s: s.store.schedules(1)),
    Case("due_schedules", scheduled, lambda s: s.store.due_schedules(1)),
    Case("key_uses", few, lambda s: s.store.key_uses(2)),
    Case("inbox_rows", rows, lambda s: rows_of(s.store)),
    Case("inbox_refused", rows, lambda s: s.store.inbox_refused(2)),
    Case("untallied", few, lambda s: s.store.untallied(2)),
    Case("tallied", few, lambda s: s.store.tallied()),
    Case("sums", few, lambda s: s.store.sums(Span(Step.DAY, 0, 2 * START), 2)),
    Case("weights", few, lambda s: s.store.weights(Span(Step.DAY, 0, 2 * START))),
    Case("busiest", few, lambda s: s.store.busiest(Span(Step.DAY, 0, 2 * START), "type", 2)),
    Case("backlog", seen, lambda s: s.store.backlog(Span(Step.DAY, 0, FAR), 2)),
    Case("marks", marked, lambda s: s.store.marks(0, 2 * START, 10)),
    Case("tokens", admitted, lambda s: s.store.tokens()),
    Case("trail", admitted, lambda s: s.store.trail(2, who=s.type)),
    Case("ping", few, lambda s: s.store.ping()),
]
SEQUENCES = [
    Case("insert in a sequence", put_sequence, insert_another),
    Case("settle_links in a sequence", put_sequence, lambda s: s.store.settle_links(s.ids())),
    Case("redrive in a sequence", put_sequence, lambda s: s.store.redrive(s.ids()[1])),
]
OPERATIONS = [
    Case("move_operation begin", partial(Scene.fail, count=3), lambda s: s.store.move_operation(s.begin())),
    Case("move_operation step", begin_operation, step),
    Case("move_operation stop", begin_operation, lambda s: s.store.move_operation(Stop(s.operation))),
    Case("prune_operations", have_an_old_operation, lambda s: s.store.prune_operations(2 * START, 1, MAX_BATCH)),
    Case("tally", few, lambda s: s.store.tally(Filter(states=(State.READY,), types=(s.type,)))),
    Case("operation", begin_operation, lambda s: s.store.operation(s.operation)),
    Case("operations", begin_operation, lambda s: s.store.operations(1)),
    Case("due_operations", begin_operation, lambda s: s.store.due_operations(1)),
]


def test_every_method_has_its_case() -> None:
    named = {case.name.split()[0] for case in JOBS + UPKEEP + READS + OPERATIONS}
    assert named == methods()


GROUPS = {"jobs": JOBS, "upkeep": UPKEEP, "reads": READS, "sequences": SEQUENCES, "operations": OPERATIONS}
TAKE_LONG = [("mysql", "upkeep"), ("mysql", "reads")]
"""There a cut costs a connection; what is left is what changes jobs."""


def marks(adapter: str, group: str) -> list[pytest.MarkDecorator]:
    slow = [pytest.mark.slow] if adapter == "mysql" else []
    return [*slow, pytest.mark.long] if (adapter, group) in TAKE_LONG else slow


@pytest.mark.parametrize(
    ("backend", "cases"),
    [
        pytest.param(adapter, cases, id=f"{adapter}-{group}", marks=marks(adapter, group))
        for adapter in ("memory", "sqlite", "mysql")
        for group, cases in GROUPS.items()
    ],
    indirect=["backend"],
)
async def test_a_cut_at_any_checkpoint_is_as_if_it_were_not_or_were_done(
    backend: Backend, cases: Sequence[Case]
) -> None:
    twin = MemoryStore(clock=backend.clock)
    async with backend.open() as store:
        for case in cases:
            for checkpoint in itertools.count(1):
                if await cut_once(case, checkpoint, store, twin):
                    break
            assert checkpoint > 1, case.name
        await assert_nothing_is_left(store, backend)


async def cut_once(case: Case, checkpoint: int, store: Store, twin: Store) -> bool:
    """Run ``case`` on both, cut at ``checkpoint`` on ``store``. Returns whether there was no such checkpoint."""
    name = f"{case.name.replace(' ', '-')}.{checkpoint}"
    scene, undisturbed = Scene(store, name), Scene(twin, name)
    for one in (scene, undisturbed):
        one.seen = await one.store.number_events()
        await case.prepare(one)
    before = await undisturbed.view()
    assert await scene.view() == before, name
    await case.call(undisturbed)
    after = await undisturbed.view()

    too_late = await cut_at(checkpoint, partial(case.call, scene))
    await assert_usable(store)
    found = await scene.view()
    assert found in ((after,) if too_late else (before, after)), name
    if found != after:
        await case.call(scene)
        assert await scene.view() == after, name
    for one in (scene, undisturbed):
        if await one.store.operation(one.operation):
            await end_operation(one)
        await one.store.deregister(one.node)
        await one.store.reap(100)
    return too_late


async def assert_usable(store: Store) -> None:
    if isinstance(store, MysqlStore):
        for pool in pools_of(store):
            await assert_clean(pool)


async def assert_nothing_is_left(store: Store, backend: Backend) -> None:
    """No connection is there but those that wait to be used again."""
    if isinstance(store, MysqlStore):
        idle = sum(len(pool._idle) for pool in pools_of(store))

        async def only_those() -> bool:
            return await connections_to(backend.url) == idle

        await eventually(only_those)
