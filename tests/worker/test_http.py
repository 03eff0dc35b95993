"""``http`` jobs against real local servers: what is sent, what is refused, what a hostile answer can do."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
import structlog
import trio
import trustme

from tests.worker.attempts import claimed, running_pool
from tests.worker.web import Names, Server, reply, serving
from tickr.worker import builtin
from tickr.worker.builtin.http import MAX_BODY_BYTES, Http, HttpFailed, check_url
from tickr.worker.endings import GiveUp, RetryLater
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job

JOB = Job(claimed("http", attempt=2, fence=7))
private = partial(Http(allow_private=True), JOB)
public = partial(Http(allow_private=False), JOB)


# -- what is sent and what comes back ---------------------------------------------------------------------------------


async def test_get() -> None:
    async with serving(reply("200 OK", "grüß".encode(), "Content-Type: text/plain", "Set-Cookie: a=b")) as server:
        result = await private(server.url(path="/x?y=1"))
    assert result == {
        "status": 200,
        "headers": {"content-type": "text/plain", "content-length": "6"},
        "body": "grüß",
        "truncated": False,
        "url": server.url(path="/x?y=1"),
    }
    head = server.requests[0].lower()
    assert head.startswith(b"get /x?y=1 http/1.1\r\n")
    assert b"accept-encoding: identity\r\n" in head
    assert f"host: 127.0.0.1:{server.port}\r\n".encode() in head


async def test_body_is_text_or_json() -> None:
    async with serving(reply("201 Created")) as server:
        await private(server.url(), "post", {"X-A": "b", "Content-Type": "text/csv"}, "a,b")
        await private(server.url(), "PUT", None, {"a": [1, None]})
    text, as_json = server.requests
    assert text.endswith(b"\r\n\r\na,b")
    assert b"x-a: b" in text.lower()
    assert b"content-type: text/csv" in text.lower()
    assert b"content-type: application/json" in as_json.lower()
    assert json.loads(as_json.partition(b"\r\n\r\n")[2]) == {"a": [1, None]}


async def test_as_a_job() -> None:
    jobs = Jobs()
    builtin.register(jobs, http_allow_private=True, smtp=None)
    async with serving(reply("404 Not Found")) as server, running_pool(jobs) as bench:
        outcome = await bench.run(claimed("http", {"url": server.url(path="/secret")}))
        assert outcome.kind == "failed"
        assert outcome.failure is not None
        assert outcome.failure.kind == "give_up"
        assert "status 404" in outcome.failure.message
        assert "secret" not in outcome.failure.message
        outcome = await bench.run(claimed("http", {"url": "http://[:bad"}))
        assert outcome.kind == "failed"


@pytest.mark.parametrize("status", ["400 Bad", "401 Who", "403 No", "404 Where", "410 Gone", "422 What"])
async def test_refusals_are_final(status: str) -> None:
    async with serving(reply(status)) as server:
        with pytest.raises(GiveUp, match=status[:3]):
            await private(server.url())


@pytest.mark.parametrize("status", ["408 Slow", "429 Many", "500 Oops", "503 Away"])
async def test_what_may_be_better_next_time_is_tried_again(status: str) -> None:
    async with serving(reply(status)) as server:
        with pytest.raises(HttpFailed, match=status[:3]):
            await private(server.url())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("999999999999999999999", 3600),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), 3600),
        (format_datetime(datetime.now(UTC) - timedelta(days=9), usegmt=True), 0),
    ],
    ids=["seconds", "none", "too many", "a date to come", "a date gone by"],
)
async def test_retry_after_is_honoured_within_bounds(header: str, seconds: float) -> None:
    async with serving(reply("503 Away", b"", f"Retry-After: {header}")) as server:
        with pytest.raises(RetryLater) as caught:
            await private(server.url())
    assert caught.value.seconds == seconds


@pytest.mark.parametrize("header", ["", "soon", "-5", "1e9", "²"])
async def test_retry_after_that_says_nothing_leaves_it_to_the_back_off(header: str) -> None:
    async with serving(
        reply("503 Away", b"").replace(b"\r\n\r\n", f"\r\nRetry-After: {header}\r\n\r\n".encode())
    ) as it:
        with pytest.raises(HttpFailed):
            await private(it.url())


async def test_nobody_there() -> None:
    async with serving(reply("200 OK")) as server:
        pass
    with pytest.raises(HttpFailed, match="failed: Connection refused"):
        await private(server.url())


# -- answers that mean harm -------------------------------------------------------------------------------------------


async def test_endless_body_is_cut() -> None:
    async def answer(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 10_000)

    async with serving(answer) as server:
        result = await private(server.url())
        assert result["truncated"] is True
        assert len(result["body"]) == MAX_BODY_BYTES
        await server.hung_up.wait()


async def test_slow_body_is_bounded_in_time() -> None:
    async def answer(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        await trio.sleep_forever()

    async with serving(answer) as server:
        with pytest.raises(HttpFailed, match="no complete answer"):
            await private(server.url(), timeout=0.2)


async def test_packed_body_is_not_unpacked() -> None:
    async with serving(reply("200 OK", b"\x1f\x8b", "Content-Encoding: gzip")) as server:
        result = await private(server.url())
    assert (result["body"], result["truncated"]) == (None, True)


@pytest.mark.parametrize("charset", ["latin-1", "no-such", "rot13", "idna"])
async def test_any_charset_gives_text(charset: str) -> None:
    async with serving(reply("200 OK", b"\xfcx", f"Content-Type: text/plain; charset={charset}")) as server:
        assert (await private(server.url()))["body"].endswith("x")


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00\x01\x02\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1_000_000, b"HTTP/1.1 999999 OK\r\n\r\n"],
)
async def test_garbage_is_a_failure(answer: bytes) -> None:
    async with serving(answer) as server:
        with pytest.raises(HttpFailed):
            await private(server.url(), timeout=5)


# -- where it may go --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        ":bad",
        "bad",
        "//host/path",
        "http://",
        "http:///path",
        "http://.",
        "http://host:bad/",
        "http://host:0/",
        "http://host:65536/",
        "http://host:-1/",
        "ftp://host/",
        "file:///etc/passwd",
        "gopher://host/",
        "http://user:secret@host/",
        "http://user@host/",
        "http://ho st/",
        "http://host/a b",
        "http://host/\r\nX: y",
        "http://host/\x00",
        "http://" + "a" * 9_000,
        "http://⒈com/",
        "http://[::1/",
    ],
)
def test_urls_that_go_nowhere_are_final(url: str) -> None:
    with pytest.raises(GiveUp) as caught:
        check_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_this_machine_is_not_called(host: str) -> None:
    async with serving(reply("200 OK")) as server:
        with pytest.raises((GiveUp, HttpFailed)) as caught:
            await public(server.url(host))
        assert not isinstance(caught.value, HttpFailed) or "gaierror" in str(caught.value)
    assert server.requests == []


async def test_one_bad_address_among_good_ones_is_enough() -> None:
    http = Http(allow_private=False, resolve=Names(mixed_example=[["93.184.216.34", "127.0.0.1"]]))
    async with serving(reply("200 OK")) as server:
        with pytest.raises(GiveUp, match=r"127\.0\.0\.1"):
            await http(JOB, server.url("mixed.example"))
    assert server.requests == []


async def test_the_checked_address_is_the_one_that_is_called() -> None:
    """A name that points elsewhere when it is asked again: it is not asked again."""
    names = Names(rebinding_example=[["127.0.0.1"], ["169.254.169.254"]])
    async with serving(reply("200 OK", b"here")) as server:
        result = await Http(allow_private=True, resolve=names)(JOB, server.url("rebinding.example"))
    assert result["body"] == "here"
    assert names.asked == ["rebinding.example"]
    assert b"rebinding.example" in server.requests[0], "the server is still asked by its name"


async def test_next_address_is_tried() -> None:
    names = Names(two_example=[["127.0.0.2", "127.0.0.1"]])
    async with serving(reply("200 OK")) as server:
        assert (await Http(allow_private=True, resolve=names)(JOB, server.url("two.example")))["status"] == 200


async def test_the_environments_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with serving(reply("200 OK")) as server:
        assert (await private(server.url()))["status"] == 200


@pytest.mark.parametrize("host", ["a" * 70 + ".com", "xn--a", "no-such-name.invalid"])
async def test_names_that_cannot_be_resolved_end_in_words(host: str) -> None:
    with pytest.raises((GiveUp, HttpFailed)):
        await public(f"http://{host}/")


# -- redirects --------------------------------------------------------------------------------------------------------


async def test_redirects_are_a_result_unless_asked_for() -> None:
    async def answer(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        moved = reply("302 Found", b"", f"Location: {server.url(path='/there')}")
        await stream.send_all(reply("200 OK", b"there") if b"/there" in request else moved)

    async with serving(answer) as server:
        result = await private(server.url())
        assert (result["status"], result["headers"]["location"]) == (302, server.url(path="/there"))
        assert len(server.requests) == 1
        result = await private(server.url(), follow_redirects=True)
        assert (result["status"], result["body"], result["url"]) == (200, "there", server.url(path="/there"))


@pytest.mark.parametrize("to", ["http://inside.example/", "file:///etc/passwd", "http://u:p@127.0.0.1/", "http://h:0/"])
async def test_every_hop_is_checked(to: str) -> None:
    names = Names(outside_example=[["127.0.0.1"]], inside_example=[["169.254.169.254"]])
    async with serving(reply("302 Found", b"", f"Location: {to}")) as server:
        with pytest.raises((GiveUp, HttpFailed)):
            await Http(allow_private=True, resolve=names)(JOB, server.url("outside.example"), follow_redirects=True)
    assert len(server.requests) == 1


async def test_redirects_end() -> None:
    async with serving(reply("302 Found", b"", "Location: /")) as server:
        with pytest.raises(GiveUp, match="redirects"):
            await private(server.url(), follow_redirects=True)
    assert len(server.requests) == 6


# -- headers, methods, bounds -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Host": "other"}},
        {"headers": {"content-length": "5"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": {"Connection": "upgrade"}},
        {"headers": {"Proxy-Authorization": "x"}},
        {"headers": {"Tickr-Fence": "999"}},
        {"headers": {"tickr-job-id": "x"}},
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X": "a\nb"}},
        {"headers": {"X": "a\x00"}},
        {"headers": {"X": "€"}},
        {"headers": {"X\r\nY": "a"}},
        {"headers": {"": "a"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"X": " a"}},
        {"headers": {"X": "a\t"}},
        {"method": "CONNECT"},
        {"method": "GET / HTTP/1.1\r\nX:"},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": float("nan")},
        {"timeout": 1e9},
        {"body": "\ud800"},
    ],
)
async def test_what_must_not_be_sent_is_final(options: dict[str, Any]) -> None:
    async with serving(reply("200 OK")) as server:
        with pytest.raises(GiveUp):
            await private(server.url(), **options)
    assert server.requests == []


CANARY = "CANARY-17"


@pytest.mark.parametrize(
    "request_",
    [
        {"url": f"http://user:{CANARY}@host/"},
        {"url": f"http://user:{CANARY}/x@host/"},
        {"url": f"http://host:{CANARY}/"},
        {"url": f"http://[{CANARY}]/"},
        {"url": f"{CANARY}://host/"},
        *({"headers": {"Authorization": f"Bearer {CANARY}{end}"}} for end in (" ", "\t", "\n", "\x00", "€")),
        {"headers": {"Authorization": f" Bearer {CANARY}"}},
        {"headers": {f"Authorization: Bearer {CANARY}": ""}},
        {"method": CANARY},
        {},  # these are sent, and come back
    ],
)
@pytest.mark.parametrize(
    "before", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"]
)
async def test_what_is_told_of_a_failure_quotes_neither_the_request_nor_the_answer(
    request_: dict[str, Any], before: bytes
) -> None:
    async def echo(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
        await stream.send_all(before + request)

    jobs = Jobs()
    builtin.register(jobs, http_allow_private=True, smtp=None)
    async with serving(echo) as server, running_pool(jobs) as bench:
        url = server.url(path=f"/{CANARY}?key={CANARY}")
        with structlog.testing.capture_logs() as logged:
            outcome = await bench.run(claimed("http", {"url": url, **request_}))
    assert outcome.failure is not None
    assert outcome.failure.message
    assert CANARY not in f"{outcome.failure} {logged}"


async def test_headers_go_out_as_latin_1() -> None:
    async with serving(reply("200 OK")) as server:
        await private(server.url(), headers={"X-Name": "J\xfcrgen"}, body={"a": 1})
    assert b"\r\nX-Name: J\xfcrgen\r\n" in server.requests[0]
    assert b"\r\ncontent-type: application/json\r\n" in server.requests[0]


# -- TLS --------------------------------------------------------------------------------------------------------------


async def test_tls_asks_for_the_name_and_not_for_the_address() -> None:
    authority = trustme.CA()
    of_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("secure.example").configure_cert(of_server)
    of_client = ssl.create_default_context()
    authority.configure_trust(of_client)
    names = Names(secure_example=[["127.0.0.1"]], other_example=[["127.0.0.1"]])
    http = Http(allow_private=True, resolve=names, tls=of_client)

    async with serving(reply("200 OK", b"safe"), tls=of_server) as server:
        assert (await http(JOB, server.url("secure.example", scheme="https")))["body"] == "safe"
        with pytest.raises(HttpFailed, match="certificate"):
            await http(JOB, server.url("other.example", scheme="https"))
    assert len(server.requests) == 1
