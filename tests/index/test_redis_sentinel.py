"""A Redis under Sentinel: the link finds the master, and follows it to another server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from tests.index.redis_checks import Log, assert_refuses_at_once, assert_works, events, index_at
from tests.sentinels import MASTER, PASSWORD, SENTINEL_PASSWORD, Watched, watched
from tests.servers import Redis
from tests.waiting import eventually, happens
from tickr.cli import examine
from tickr.config import Config
from tickr.errors import ConfigError
from tickr.redis_link.address import MAX_SENTINELS, RedisAddress, parse_redis_url


@pytest.mark.slow
@pytest.mark.parametrize("lose", [lambda group: group.master.kill(), lambda group: group.sentinel.fail_over()])
async def test_a_master_that_is_killed_or_demoted_is_left(lose: Callable[[Watched], None], log: Log) -> None:
    with watched() as group:
        async with index_at(group.url) as index:
            await assert_works(index)
            lose(group)
            await index.wait_unavailable()  # also when both servers are well
            await index.wait_available()
            assert await index.epoch() != "works"  # another server: what it holds is not to be trusted
            await assert_works(index)
            with group.replica.client() as client:
                assert client.role()[0] == "master"
    assert events(log) == ["index.away", "index.back"]
    assert log[1]["master"] == f"127.0.0.1:{group.replica.port}/0"
    assert PASSWORD not in str(log)
    assert SENTINEL_PASSWORD not in str(log)


class NamedMaster:
    """A sentinel that says what it is told to say: ``port``, or that it knows no such master if that is None."""

    def __init__(self, port: int | None) -> None:
        self.port = port
        self.asked = 0

    async def talk(self, stream: trio.SocketStream) -> None:
        async with stream:
            async for said in stream:
                if b"GET-MASTER-ADDR-BY-NAME" not in said:
                    await stream.send_all(b"+OK\r\n" * said.count(b"*"))
                    continue
                self.asked += 1
                answer = b"*-1\r\n"
                if self.port is not None:
                    answer = f"*2\r\n$9\r\n127.0.0.1\r\n${len(str(self.port))}\r\n{self.port}\r\n".encode()
                await stream.send_all(answer)


@asynccontextmanager
async def sentinel_that_says(port: int | None) -> AsyncIterator[tuple[NamedMaster, str]]:
    named = NamedMaster(port)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, named.talk, 0, host="127.0.0.1"))
        yield named, f"redis+sentinel://127.0.0.1:{listener.socket.getsockname()[1]}/{MASTER}"
        nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_master_that_was_cut_off_and_does_not_know_it_is_left(redis_server: Redis, log: Log) -> None:
    with Redis() as other:
        async with sentinel_that_says(redis_server.port) as (named, url), index_at(url) as index:
            await assert_works(index)
            named.port = other.port  # the old one answers as ever
            await index.wait_unavailable()
            await index.wait_available()
            await assert_works(index)
            with other.client() as client:
                assert any(one["name"] == "tickr" for one in client.client_list())
    assert events(log) == ["index.away", "index.back"]
    assert f"the sentinels have named another master, 127.0.0.1:{other.port}" in log[0]["reason"]


@pytest.mark.slow
@pytest.mark.parametrize("redis_server", [{"replica-read-only": "no"}], indirect=True)
async def test_a_replica_that_is_named_and_takes_writes_is_not_used(redis_server: Redis, log: Log) -> None:
    redis_server.readonly(True)
    async with sentinel_that_says(redis_server.port) as (_, url), index_at(url) as index:
        await assert_refuses_at_once(index)
        redis_server.readonly(False)
        await index.wait_available()
        await assert_works(index)
    assert "which the sentinels name, is a slave and not the master" in log[0]["reason"]


@pytest.mark.slow
async def test_sentinels_that_go_away_do_not_take_redis_with_them(redis_server: Redis, log: Log) -> None:
    async with sentinel_that_says(redis_server.port) as (named, url), index_at(url) as index:
        named.port = None
        asked = named.asked
        await eventually(happens(lambda: named.asked > asked + 1))
        assert index.available
        await assert_works(index)
    assert events(log) == []


@pytest.mark.slow
async def test_a_master_that_nobody_knows_is_told(log: Log) -> None:
    async with sentinel_that_says(None) as (_, url), index_at(url.replace("//", "//127.0.0.1:1,")) as index:
        await assert_refuses_at_once(index)
    assert "no sentinel names the master: 127.0.0.1:1: " in log[0]["reason"]
    assert f"knows no {MASTER}" in log[0]["reason"]


@pytest.mark.slow
async def test_the_doctor_asks_the_sentinels(redis_server: Redis) -> None:
    async with sentinel_that_says(redis_server.port) as (named, url):
        found, _ = await examine._index(Config(index=url))
        assert found.name == "index"
        assert found.level == "ok"
        assert f"at 127.0.0.1:{redis_server.port}/0" in found.finding
        named.port = None
        [found] = await examine._index(Config(index=url))
        assert found.level == "fail"
        assert "no sentinel names the master" in found.finding


# -- the URL ---------------------------------------------------------------------------------------------------------


def test_a_url_names_sentinels_master_and_logins() -> None:
    url = "rediss+sentinel://u:p%2Fw@a.example,b:26380/main/3?namespace=n&sentinel_username=s&sentinel_password=x%26y"
    address = parse_redis_url(url)
    assert address.sentinels == (("a.example", 26379), ("b", 26380))
    assert str(address) == "main/3 of a.example:26379,b:26380"
    assert address.key("x") == "tickr:{n}:x"
    assert not any(secret in repr(address) for secret in ("p/w", "x&y"))

    master, sentinel = address.at("10.0.0.1", 6380), address.sentinel("b", 26380)

    def where(one: RedisAddress) -> list[object]:
        return [one.settings()[name] for name in ("host", "port", "db", "username", "password")]

    assert where(master) == ["10.0.0.1", 6380, 3, "u", "p/w"]
    assert where(sentinel) == ["b", 26380, 0, "s", "x&y"]
    assert master.tls
    assert sentinel.tls
    assert str(master) == "10.0.0.1:6380/3"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("redis+sentinel://a", "the name of the master follows the sentinels"),
        ("redis+sentinel://a:b/main", "the port must be a number"),
        ("redis+sentinel://a/main/x", "the database must be a number"),
        ("redis+cluster://a/main", "starts with redis://, rediss://, redis+sentinel:// or rediss+sentinel://"),
        (f"redis+sentinel://{','.join('abcdefghij')}/main", f"at most {MAX_SENTINELS} sentinels"),
        ("redis://a?sentinel_password=x", "unknown setting 'sentinel_password'"),
        ("redis+sentinel://a/main?nonsense=1", "unknown setting 'nonsense'"),
        ("redis+sentinel://a..b,c/main", "no such host name"),
    ],
)
def test_a_faulty_url_is_told(url: str, fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_redis_url(url)
    assert any(fault in one for one in refused.value.faults)
