"""Schedules that code declares: put when a node starts, left alone after that, and at rest between two programs."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import tickr
from tests.store.backends import new_id
from tickr import declared
from tickr.announce import Announcer
from tickr.bell import LocalBell
from tickr.declared import AGAIN_S, WATCH_S, keep, read
from tickr.errors import ConfigError, StoreUnavailable
from tickr.jobs import NewJob
from tickr.next_ticks import NextTick
from tickr.schedule_moves import Delete, Pause, Put
from tickr.schedules import Schedule
from tickr.sealing import NO_VAULT, Vault
from tickr.signing import Signer
from tickr.store.contract import Node, Store
from tickr.store.memory import MemoryStore
from tickr.ticks import Timing
from tickr.timetable import Timetable


def program(every: float = 60, *, name: str = "s", timeout: float | None = None, **wish: Any) -> tickr.Jobs:
    jobs = tickr.Jobs()

    @jobs.schedule(name, every=every, **wish)
    @jobs.handler("report", timeout=timeout)
    async def report() -> None: ...

    return jobs


@pytest.fixture
async def store() -> Store:
    return MemoryStore(clock=lambda: 1_800_000_000_000_000 + int(trio.current_time() * 1e6))


@asynccontextmanager
async def node(store: Any, jobs: tickr.Jobs, vault: Vault = NO_VAULT) -> AsyncIterator[None]:
    """A block in which a node of that program lives, as far as its declarations go."""
    found = read(jobs, store.now_us(), vault)
    about = Node(id=new_id(), host="h", pid=1, version="1", declared=tuple(one.mark for one in found))
    await store.register(about, lease_s=3600)
    bell = LocalBell()
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(keep, found, store, Timetable(store, bell, Announcer(store, None, bell), vault)))
        yield
        nursery.cancel_scope.cancel()
    await store.deregister(about.id)


async def every(store: Store) -> float:
    """Return the interval that is stored, in seconds."""
    schedule = await store.schedule("s")
    assert schedule is not None
    return (schedule.timing.every_us or 0) / 1e6


async def look(store: Store) -> Schedule:
    found = await store.schedule("s")
    assert found is not None
    return found


async def put(store: Store, every_s: int) -> None:
    wish = Put(name="s", timing=Timing(every_us=every_s * 10**6), job=NewJob(id="", type="report"), given="{}")
    await store.move_schedules([wish])


# -- one program ------------------------------------------------------------------------------------------------------


async def test_it_is_there_once_the_node_has_started_and_stays(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program()):
        first = await look(store)
        assert first.job.type == "report"
        await trio.sleep(10 * WATCH_S)  # virtual
    async with node(store, program()), node(store, program()):
        assert await look(store) == first


async def test_what_was_changed_by_hand_stays_until_the_code_says_something_else(
    store: Store, autojump_clock: MockClock
) -> None:
    async with node(store, program()):
        await put(store, 7)
        await store.move_schedules([Pause(name="s")])
        await trio.sleep(10 * WATCH_S)  # virtual
    async with node(store, program()):
        assert (await every(store), (await look(store)).paused) == (7, True)
    async with node(store, program(90)):
        assert (await every(store), (await look(store)).paused) == (90, True)


async def test_what_was_deleted_by_hand_comes_back_with_the_next_node(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program()):
        await store.move_schedules([Delete(name="s")])
        await trio.sleep(10 * WATCH_S)  # virtual
        assert await store.schedule("s") is None
    async with node(store, program()):
        assert await every(store) == 60


async def test_one_that_was_put_by_hand_is_taken_over(store: Store, autojump_clock: MockClock) -> None:
    await put(store, 7)
    async with node(store, program()):
        assert (await every(store), len((await look(store)).declared)) == (60, 1)


async def test_what_is_no_longer_declared_stays_as_it_is(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program()):
        before = await look(store)
    async with node(store, program(name="other")):
        await trio.sleep(10 * WATCH_S)  # virtual
        assert await look(store) == before


async def test_a_wish_of_the_handler_is_part_of_what_is_declared(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program(timeout=5)):
        assert (await look(store)).job.timeout_us == 5_000_000
    async with node(store, program(timeout=9)):
        assert (await look(store)).job.timeout_us == 9_000_000


async def test_a_first_tick_at_once_comes_with_a_new_declaration_and_not_with_each_start(
    store: Store, autojump_clock: MockClock
) -> None:
    jobs = program(3600, start="now")
    async with node(store, jobs):
        first = (await look(store)).next_at
        assert first == store.now_us()
    await trio.sleep(1)  # virtual
    async with node(store, jobs):
        assert (await look(store)).next_at == first
    async with node(store, program(1800, start="now")):
        assert (await look(store)).next_at == store.now_us()


# -- two programs -----------------------------------------------------------------------------------------------------


async def test_the_newer_program_has_its_way_though_older_nodes_start_again(
    store: Store, autojump_clock: MockClock
) -> None:
    old, new = program(60), program(90)
    async with node(store, old), node(store, new):
        assert await every(store) == 90
        version = (await look(store)).version
        for _ in range(3):
            async with node(store, old):
                await trio.sleep(3 * WATCH_S)  # virtual
        assert (await every(store), (await look(store)).version) == (90, version)


async def test_a_program_that_is_rolled_back_has_its_way_once_the_newer_one_is_gone(
    store: Store, autojump_clock: MockClock
) -> None:
    old, new = program(60), program(90)
    async with node(store, old):
        pass
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery, node(store, new):
            gone = trio.Event()

            async def rolled_back() -> None:
                async with node(store, old):
                    assert await every(store) == 90
                    await gone.wait()
                    await trio.sleep(AGAIN_S + 1)  # virtual
                    assert await every(store) == 60

            nursery.start_soon(rolled_back)
            await wait_all_tasks_blocked()
            nursery.start_soon(_after_a_moment, gone)
    assert [line["schedules"] for line in lines if line["event"] == "schedule.left_as_it_is"] == [["s"]]


async def test_a_node_without_keys_puts_nothing_in_the_clear_that_was_encrypted(
    store: Store, autojump_clock: MockClock
) -> None:
    key = ("one", base64.b64encode(bytes(32)).decode())
    async with node(store, program(60), Vault([key])):
        assert (await look(store)).job.extras.sealed is not None
    async with node(store, program(90)):
        await trio.sleep(3 * AGAIN_S)  # virtual
        assert ((await look(store)).job.extras.sealed is not None, await every(store)) == (True, 60)
    async with node(store, program(90), Vault([key])):
        assert await every(store) == 90


async def test_a_node_that_does_not_sign_takes_no_signature_away(store: Store, autojump_clock: MockClock) -> None:
    vault = Vault(signer=Signer([("one", base64.b64encode(bytes(32)).decode())]))
    async with node(store, program(60)):
        assert (await look(store)).job.extras.signed is None
    async with node(store, program(60), vault):
        assert (await look(store)).job.extras.signed is not None, "it is declared anew to be signed"
    async with node(store, program(90)):
        await trio.sleep(3 * AGAIN_S)  # virtual
        assert ((await look(store)).job.extras.signed is not None, await every(store)) == (True, 60)
    async with node(store, program(90), vault):
        assert await every(store) == 90


async def _after_a_moment(gone: trio.Event) -> None:
    await trio.sleep(0.1)  # virtual: the newer node has gone by then
    gone.set()


async def test_a_trial_that_ends_leaves_the_program_that_lives_on(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program(60)):
        async with node(store, program(90)):
            assert await every(store) == 90
        await trio.sleep(WATCH_S + AGAIN_S + 1)  # virtual
        assert await every(store) == 60


async def test_a_newer_node_that_starts_again_loses_nothing_by_that(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program(60)), node(store, program(60)):
        async with node(store, program(90)):
            await trio.sleep(WATCH_S / 2)  # virtual
        for _ in range(20):
            await trio.sleep(AGAIN_S * 0.7)  # virtual: away
            async with node(store, program(90)):
                await trio.sleep(AGAIN_S * 1.1)  # virtual
                assert await every(store) == 90


async def test_who_goes_back_alone_need_not_wait(store: Store, autojump_clock: MockClock) -> None:
    for seconds in (60, 90, 60, 90):
        async with node(store, program(seconds)):
            assert await every(store) == seconds


async def test_two_programs_that_stay_come_to_rest(store: Store, autojump_clock: MockClock) -> None:
    async with node(store, program(60)), node(store, program(90)):
        await trio.sleep(3 * WATCH_S)  # virtual
        at_rest = await look(store)
        await trio.sleep(30 * WATCH_S)  # virtual
        assert await look(store) == at_rest


async def test_who_was_second_looks_again(store: Store, autojump_clock: MockClock, monkeypatch: Any) -> None:
    """Somebody else's declaration is stored between this node's look and its own."""
    real = store.schedule
    rival = read(program(7), store.now_us())[0]

    async def late(name: str) -> Schedule | None:
        found = await real(name)
        if found is None:
            await store.move_schedules([rival.wish])
        return found

    monkeypatch.setattr(store, "schedule", late)
    async with node(store, program(60)):
        assert await every(store) == 7
        await trio.sleep(AGAIN_S + 1)  # virtual
        assert await every(store) == 60


# -- what goes wrong --------------------------------------------------------------------------------------------------


async def test_a_store_that_is_away_is_asked_again(store: Store, autojump_clock: MockClock, monkeypatch: Any) -> None:
    async def away(name: str) -> None:
        raise StoreUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(store, "schedule", away)
        declaring = node(store, program())
        await declaring.__aenter__()
    assert await store.schedule("s") is None
    await trio.sleep(AGAIN_S + 1)  # virtual
    assert await every(store) == 60
    await declaring.__aexit__(None, None, None)


async def test_one_for_which_there_is_no_room_keeps_no_other_back(
    store: Store, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tickr.store.memory_schedules.MAX_SCHEDULES", 1)
    jobs = program()
    jobs.schedules.add("too-many", "report", every=60)
    with structlog.testing.capture_logs() as lines:
        async with node(store, jobs):
            await trio.sleep(AGAIN_S * 2.5)  # virtual
            assert await every(store) == 60
    assert {line["schedule"] for line in lines if line["event"] == "schedule.not_declared"} == {"too-many"}


def test_all_that_is_wrong_is_told_before_the_node_starts() -> None:
    jobs = program(0.5)
    jobs.schedules.add("b", "report", every=60, priority=12, queue="a b")
    jobs.schedules.add("c", "report", "x" * 70_000, every=60)
    with pytest.raises(ConfigError) as told:
        read(jobs, 1_800_000_000_000_000)
    assert list(told.value.faults) == [
        "schedule s: every must be a number of seconds from 1 to 10 years",
        "schedule b: job/priority must be a whole number from 0 (runs first) to 9",
        "schedule b: job/queue must be 1 to 64 letters, digits or _ . : -, beginning with a letter or digit",
        "schedule c: it may be 65536 bytes long",
    ]


async def test_a_node_does_not_start_with_what_cannot_be() -> None:
    with pytest.raises(ConfigError, match="every must be a number of seconds"):
        await tickr.serve(program(0.5), store="memory:", index="heap:", port=0)


def test_all_that_is_wrong_with_one_by_function_is_told() -> None:
    jobs = tickr.Jobs()
    jobs.schedules.add("s", "report", next_tick=_hour, timezone="Berlin", start_at=datetime(2031, 1, 1, tzinfo=UTC))
    with pytest.raises(ConfigError) as told:
        read(jobs, 1_800_000_000_000_000)
    assert list(told.value.faults) == [
        "schedule s: start_at is for every alone",
        "schedule s: timezone must be the IANA name of a time zone, like Europe/Berlin or UTC; did you mean "
        '"Europe/Berlin"?',
    ]


def _hour(after: datetime) -> datetime:
    return after + timedelta(hours=1)


def test_the_code_of_a_function_is_part_of_the_mark() -> None:
    def marks(*functions: NextTick) -> list[str]:
        found = []
        for function in functions:
            jobs = tickr.Jobs()
            jobs.schedules.add("s", "report", next_tick=function)
            found += [one.mark for one in read(jobs, 1_800_000_000_000_000)]
        return found

    first, again, other = marks(_hour, _hour, lambda after: after + timedelta(hours=1))
    assert first == again != other


def test_a_mark_is_of_what_is_said_alone() -> None:
    first, again, other = (
        declared.mark_of(next(iter(jobs.schedules)), jobs) for jobs in (program(), program(), program(61))
    )
    assert first == again != other
