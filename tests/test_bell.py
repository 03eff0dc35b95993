"""The bell: what both promise, and what the one over Redis adds. A ring may be lost; here is what may not happen."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest
import structlog
import trio

from tests.servers import Redis
from tests.waiting import eventually
from tickr.bell import LISTENER_BUFFER, Bell, Ring, open_bell
from tickr.errors import ConfigError

WORK, QUEUE = Ring("work"), Ring("queue")
CHANNEL = "tickr:{t}:bell"


@pytest.fixture(scope="session", params=["heap", pytest.param("redis", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest) -> str:
    return "heap:" if request.param == "heap" else request.getfixturevalue("redis_server_url")


@pytest.fixture
async def bell(place: str) -> AsyncIterator[Bell]:
    url = place if place == "heap:" else f"{place}?namespace={uuid.uuid4().hex[:12]}"
    with trio.fail_after(30):
        async with open_bell(url) as bell:
            yield bell


def heard(rings: trio.MemoryReceiveChannel[Ring]) -> list[Ring]:
    """Return what lies before a listener now."""
    found: list[Ring] = []
    while True:
        try:
            found.append(rings.receive_nowait())
        except trio.WouldBlock:
            return found


# -- both -----------------------------------------------------------------------------------------------------------


async def test_listeners_hear_their_kinds_at_once_and_in_order(bell: Bell) -> None:
    async with bell.listen("work", "due") as some, bell.listen("due") as due, bell.listen("cancel") as cancel:
        await bell.ring(Ring("due", at=2), WORK, QUEUE, Ring("due", at=1))
        await bell.ring(Ring("cancel", job="j"))
        assert heard(some) == [Ring("due", at=2), WORK, Ring("due", at=1)]
        assert heard(due) == [Ring("due", at=2), Ring("due", at=1)]
        assert heard(cancel) == [Ring("cancel", job="j")]


async def test_only_rings_from_inside_the_block_are_heard(bell: Bell) -> None:
    await bell.ring(WORK)
    async with bell.listen("work") as rings:
        assert heard(rings) == []
    await bell.ring(WORK)
    with pytest.raises(trio.ClosedResourceError):
        rings.receive_nowait()


async def test_a_full_listener_drops_what_is_new_and_holds_up_nobody(bell: Bell) -> None:
    async with bell.listen("due") as full, bell.listen("due") as other:
        for at in range(LISTENER_BUFFER + 10):
            await bell.ring(Ring("due", at=at))
            if at == LISTENER_BUFFER:
                assert len(heard(other)) == LISTENER_BUFFER
        assert [ring.at for ring in heard(full)] == list(range(LISTENER_BUFFER))
        assert [ring.at for ring in heard(other)] == list(range(LISTENER_BUFFER + 1, LISTENER_BUFFER + 10))


async def test_a_listener_that_closed_its_channel_is_passed_over(bell: Bell) -> None:
    async with bell.listen("work") as gone, bell.listen("work") as rings:
        await gone.aclose()
        await bell.ring(WORK)
        assert heard(rings) == [WORK]


async def test_listening_for_nothing_is_refused(bell: Bell) -> None:
    with pytest.raises(ValueError):
        async with bell.listen():
            pass


@pytest.mark.parametrize("url", ["", "mysql://localhost", "redis://localhost/x"])
async def test_a_malformed_url_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        async with open_bell(url):
            pass


# -- over Redis -----------------------------------------------------------------------------------------------------


async def test_another_process_hears_everything_once_and_in_order(redis_url: str) -> None:
    rings = [Ring("due", at=5), Ring("cancel", job="j"), WORK, QUEUE]
    kinds = [ring.kind for ring in rings]
    with trio.fail_after(10):
        async with (
            open_bell(redis_url) as here,
            open_bell(redis_url) as there,
            here.listen(*kinds) as at_home,
            there.listen(*kinds) as abroad,
        ):
            await here.ring(*rings)
            assert [await abroad.receive() for _ in rings] == rings
            await there.ring(Ring("due", at=6))
            # In a channel what came before comes first: had our own rings come back, they would stand here.
            assert [await at_home.receive() for _ in range(len(rings) + 1)] == [*rings, Ring("due", at=6)]
            assert heard(abroad) == [Ring("due", at=6)]


async def test_namespaces_are_apart(redis_server_url: str) -> None:
    with trio.fail_after(10):
        async with (
            open_bell(f"{redis_server_url}?namespace=a") as a,
            open_bell(f"{redis_server_url}?namespace=b") as b,
            open_bell(f"{redis_server_url}?namespace=b") as also_b,
            also_b.listen("due") as rings,
        ):
            await a.ring(Ring("due", at=1))
            await b.ring(Ring("due", at=2))
            assert await rings.receive() == Ring("due", at=2)


async def test_a_burst_is_a_few_messages(redis_server: Redis) -> None:
    with trio.fail_after(10):
        async with (
            open_bell(redis_server.url) as here,
            open_bell(redis_server.url) as there,
            there.listen("due") as rings,
        ):
            before = published(redis_server)
            for at in range(200):
                await here.ring(Ring("due", at=at))
            assert [(await rings.receive()).at for _ in range(200)] == list(range(200))
        assert published(redis_server) - before < 100, "what is rung while a message is under way goes with the next"


def published(server: Redis) -> int:
    with server.client() as client:
        calls: int = client.info("commandstats").get("cmdstat_publish", {"calls": 0})["calls"]
        return calls


async def test_what_is_no_ring_is_logged_and_ignored(redis_server: Redis) -> None:
    junk = ["", "no json", "[]", '{"sender":"x","rings":[{"kind":"unheard-of"}]}', b"\xff\xfe", '{"rings":[]}']
    with trio.fail_after(10), structlog.testing.capture_logs() as log:
        async with open_bell(redis_server.url) as bell, bell.listen("work", "due") as rings:
            with redis_server.client() as client:
                for body in [*junk, '{"sender":"x","rings":[{"kind":"work","new":1}]}']:
                    client.publish(CHANNEL, body)
            assert await rings.receive() == WORK
    assert [line["event"] for line in log] == ["bell.not_understood"] * len(junk)


async def test_what_was_rung_last_is_published_on_closing(redis_url: str) -> None:
    with trio.fail_after(10):
        async with open_bell(redis_url) as there, there.listen("due") as rings:
            with trio.CancelScope() as scope:
                async with open_bell(redis_url) as here:
                    await here.ring(Ring("due", at=1))
                    scope.cancel()
                    await here.ring(Ring("due", at=2))
            heard = [(await rings.receive()).at]
            while heard[-1] != 2:  # what the publisher had in hand may be told by it and once more at the end
                heard.append((await rings.receive()).at)
            assert heard in ([1, 2], [1, 1, 2])


async def subscribers(server: Redis, count: int) -> None:
    """Return once ``count`` bells listen at the server."""

    async def subscribed() -> bool:
        with server.client() as client:
            return [(CHANNEL, count)] == client.pubsub_numsub(CHANNEL)

    await eventually(subscribed)


async def test_rings_go_on_at_home_while_redis_is_away_and_everywhere_when_it_is_back(redis_server: Redis) -> None:
    with trio.fail_after(30):
        async with (
            open_bell(redis_server.url) as here,
            open_bell(redis_server.url) as there,
            here.listen("work") as at_home,
            there.listen("due", "work") as abroad,
        ):
            redis_server.kill()
            for _ in range(3):
                await here.ring(WORK)
            assert heard(at_home) == [WORK] * 3
            redis_server.start()
            await subscribers(redis_server, 2)
            await here.ring(Ring("due", at=9))
            while await abroad.receive() != Ring("due", at=9):
                pass


async def test_not_there_when_opened(redis_server: Redis) -> None:
    redis_server.kill()
    with trio.fail_after(30):
        async with open_bell(redis_server.url) as here, open_bell(redis_server.url) as there:
            redis_server.start()
            await subscribers(redis_server, 2)
            async with there.listen("due") as rings:
                await here.ring(Ring("due", at=1))
                assert await rings.receive() == Ring("due", at=1)


async def test_nobody_who_rings_waits_for_a_frozen_redis(redis_server: Redis) -> None:
    with trio.fail_after(30):
        async with open_bell(redis_server.url) as bell, bell.listen("work") as rings:
            redis_server.stop()
            started = trio.current_time()
            for _ in range(5_000):
                await bell.ring(WORK)
            assert trio.current_time() - started < 0.5
            assert heard(rings) == [WORK] * LISTENER_BUFFER
        redis_server.cont()
