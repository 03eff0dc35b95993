"""Secrets go in everywhere and come out nowhere: no log, event, attempt, error page or command's word has one.

What belongs to users by design is shown to users: a job's payload in its document, and the result that a handler made
of it. What a handler says in its exceptions is its author's words; the handlers here say nothing of their secrets.
"""

from __future__ import annotations

import base64
import contextlib
import json
import traceback
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx2
import pytest
import redis
import trio
from click.testing import CliRunner

from tests.children import free_port
from tests.faults.canary_jobs import jobs as failing
from tests.processes import TickrProcess
from tests.servers import mysql_execute
from tests.waiting import eventually
from tests.worker.test_email import smtp
from tests.worker.web import Server, serving
from tickr.cli import examine, exits, main
from tickr.cli.settings import load
from tickr.errors import ConfigError
from tickr.store.open import open_store

CANARIES = {
    place: f"canary-{place}-{uuid.uuid4().hex[:8]}"
    for place in ("token", "guess", "mysql", "redis", "smtp", "header", "payload", "old")
}
FINAL = ("succeeded", "failed", "cancelled")


def forms(secret: str) -> list[str]:
    """``secret`` as it may be met: in clear, in hexadecimal, and in base64 whatever stands before and behind it."""
    found = [secret, secret.encode().hex()]
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret.encode() + b"\0" * 3).decode()
        found.append(coded[4:-8] if before else coded[:-8])
    return found


def leaks(told: dict[str, str]) -> list[str]:
    """Return where which canary sits."""
    return [
        f"{name} in {place}: …{text[max(0, text.find(form) - 200) : text.find(form) + 100]}…"
        for place, text in told.items()
        for name, secret in CANARIES.items()
        for form in forms(secret)
        if form in text
    ]


def test_a_canary_is_found_however_it_sits() -> None:
    secret = CANARIES["smtp"]
    for text in (f"x{secret}y", base64.b64encode(f"\0user\0{secret}".encode()).decode(), secret.encode().hex()):
        assert leaks({"log": f"...{text}..."}), text
    assert not leaks({"log": "nothing"})


# -- commands -------------------------------------------------------------------------------------------------------

PASSWORDS = (
    *("{0}", "x/{0}", "x?{0}", "x?{0}=1", "x#{0}", "1/{0}", "1?{0}", "{0}@x", "x@{0}", "x:{0}"),
    *("a@b/{0}", "a@b?{0}", "a@b?{0}=1", "a@b#{0}", "[{0}]", "[{0}", "%{0}", "{0}%zz", " {0}", "\\{0}"),
)
"""Some with signs that stand for something else in a URL, and should have been written otherwise."""
UNDER_SENTINEL = (
    *("redis+sentinel://u:{}@h:1,g/m/0", "redis+sentinel://:{}@h:x/m", "redis+sentinel://u:{}@h"),
    *("redis+sentinel://h/m?sentinel_password={}", "redis+sentinel://h/m?sentinel_password=a&{}=1"),
)
URLS = {
    "store": ("mysql://u:{}@h:1/t", "mariadb://u:{}@h:x/t?tls=no", "mysql://u:{}@/", "postgres://u:{}@h/t"),
    "index": ("redis://:{}@h:1/0", "redis://u:{}@h:1/x?y=z", "rediss://u:{}@h:x/0", "http://u:{}@h/", *UNDER_SENTINEL),
    "smtp": ("smtp://u:{}@h:1", "smtps://u:{}@h:x", "smtp://u:{}@h/p?q", "http://u:{}@h/"),
}
SECRET_OF = {"store": CANARIES["mysql"], "index": CANARIES["redis"], "smtp": CANARIES["smtp"]}


@pytest.mark.parametrize("setting", URLS)
@pytest.mark.parametrize("password", PASSWORDS)
def test_no_url_of_a_setting_is_repeated_with_its_password(setting: str, password: str) -> None:
    for shape in URLS[setting]:
        url = shape.format(password.format(SECRET_OF[setting]))
        try:
            config = load({}, {f"TICKR_{setting.upper()}": url})
        except ConfigError as faults:
            told = str(faults)
            assert f"TICKR_{setting.upper()}" in told
        else:
            told = f"{config!r} {examine.shown(config.store)}"
        assert leaks({url: told}) == []


async def test_no_store_of_another_kind_is_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        async with open_store(f"postgres://u:{CANARIES['mysql']}@h/t"):
            pass
    assert leaks({"the fault": str(caught.value)}) == []
    assert "postgres" in str(caught.value)


def said(*words: str, **variables: str) -> str:
    """Return all that a command says, and all that could be seen of the error that ended it."""
    done = CliRunner().invoke(main, words, env={"TICKR_TOKEN": CANARIES["token"], "TICKR_PORT": "0", **variables})
    error = "".join(traceback.format_exception(done.exception)) if done.exception else ""
    assert done.output
    return f"{done.output}{done.stderr}{error}"


def test_no_command_tells_a_secret_where_nobody_answers() -> None:
    store, index = f"mysql://u:{CANARIES['mysql']}@127.0.0.1:1/t", f"redis://:{CANARIES['redis']}@127.0.0.1:1/0"
    variables = {
        "TICKR_STORE": store,
        "TICKR_INDEX": index,
        "TICKR_SMTP": f"smtp://u:{CANARIES['smtp']}@127.0.0.1:1",
        "TICKR_TOKN": CANARIES["old"],
    }
    api = ("--url", f"http://u:{CANARIES['guess']}@127.0.0.1:{free_port()}")
    told = {
        "doctor": said("doctor", **variables),
        "doctor --json": said("doctor", "--json", **variables),
        "migrate": said("migrate", **variables),
        "serve": said("serve", "--port", "x", **variables),
        "list": said("list", *api),
        "list, by variable": said("list", TICKR_URL=api[1]),
        "submit": said("submit", "report", *api),
        "watch": said("watch", "--url", f"ftp://u:{CANARIES['guess']}@h"),
    }
    assert leaks(told) == []
    assert "127.0.0.1" in told["list"], "but where nobody answers is told"


# -- nodes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def canary_mysql(mysql_url: str) -> Iterator[str]:
    """The URL of a database for a user whose password is a canary; ``ALTER USER`` locks it out."""
    parts = urlsplit(mysql_url)
    user = f"canary_{uuid.uuid4().hex[:8]}"
    try:
        mysql_execute(mysql_url, f"CREATE USER {user} IDENTIFIED BY '{CANARIES['mysql']}'")
        mysql_execute(mysql_url, f"GRANT ALL ON {parts.path.strip('/')}.* TO {user}")
    except OSError as refusal:
        pytest.skip(f"no user can be made here: {refusal}")
    yield urlunsplit(parts._replace(netloc=f"{user}:{CANARIES['mysql']}@{parts.hostname}:{parts.port}"))
    mysql_execute(mysql_url, f"DROP USER {user}")


@pytest.fixture
def canary_redis(redis_url: str) -> Iterator[str]:
    parts = urlsplit(redis_url)
    user = f"canary{uuid.uuid4().hex[:8]}"
    with redis.Redis(host=parts.hostname or "", port=parts.port or 0) as client:
        client.execute_command("ACL", "SETUSER", user, "on", f">{CANARIES['redis']}", "~*", "&*", "+@all")
        yield urlunsplit(parts._replace(netloc=f"{user}:{CANARIES['redis']}@{parts.hostname}:{parts.port}"))
        client.execute_command("ACL", "DELUSER", user)


def lock_out(mysql_url: str, redis_url: str, canary_mysql: str, canary_redis: str) -> None:
    """Give the users of both other passwords, and end their connections."""
    user = urlsplit(canary_mysql).username
    mysql_execute(mysql_url, f"ALTER USER {user} IDENTIFIED BY 'another'")
    ids = mysql_execute(mysql_url, f"SELECT id FROM information_schema.processlist WHERE user = '{user}'")
    for (connection,) in ids:
        try:
            mysql_execute(mysql_url, f"KILL {connection}")
        except OSError:
            continue  # it has gone by itself
    parts = urlsplit(redis_url)
    with redis.Redis(host=parts.hostname or "", port=parts.port or 0) as client:
        client.execute_command("ACL", "SETUSER", urlsplit(canary_redis).username, "resetpass", ">another")
        client.execute_command("CLIENT", "KILL", "USER", urlsplit(canary_redis).username)


class Told:
    """A client with the token, and everything that a node has told it but the payloads of jobs."""

    def __init__(self, http: httpx2.AsyncClient, into: dict[str, str]) -> None:
        self.http = http
        self.into = into

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        answer = await self.http.request(method, path, **options)
        body = answer.text
        if answer.is_success and path.startswith("/jobs") and "attempts" not in path:
            job = answer.json()
            job.pop("payload", None)
            body = json.dumps(job)
        self.into[f"{method} {path} {len(self.into)}"] = f"{answer.headers} {body}"
        return answer

    async def final(self, job_id: str) -> None:
        async def ended() -> bool:
            return (await self.http.get(f"/jobs/{job_id}")).json()["state"] in FINAL

        await eventually(ended, within_s=30)
        for path in (f"/jobs/{job_id}", f"/jobs/{job_id}/attempts"):
            await self.ask("GET", path)


@asynccontextmanager
async def told_by(node: TickrProcess, into: dict[str, str]) -> AsyncIterator[Told]:
    headers = {"Authorization": f"Bearer {CANARIES['token']}"}
    async with httpx2.AsyncClient(base_url=node.url, headers=headers, timeout=10) as http:
        yield Told(http, into)


MALFORMED = [
    b"GET /jobs HTTP/1.1\r\nHost: a\r\n%bBad Name: x\r\n\r\n",
    b"GET /jobs HTTP/1.1\r\nHost: a\r\n%b Bad\x00Value\r\n\r\n",
    b"GET /jobs HTTP/9.1\r\nHost: a\r\n%b\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: a\r\n%bContent-Length: x\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: a\r\n%bContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST /jobs HTTP/1.1\r\nHost: a\r\n%bTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /events HTTP/1.1\r\nHost: a\r\n%bConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"\x16\x03\x01%b\r\n\r\n",
]


async def ask_wrongly(node: TickrProcess, told: Told) -> None:
    """Wrong tokens, and requests that are none, with a token in them that is right."""
    for header in (f"Bearer {CANARIES['guess']}", f"Basic {CANARIES['guess']}", CANARIES["guess"], "Bearer"):
        for path in ("/jobs", "/events", "/api/v2/health", "/nope"):
            for accept in ("*/*", "text/event-stream"):
                await told.ask("GET", path, headers={"Authorization": header, "Accept": accept})
    for number, request in enumerate(MALFORMED):
        async with await trio.open_tcp_stream("127.0.0.1", node.port) as stream:
            await stream.send_all(request % f"Authorization: Bearer {CANARIES['token']}\r\n".encode())
            answer = b""
            with trio.move_on_after(5):
                async for part in stream:
                    answer += part
            assert not answer.startswith(b"HTTP/1.1 2")
            told.into[f"malformed {number}"] = answer.decode(errors="replace")
    for body in (b"{", b'{"type":"a","payload":NaN}', b'{"type":5}', b'{"type":"a","priority":77}'):
        await told.ask("POST", "/jobs", content=body, headers={"Content-Type": "application/json"})


async def run_jobs(told: Told, echo: Server) -> None:
    """Jobs that fail in every way, with secrets in what they are given."""
    headers = {"Authorization": f"Bearer {CANARIES['header']}"}
    secret = {"secret": CANARIES["payload"]}
    requests = [
        {"url": echo.url(path=f"/{CANARIES['payload']}?key={CANARIES['payload']}"), "headers": headers},
        {"url": f"http://127.0.0.1:{free_port()}/{CANARIES['payload']}", "headers": headers},
        {"url": f"http://user:{CANARIES['payload']}@127.0.0.1/"},
        {"url": f"http://user:{CANARIES['payload']}/x@127.0.0.1/"},
        {"url": echo.url(), "headers": {"Authorization": f"Bearer {CANARIES['header']} "}},
        {"url": echo.url(), "headers": {f"Authorization: Bearer {CANARIES['header']}": ""}},
    ]
    mail = {"to": "a@example.com", "from": "b@example.com", "body": CANARIES["payload"]}
    some = [("http", request) for request in requests] + [("email", mail), ("report", secret)]
    ids = []
    for type_, payload in [*some, *((name, secret) for name in failing)]:
        answer = await told.ask("POST", "/jobs", json={"type": type_, "payload": payload, "max_attempts": 1})
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    for job_id in ids:
        await told.final(job_id)
    answer = await told.ask("POST", f"/jobs/{ids[0]}/retry")
    await told.final(ids[0])


async def read_events(told: Told) -> int:
    cursor, count = "earliest", 0
    while True:
        page = (await told.ask("GET", f"/events?after={cursor}")).json()
        cursor, count = page["cursor"], count + len(page["events"])
        if page["caught_up"]:
            return count


async def echo_back(server: Server, stream: trio.abc.Stream, request: bytes) -> None:
    await stream.send_all(request)


async def be_locked_out(told: Told, nodes: Sequence[TickrProcess], lock: Callable[[], None]) -> None:
    """Have store and index refuse the passwords that they took before; ask for everything while they do."""
    await trio.to_thread.run_sync(lock)

    async def refused() -> bool:
        return (await told.ask("POST", "/jobs", json={"type": "report"})).status_code == 503

    async def noticed() -> bool:
        return all("Access denied" in node.log and "index.away" in node.log for node in nodes)

    await eventually(refused)
    await eventually(noticed, within_s=30)
    for path in ("/readyz", "/jobs", "/queues", "/events", "/api/v2/health"):
        await told.ask("GET", path)


def run_commands(variables: dict[str, str], into: dict[str, str]) -> None:
    """What an operator tries then."""
    for words in (("doctor",), ("doctor", "--json"), ("migrate",), ("migrate", "--check")):
        into[" ".join(words)] = said(*words, **variables)
    assert "refuses our user name" in into["doctor --json"]
    assert "Access denied" in into["doctor --json"]
    with contextlib.closing(TickrProcess(variables=variables)) as late:
        late.start(wait=False)
        assert late.wait() == exits.UNREACHABLE
        into["serve"] = late.log
        assert "Access denied" in late.log


@pytest.mark.slow
async def test_no_secret_is_told_by_a_node_whatever_happens_to_it(
    mysql_url: str, redis_url: str, canary_mysql: str, canary_redis: str
) -> None:
    told: dict[str, str] = {}
    async with smtp({"AUTH": f"500 unknown: {CANARIES['smtp']}"}) as mail, serving(echo_back) as echo:
        variables = {
            "TICKR_STORE": canary_mysql,
            "TICKR_INDEX": canary_redis,
            "TICKR_TOKEN": CANARIES["token"],
            "TICKR_SMTP": f"smtp://user:{CANARIES['smtp']}@127.0.0.1:{mail.port}",
            "TICKR_HTTP_ALLOW_PRIVATE": "true",
            "TICKR_LOG_LEVEL": "debug",
            "TICKR_TOKN": CANARIES["old"],
        }
        app = "tests.faults.canary_jobs:jobs"
        crashing = {"TICKR_FAILPOINTS": "stop.before_release=raise", "TICKR_LOG_FORMAT": "text"}
        with (
            TickrProcess(app=app, variables=variables) as node,
            TickrProcess(app=app, variables={**variables, **crashing}) as other,
        ):
            for each in (node, other):
                async with told_by(each, told) as client:
                    await ask_wrongly(each, client)
                    await run_jobs(client, echo)
            async with told_by(node, told) as client:
                assert await read_events(client) > 2 * len(list(failing))
                told["doctor while all is well"] = await trio.to_thread.run_sync(partial(said, "doctor", **variables))
                lock = partial(lock_out, mysql_url, redis_url, canary_mysql, canary_redis)
                await be_locked_out(client, (node, other), lock)
            await trio.to_thread.run_sync(run_commands, variables, told)
            for each in (node, other):
                each.terminate()
            for each in (node, other):
                await trio.to_thread.run_sync(each.wait)
                told[f"log {each.port}"] = each.log
            assert other.returncode != 0
            assert "FailpointError" in other.log, "this one ended with a traceback"
    assert any("AUTH" in line for line in mail.said)
    assert any(CANARIES["header"].encode() in request for request in echo.requests)
    assert leaks(told) == []
