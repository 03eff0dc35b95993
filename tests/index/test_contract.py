"""What ``tickr/index/contract.py`` promises, held against both adapters by the same tests."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.ports import pop_ids
from tickr.errors import ConfigError
from tickr.index.contract import MAX_POP, Index, Promotion, Sizes
from tickr.index.open import open_index
from tickr.jobs import Entry

S = 1_000_000
NOW = 1_795_287_896 * S  # some day in 2026


def entry(job_id: str, *, queue: str = "default", priority: int = 5, run_at: int = NOW) -> Entry:
    return Entry(job_id, queue, priority, run_at)


@pytest.fixture(scope="session", params=["heap", pytest.param("redis", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> str:
    return "heap:" if request.param == "heap" else request.getfixturevalue("redis_server_url")


@pytest.fixture
def url(place: str) -> str:
    """URL of an index with nothing in it."""
    return place if place == "heap:" else f"{place}?namespace={uuid.uuid4().hex[:12]}"


@pytest.fixture
async def index(url: str) -> AsyncIterator[Index]:
    with trio.fail_after(30):
        async with open_index(url) as index:
            yield index


async def drain(index: Index, queues: list[str] | None = None, limit: int = MAX_POP) -> list[str]:
    """Pop until what ``sizes`` calls ready is gone."""
    ids: list[str] = []
    while (await index.sizes()).ready:
        ids += await pop_ids(index, queues or ["default"], limit)
    return ids


async def test_an_open_index_is_available_and_knows_what_it_is(index: Index, url: str) -> None:
    assert index.available
    await index.wait_available()
    assert (index.name, index.shared) == (("heap", False) if url == "heap:" else ("redis", True))
    with trio.move_on_after(0) as scope:
        await index.wait_unavailable()
    assert scope.cancelled_caught


async def test_ids_come_out_by_priority_and_then_by_instant(index: Index) -> None:
    wanted = [
        entry("a", priority=0, run_at=NOW),
        entry("b", priority=4, run_at=NOW - 10 * S),
        entry("c", priority=5, run_at=NOW - 90 * 365 * 86_400 * S),
        entry("d", priority=5, run_at=NOW - 2_000),
        entry("e", priority=5, run_at=NOW - 1_000),
        entry("f", priority=9, run_at=0),
        entry("g", priority=9, run_at=NOW - S),
    ]
    shuffled = random.Random(1).sample(wanted, len(wanted))
    await index.push(shuffled[:3], now=NOW)
    await index.push(shuffled[3:], now=NOW)
    assert await pop_ids(index, ["default"], 3) == ["a", "b", "c"]
    assert await pop_ids(index, ["default"], MAX_POP) == ["d", "e", "f", "g"]


async def test_instants_come_out_as_they_went_in_or_a_little_later(index: Index) -> None:
    """So that whoever pops what is early waits until it is due, and never claims before."""
    chance = random.Random(3)
    instants = {f"{n}": NOW + chance.randrange(100 * S) for n in range(200)}
    entries = [entry(one, priority=int(one) % 10, run_at=run_at) for one, run_at in instants.items()]
    await index.push(entries[:100], now=NOW + 100 * S)
    await index.push(entries[100:], now=NOW - 1)
    await index.promote(NOW + 50 * S, 1_000)
    await index.promote(NOW + 100 * S, 1_000)
    await index.park([entry("parked")], until=NOW + 7)
    await index.promote(NOW + 7, 1_000)
    hints = await index.pop(["default"], MAX_POP)
    assert all(0 <= hint.run_at - instants.get(hint.id, NOW + 7) < 17 for hint in hints)
    assert len(hints) == 201


async def test_adding_what_is_there_changes_nothing(index: Index) -> None:
    both = [entry("due"), entry("later", run_at=NOW + S)]
    for _ in range(3):
        await index.push(both, now=NOW)
    assert await index.sizes() == Sizes(1, 1)
    assert await drain(index) == ["due"]


async def test_pushing_nothing_is_fine(index: Index) -> None:
    await index.push([], now=NOW)
    await index.park([], until=NOW)
    await index.remove([])
    assert await index.missing([]) == []
    assert await index.sizes() == Sizes(0, 0)


async def test_a_pop_takes_no_more_than_its_limit(index: Index) -> None:
    await index.push([entry(f"{n:04d}") for n in range(1_201)], now=NOW)
    assert await pop_ids(index, ["default"], 1) == ["0000"]
    assert await pop_ids(index, ["default"], MAX_POP) == [f"{n:04d}" for n in range(1, 501)]
    assert await drain(index, limit=7) == [f"{n:04d}" for n in range(501, 1_201)]


async def test_it_is_known_whether_a_pop_would_find_something(index: Index) -> None:
    many = [f"q{n}" for n in range(1_200)]
    await index.push([entry("later", run_at=NOW + S), entry("other", queue="other")], now=NOW)
    assert not await index.has_ready([])
    assert not await index.has_ready(["default"])
    assert not await index.has_ready(many)
    assert await index.has_ready(["default", "other"])
    await index.promote(NOW + S, 10)
    assert await index.has_ready(["default"])
    assert await pop_ids(index, ["default"], MAX_POP) == ["later"]
    assert not await index.has_ready(["default"])
    await index.push([entry("last", queue=many[-1])], now=NOW)
    assert await index.has_ready(many)


@pytest.mark.parametrize(("queues", "limit"), [([], 1), (["default"], 0), (["default"], MAX_POP + 1)])
async def test_a_senseless_pop_is_refused(index: Index, queues: list[str], limit: int) -> None:
    with pytest.raises(ValueError):
        await index.pop(queues, limit)


async def test_a_pop_takes_from_the_first_queue_that_has_anything(index: Index) -> None:
    await index.push([entry("s1", queue="second", priority=0), entry("t1", queue="third")], now=NOW)
    assert await pop_ids(index, ["first", "second", "third"], 10) == ["s1"]
    await index.push([entry("f1", queue="first", priority=9), entry("s2", queue="second", priority=0)], now=NOW)
    assert await pop_ids(index, ["first", "second", "third"], 10) == ["f1"]
    assert await pop_ids(index, ["first", "second", "third"], 10) == ["s2"]
    assert await pop_ids(index, ["first", "second", "third"], 10) == ["t1"]


async def test_queue_names_of_any_kind_keep_apart(index: Index) -> None:
    names = ["a|5|b", "a", "a|5", "{x}", "ü ñ", "%d", "a*"]
    await index.push([entry(f"id-{n}", queue=name) for n, name in enumerate(names)], now=NOW)
    await index.push([entry(f"later-{n}", queue=name, run_at=NOW + S) for n, name in enumerate(names)], now=NOW)
    assert await index.promote(NOW + S, 100) == Promotion(len(names), None)
    for n, name in enumerate(names):
        assert sorted(await pop_ids(index, [name], 10)) == [f"id-{n}", f"later-{n}"]
    assert await index.sizes() == Sizes(0, 0)


# -- waiting --------------------------------------------------------------------------------------------------------


async def test_what_is_not_due_waits_and_is_promoted_in_order(index: Index) -> None:
    later = [entry(f"{n}", priority=n % 2, run_at=NOW + n * S) for n in range(1, 7)]
    await index.push([*later, entry("now", priority=9)], now=NOW)
    assert await index.sizes() == Sizes(1, 6)
    assert await index.promote(NOW, 100) == Promotion(0, NOW + S)
    assert await index.promote(NOW + 4 * S, 3) == Promotion(3, NOW + 4 * S)
    assert await index.promote(NOW + 4 * S, 3) == Promotion(1, NOW + 5 * S)
    assert await index.promote(NOW + 100 * S, 2) == Promotion(2, None)
    assert await drain(index) == ["2", "4", "6", "1", "3", "5", "now"]
    assert await index.promote(NOW + 100 * S, 2) == Promotion(0, None)


async def test_a_promotion_larger_than_one_step_is_whole(index: Index) -> None:
    await index.push([entry(f"{n:04d}", run_at=NOW + 1_000 + n) for n in range(2_500)], now=NOW)
    assert (await index.promote(NOW + S, 2_300)).moved == 2_300
    assert await index.sizes() == Sizes(2_300, 200)
    assert await index.promote(NOW + S, 2_300) == Promotion(200, None)


@pytest.mark.parametrize("us", [1, 499, 500, 999, 1_000, 1_001, 1_999])
async def test_nothing_is_promoted_early_by_a_microsecond(index: Index, us: int) -> None:
    await index.push([entry("a", run_at=NOW + us)], now=NOW)
    assert await index.sizes() == Sizes(0, 1)
    assert await index.promote(NOW + us - 1, 10) == Promotion(0, NOW + us)
    assert await index.promote(NOW + us, 10) == Promotion(1, None)


async def test_what_is_due_in_some_thousand_years_can_wait_for_it(index: Index) -> None:
    last = 253_402_300_799 * S  # of the year 9999; in a double that is right to some microseconds
    await index.push([entry("a", run_at=last)], now=NOW)
    moved, due_at = await index.promote(NOW, 10)
    assert moved == 0
    assert due_at is not None
    assert abs(due_at - last) < 100
    assert await index.promote(last + 100, 10) == Promotion(1, None)


async def test_two_promoters_at_once_move_each_entry_once(index: Index) -> None:
    await index.push([entry(f"{n:04d}", run_at=NOW + 1) for n in range(1_000)], now=NOW)
    moved: list[int] = []

    async def promoter() -> None:
        while (step := await index.promote(NOW + S, 50)).moved:
            moved.append(step.moved)

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(promoter)
    assert sum(moved) == 1_000
    assert await drain(index) == [f"{n:04d}" for n in range(1_000)]


async def test_a_parked_entry_waits_for_the_later_instant(index: Index) -> None:
    due = entry("a", run_at=NOW - S)
    await index.park([due], until=NOW + 5 * S)
    await index.park([due], until=NOW + 2 * S)
    assert await index.promote(NOW + 4 * S, 10) == Promotion(0, NOW + 5 * S)
    await index.park([due], until=NOW + 9 * S)
    assert await index.promote(NOW + 8 * S, 10) == Promotion(0, NOW + 9 * S)
    assert await index.promote(NOW + 9 * S, 10) == Promotion(1, None)
    assert await pop_ids(index, ["default"], 10) == ["a"]


# -- looking and removing -------------------------------------------------------------------------------------------


async def test_missing_are_those_neither_ready_nor_waiting(index: Index) -> None:
    held = [entry("ready"), entry("other", queue="other"), entry("waiting", run_at=NOW + S)]
    await index.push(held, now=NOW)
    lost = [entry("never"), entry("ready", queue="other"), entry("x", queue="unheard-of")]
    assert await index.missing([lost[0], held[0], lost[1], held[1], held[2], lost[2]]) == lost
    await index.pop(["other"], 1)
    assert await index.missing(held) == [held[1]]


async def test_removed_entries_are_gone_wherever_they_were(index: Index) -> None:
    entries = [entry("ready"), entry("stays"), entry("waiting", run_at=NOW + S), entry("other", queue="other")]
    await index.push(entries, now=NOW)
    await index.remove([entries[0], entries[2], entries[3], entry("never")])
    assert await index.sizes() == Sizes(1, 0)
    assert await index.promote(NOW + S, 10) == Promotion(0, None)
    assert await drain(index) == ["stays"]


async def test_epoch_is_what_was_set_last(index: Index) -> None:
    assert await index.epoch() is None
    await index.set_epoch("one")
    assert await index.epoch() == "one"
    await index.set_epoch("two@2")
    assert await index.epoch() == "two@2"


async def test_an_epoch_takes_the_place_of_a_certain_one_only(index: Index) -> None:
    assert not await index.set_epoch("two", instead_of="one")
    assert await index.epoch() is None
    assert await index.set_epoch("one")
    assert await index.set_epoch("two", instead_of="one")
    assert not await index.set_epoch("three", instead_of="one")
    assert await index.epoch() == "two"


# -- waiting pops ---------------------------------------------------------------------------------------------------


async def test_a_waiting_pop_is_woken_by_a_push_and_by_a_promotion(index: Index) -> None:
    popped: list[list[str]] = []

    async def pop() -> None:
        popped.append(await pop_ids(index, ["first", "default"], 10))

    for wake in ("push", "promote"):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pop)
            await wait_all_tasks_blocked()
            await index.push([entry(wake, run_at=NOW + (wake == "promote"))], now=NOW)
            await index.promote(NOW + S, 10)
    assert popped == [["push"], ["promote"]]


async def test_each_id_goes_to_one_of_many_poppers(index: Index) -> None:
    popped: list[str] = []
    async with trio.open_nursery() as nursery:

        async def pop() -> None:
            while True:
                popped.extend(await pop_ids(index, ["default"], 3))
                if len(popped) >= 200:
                    nursery.cancel_scope.cancel()

        for _ in range(5):
            nursery.start_soon(pop)
        for n in range(200):
            await index.push([entry(f"{n:03d}")], now=NOW)
        await trio.sleep_forever()
    assert sorted(popped) == [f"{n:03d}" for n in range(200)]


async def test_a_cancelled_pop_returns_at_once_and_takes_nothing(index: Index) -> None:
    for _ in range(3):
        with trio.fail_after(1):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(index.pop, ["default"], 10)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
    await index.push([entry("a")], now=NOW)
    assert await pop_ids(index, ["default"], 10) == ["a"]


async def test_a_pop_cancelled_while_a_push_arrives_loses_nothing(index: Index) -> None:
    chance = random.Random(7)
    popped: list[str] = []

    async def pop(scope: trio.CancelScope) -> None:
        with scope:
            popped.extend(await pop_ids(index, ["default"], MAX_POP))

    for n in range(300):
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            nursery.start_soon(pop, scope)
            # Between at once and about the time that a push takes, so that either may be first.
            scope.deadline = trio.current_time() + chance.random() * 0.002
            nursery.start_soon(push_one, index, n)
    popped += await drain(index)
    assert sorted(popped) == [f"{n:03d}" for n in range(300)]


async def push_one(index: Index, n: int) -> None:
    await index.push([entry(f"{n:03d}", priority=n % 10, run_at=NOW - n)], now=NOW)


async def test_what_a_cancelled_pop_puts_back_keeps_its_place(index: Index) -> None:
    await index.push([entry("second", priority=1), entry("third", priority=2)], now=NOW)
    with trio.CancelScope() as scope:
        scope.cancel()
        await index.pop(["default"], 10)
    await index.push([entry("first", priority=0), entry("fourth", priority=3)], now=NOW)
    assert await drain(index) == ["first", "second", "third", "fourth"]


# -- opening --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_two_indexes_on_one_redis_share_by_namespace(redis_url: str, redis_server_url: str) -> None:
    with trio.fail_after(30):
        async with (
            open_index(redis_url) as one,
            open_index(redis_url) as two,
            open_index(f"{redis_server_url}?namespace=other") as other,
            trio.open_nursery() as nursery,
        ):
            send, receive = trio.open_memory_channel[list[str]](1)

            async def pop(index: Index) -> None:
                await send.send(await pop_ids(index, ["default"], 10))

            nursery.start_soon(pop, two)
            await wait_all_tasks_blocked()
            await other.push([entry("elsewhere")], now=NOW)
            await one.push([entry("shared")], now=NOW)
            assert await receive.receive() == ["shared"]
            await one.set_epoch("e")
            assert (await two.epoch(), await other.epoch()) == ("e", None)
            await other.remove([entry("elsewhere")])


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("mysql://localhost/x", "neither"),
        ("", "neither"),
        ("heap", "neither"),
        ("redis://localhost:x/0", "port"),
        ("redis://localhost:99999", "port"),
        ("redis://localhost/zero", "database"),
        ("redis://[::1", "host"),
        ("redis://a..b/0", "host"),
        ("redis://localhost/0?namespace=a{b}", "namespace"),
        ("redis://localhost/0?namespace=", "namespace"),
        ("redis://localhost/0?socket_timeout=0", "socket_timeout"),
        ("redis://localhost/0?ssl_ca_certs=x", "ssl_ca_certs"),
    ],
)
async def test_a_malformed_url_is_a_config_error(url: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        async with open_index(url):
            pass


async def test_config_errors_name_all_faults_and_no_password() -> None:
    with pytest.raises(ConfigError) as caught:
        open_index("redis://me:hunter2@localhost:port/zero?namespace=!")
    assert len(caught.value.faults) == 3
    assert "hunter2" not in str(caught.value)
