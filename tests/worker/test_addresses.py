"""Which addresses an ``http`` job may call: by themselves, and with all the ways in which a URL may lead to them."""

from __future__ import annotations

import contextlib
from functools import partial
from typing import NamedTuple

import pytest
import trio

from tests.worker.attempts import claimed
from tests.worker.internet import SERVED, open_internet
from tests.worker.web import Server, reply
from tickr.worker.builtin.addresses import refusal
from tickr.worker.builtin.http import Http, HttpFailed
from tickr.worker.endings import GiveUp
from tickr.worker.view import Job

JOB = Job(claimed("http"))
PUBLIC = ["93.184.216.34", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"]
PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd12::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a00:1::1"),
]
NEVER = [
    *("169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "fd00:ec2::254"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0"),
    *("224.0.0.1", "255.255.255.255", "240.0.0.1", "ff02::1", "169.254.1.1", "fe80::1", "fe80::1%eth0"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.88.99.1", "192.0.0.170"),
    *("2001:db8::1", "2001::1", "3fff::1", "fec0::1", "5f00::1", "100::1", "64:ff9b:1::1", "::2", "::8.8.8.8"),
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address, allow_private=False) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_pass_if_allowed(address: str) -> None:
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_others_never_pass(address: str) -> None:
    assert refusal(address, allow_private=False)
    assert refusal(address, allow_private=True)


# -- from a URL to an address ---------------------------------------------------------------------------------------

OUT, OTHER, IN, CLOUD = "93.184.216.34", "151.101.1.69", "10.0.0.1", "169.254.169.254"
OUT6, IN6, MAPPED = "2606:4700::1111", "fd12::1", "::ffff:10.0.0.1"


class Way(NamedTuple):
    """What a job asks for and where that gets it.

    Attributes:
      names: what the name ``a.example`` is found at, each time it is looked up.
      called: the addresses that were connected to; none at all if it must be refused before.
    """

    url: str
    names: list[list[str]]
    called: list[str]


WAYS = {
    # names: looked up once, every address checked, and that one called
    "a public name": Way("http://a.example/", [[OUT]], [OUT]),
    "the first that answers": Way("http://a.example/", [[OUT, OTHER]], [OUT]),
    "version 6": Way("http://a.example/", [[OUT6]], [OUT6]),
    "mapped, but public": Way("http://a.example/", [["::ffff:93.184.216.34"]], ["::ffff:93.184.216.34"]),
    "public first, private when it is called": Way("http://a.example/", [[OUT], [IN], [IN]], [OUT]),
    "public first, the cloud's when it is called": Way("http://a.example/", [[OUT], [CLOUD]], [OUT]),
    "private among public ones": Way("http://a.example/", [[OUT, IN]], []),
    "private in the other version": Way("http://a.example/", [[OUT, OUT6, IN6]], []),
    "private behind many public ones": Way("http://a.example/", [[OUT] * 7 + [IN]], []),
    "a name of this machine": Way("http://localhost/", [["127.0.0.1"]], []),
    "one that is whole": Way("http://a.example./", [[IN]], []),
    "signs that look the same": Way("http://\uff41.example/", [[IN]], []),
    # addresses as resolvers give them
    **{
        f"found at {address}": Way("http://a.example/", [[address]], [])
        for address in (
            *(
                IN,
                IN6,
                CLOUD,
                MAPPED,
                "127.0.0.1",
                "127.255.255.254",
                "0.0.0.0",
                "0.1.2.3",
                "100.64.0.1",
                "100.127.9.9",
            ),
            *("172.16.0.1", "192.168.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
            *("::", "::1", "::2", "::127.0.0.1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "ff02::1", "2001::1"),
            *("64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1", "2002:a00:1::", "::ffff:0:10.0.0.1"),
            *("fd00:ec2::254", "100.100.100.200", "168.63.129.16", "::ffff:169.254.169.254", "::ffff:127.0.0.1"),
        )
    },
    # addresses as people write them who would rather not be understood
    **{
        f"written {host}": Way(f"http://{host}/", [], [])
        for host in (
            *("127.1", "127.0.1", "2130706433", "0x7f000001", "0x7F.1", "017700000001", "0177.0.0.1", "0177.1", "0"),
            *("2852039166", "0xa9fea9fe", "025177524776", "169.254.43518", "0251.0376.0251.0376", "10.1", "0x0a000001"),
            *("127.0.0.1.", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:7f00:1]", "[::FFFF:127.0.0.1]"),
            *("[0:0:0:0:0:ffff:10.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]"),
            *("[fd00:ec2::254]", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "127.0.0.1%00.example", "127.0.0.1%23.example"),
            *("\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021", "\u2460\u2461\u2466.\u24ea.\u24ea.\u2460"),
            *("1\u00b27.0.0.1", "127.0.0.1\u200b", "\u0661\u0662\u0667.0.0.1", "LOCALHOST", "localhost.", "a b"),
        )
    },
    # the parts of a URL, in each other's place
    "user": Way(f"http://{OUT}@{IN}/", [], []),
    "user and password": Way(f"http://{OUT}:80@{IN}:80/", [], []),
    "a user with nothing": Way(f"http://@{OUT}/", [], [OUT]),
    "a user behind a backslash": Way(f"http://{IN}\\@{OUT}/", [], []),
    "a host behind a hash": Way(f"http://{IN}#@{OUT}/", [], []),
    "a host behind a question": Way(f"http://{IN}?@{OUT}/", [], []),
    "a path that is no host": Way(f"http://{OUT}/@{IN}/", [], [OUT]),
    "no scheme": Way(f"//{OUT}/", [], []),
    "no slashes": Way(f"http:{OUT}", [], []),
    "one slash": Way(f"http:/{OUT}/", [], []),
    "three slashes": Way(f"http:///{OUT}/", [], []),
    "backslashes": Way(f"http:\\\\{OUT}\\", [], []),
    "a port of 0": Way(f"http://{OUT}:0/", [], []),
    "a port too large": Way(f"http://{OUT}:65536/", [], []),
    "a port below 0": Way(f"http://{OUT}:-80/", [], []),
    "two ports": Way(f"http://{OUT}:80:80/", [], []),
    "another port": Way(f"http://{OUT}:8443/", [], [OUT]),
    **{
        f"scheme {scheme}": Way(f"{scheme}://{OUT}/etc/passwd", [], [])
        for scheme in (
            "file",
            "ftp",
            "gopher",
            "dict",
            "ldap",
            "tftp",
            "unix",
            "jar",
            "ws",
            "wss",
            "http+unix",
            "h2c",
            "",
        )
    },
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_a_job_gets_where_it_may_and_nowhere_else(way: Way) -> None:
    async with open_internet() as internet:
        internet.names = {"a.example": list(way.names), "localhost": [["127.0.0.1"]]}
        http = partial(Http(allow_private=False), JOB)
        if way.called:
            assert (await http(way.url))["body"] == SERVED.decode()
        else:
            with pytest.raises((GiveUp, HttpFailed)) as refused:
                await http(way.url)
            assert refused.type is GiveUp or "not known" in str(refused.value), "no other try can help"
        assert internet.called == way.called
        assert len(internet.asked) <= 1


async def test_each_attempt_checks_again() -> None:
    async with open_internet() as internet:
        internet.names = {"a.example": [[OUT], [IN]]}
        http = partial(Http(allow_private=False), JOB)
        assert (await http("http://a.example/"))["status"] == 200
        with pytest.raises(GiveUp, match=IN):
            await http("http://a.example/")
        assert internet.called == [OUT]


async def test_where_private_addresses_are_allowed_the_clouds_are_not() -> None:
    async with open_internet() as internet:
        internet.names = {"a.example": [[IN], [IN, CLOUD], [CLOUD]]}
        http = partial(Http(allow_private=True), JOB)
        assert (await http("http://a.example/"))["status"] == 200
        for _ in range(2):
            with pytest.raises(GiveUp, match="metadata"):
                await http("http://a.example/")
        assert internet.called == [IN]


HOPS = {
    "to another public host": (f"http://{OTHER}/", [OUT, OTHER]),
    "to itself": ("/there", [OUT, OUT]),
    "without a scheme": (f"//{OTHER}/", [OUT, OTHER]),
    "to a private address": (f"http://{IN}/", [OUT]),
    "to this machine": ("http://localhost:8080/jobs", [OUT]),
    "to a number": ("http://2130706433/", [OUT]),
    "without a scheme, to this machine": ("//127.0.0.1/", [OUT]),
    "to the cloud": (f"http://{CLOUD}/latest/meta-data/", [OUT]),
    "to a private name": ("http://b.example/", [OUT]),
    "to a file": ("file:///etc/passwd", [OUT]),
    "with a password": (f"http://user:password@{OTHER}/", [OUT]),
    "to another protocol": (f"gopher://{OTHER}/_HELO", [OUT]),
}


@pytest.mark.parametrize(("location", "called"), HOPS.values(), ids=HOPS)
async def test_a_redirect_gets_no_further_than_a_job(location: str, called: list[str]) -> None:
    async def answer(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        moved = reply("302 Found", b"", f"Location: {location}")
        await stream.send_all(moved if len(server.requests) == 1 else reply("200 OK", SERVED))

    async with open_internet(answer) as internet:
        internet.names = {"a.example": [[OUT]], "b.example": [[OUT, IN]], "localhost": [["127.0.0.1"]]}
        headers = {"Authorization": "Bearer CANARY", "Cookie": "CANARY"}
        with contextlib.nullcontext() if len(called) == 2 else pytest.raises(GiveUp):
            await Http(allow_private=False)(JOB, "http://a.example/", follow_redirects=True, headers=headers)
        assert internet.called == called
        told = [b"CANARY" in request for request in internet.server.requests]
        assert told == [True, location == "/there"][: len(called)], "another host is told no secret"
