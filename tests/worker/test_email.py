"""``email`` jobs against a small SMTP server that runs in the test."""

from __future__ import annotations

import contextlib
import email
import email.policy
import json
import ssl
from collections.abc import AsyncIterator
from email.message import EmailMessage
from functools import partial
from typing import Any

import pytest
import trio
import trustme
from structlog.testing import capture_logs

from tests.worker.attempts import Bench, claimed, running_pool
from tickr.errors import ConfigError
from tickr.reports import Outcome
from tickr.worker import builtin
from tickr.worker.builtin.email import Email, read_server
from tickr.worker.endings import GiveUp
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job

ORIGINAL = {"to": "john@example.com", "from": "me@example.com", "body": "Works"}
"""The payload that clients of the original Tickr send."""

HANGS_UP = ""
"""In place of a reply."""


class SmtpServer:
    """Takes mail on 127.0.0.1. ``replies`` overrides what it says to a command, or to one with its address."""

    def __init__(self, port: int, replies: dict[str, str], tls: ssl.SSLContext | None, options: list[str]) -> None:
        self.port = port
        self.replies = replies
        self.tls = tls
        self.options = options
        self.said: list[str] = []
        self.mails: list[EmailMessage] = []
        self.encrypted = False

    async def serve(self, stream: trio.abc.Stream) -> None:
        with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._talk(stream)

    async def _talk(self, stream: trio.abc.Stream) -> None:
        self.encrypted = isinstance(stream, trio.SSLStream)
        buffer = b""
        await stream.send_all(b"220 here\r\n")
        while True:
            while b"\r\n" not in buffer:
                part = await stream.receive_some()
                if not part:
                    return
                buffer += part
            line, _, buffer = buffer.partition(b"\r\n")
            self.said.append(line.decode())
            command = line.decode().upper().split(" ")[0]
            reply = self.replies.get(command, self._reply(command))
            reply = next(
                (reply for word, reply in self.replies.items() if "@" in word and word in line.decode()), reply
            )
            if reply == HANGS_UP:
                await stream.aclose()
                return
            await stream.send_all(reply.encode() + b"\r\n")
            if command == "DATA" and reply.startswith("354"):
                while b"\r\n.\r\n" not in buffer:
                    buffer += await stream.receive_some()
                mail, _, buffer = buffer.partition(b"\r\n.\r\n")
                self.mails.append(email.message_from_bytes(mail, policy=email.policy.default))
                await stream.send_all(self.replies.get(".", "250 taken").encode() + b"\r\n")
            elif command == "STARTTLS" and reply.startswith("220") and self.tls is not None:
                stream, buffer = trio.SSLStream(stream, self.tls, server_side=True), b""
                self.encrypted = True
            elif command == "QUIT":
                await stream.aclose()
                return

    def _reply(self, command: str) -> str:
        if command == "EHLO":
            options = ["here", "AUTH PLAIN", *(["STARTTLS"] if self.tls and not self.encrypted else []), *self.options]
            return "\r\n".join([*(f"250-{option}" for option in options), "250 HELP"])
        return {"DATA": "354 go on", "AUTH": "235 welcome", "STARTTLS": "220 go on", "QUIT": "221 bye"}.get(
            command, "250 fine"
        )


@contextlib.asynccontextmanager
async def smtp(
    replies: dict[str, str] | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    implicit: bool = False,
    options: tuple[str, ...] = ("8BITMIME", "SMTPUTF8"),
) -> AsyncIterator[SmtpServer]:
    async with trio.open_nursery() as nursery:
        listeners: list[Any] = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = SmtpServer(listeners[0].socket.getsockname()[1], replies or {}, tls, [*options])
        if implicit and tls is not None:
            listeners = [trio.SSLListener(listener, tls) for listener in listeners]
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server
        nursery.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def mailing(url: str | None, **options: Any) -> AsyncIterator[Bench]:
    jobs = Jobs()
    jobs.handler("email")(Email(url, **options))
    async with running_pool(jobs) as bench:
        yield bench


async def send(server: SmtpServer, payload: dict[str, Any], **fields: Any) -> Outcome:
    async with mailing(f"smtp://127.0.0.1:{server.port}") as bench:
        return await bench.run(claimed("email", payload, **fields))


async def test_without_a_server_nothing_is_sent_and_the_result_says_so() -> None:
    jobs = Jobs()
    builtin.register(jobs, http_allow_private=False, smtp=None)
    with capture_logs() as lines:
        async with running_pool(jobs) as bench:
            outcome = await bench.run(claimed("email", ORIGINAL))
    assert outcome.kind == "succeeded"
    assert outcome.result is not None
    assert outcome.result.startswith('{"sent":false,"note":"No SMTP server')
    assert [line["recipients"] for line in lines if line["event"] == "email.not_sent"] == [1]
    assert "Works" not in str(lines)
    assert "john" not in str(lines)


async def test_mail_is_sent() -> None:
    async with smtp() as server:
        outcome = await send(server, ORIGINAL)
    assert outcome.kind == "succeeded"
    assert (
        outcome.result == f'{{"sent":true,"recipients":1,"refused":{{}},"message_id":"<{outcome.job.id}@example.com>"}}'
    )
    (mail,) = server.mails
    assert (mail["To"], mail["From"], mail["Subject"]) == ("john@example.com", "me@example.com", "")
    assert mail.get_content().strip() == "Works"
    assert "mail from:<me@example.com>" in " ".join(server.said).lower()  # Python 3.13 says it in small letters


async def test_mail_with_everything() -> None:
    payload = {
        "to": ["a@example.com", "Bea <b@example.com>"],
        "cc": "c@example.com",
        "from": "Tickr <me@example.com>",
        "reply_to": "you@example.com",
        "subject": "Grüße 👩‍💻\u00a0!",
        "body": "plain\n.\nline",
        "html": "<b>fat</b>",
    }
    async with smtp() as server:
        outcome = await send(server, payload)
    assert outcome.kind == "succeeded", outcome
    (mail,) = server.mails
    assert mail["Subject"] == payload["subject"]
    assert mail["Cc"] == "c@example.com"
    assert mail["Reply-To"] == "you@example.com"
    assert len([line for line in server.said if line.lower().startswith("rcpt to")]) == 3
    body, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert body is not None
    assert html is not None
    assert body.get_content().splitlines() == ["plain", "..", "line"]  # dots are doubled on the wire
    assert html.get_content().strip() == "<b>fat</b>"


@pytest.mark.parametrize(
    "payload",
    [
        {"subject": "a\r\nBcc: x@example.com"},
        {"subject": "a\nb"},
        {"subject": "a\u2028b"},
        {"subject": "\x00"},
        {"subject": "a" * 1_000},
        {"to": "john@example.com\r\nBcc: x@example.com"},
        {"to": "john@example.com, x@example.com"},
        {"to": "john"},
        {"to": ""},
        {"to": []},
        {"to": ["a@example.com"] * 101},
        {"to": "<john@example.com> x@example.com"},
        {"to": "john@example.com>\r\nRCPT TO:<x@example.com"},
        {"cc": "nobody"},
        {"reply_to": "a\nb@example.com"},
        {"from": "me@example.com\nX: y"},
        {"from": "me@"},
    ],
)
async def test_what_cannot_be_a_mail_is_final_and_never_sent(payload: dict[str, Any]) -> None:
    async with smtp() as server:
        outcome = await send(server, {**ORIGINAL, **payload})
    assert outcome.kind == "failed"
    assert outcome.failure is not None
    assert outcome.failure.kind == "give_up"
    assert server.said == []


@pytest.mark.parametrize(
    ("replies", "kind"),
    [
        ({"RCPT": "550 no such user"}, "failed"),
        ({"RCPT": "450 try later"}, "retried"),
        ({"MAIL": "553 not you"}, "failed"),
        ({"MAIL": "421 busy"}, "retried"),
        ({"DATA": "554 no"}, "failed"),
        ({".": "552 too big"}, "failed"),
        ({".": "451 try later"}, "retried"),
        ({"EHLO": "500 what", "HELO": "500 what"}, "retried"),
    ],
)
async def test_what_the_server_says_decides(replies: dict[str, str], kind: str) -> None:
    async with smtp(replies) as server:
        outcome = await send(server, ORIGINAL)
    assert outcome.kind == kind
    assert outcome.failure is not None
    assert "Works" not in outcome.failure.message


async def test_who_was_refused_is_told_and_the_others_get_it_once() -> None:
    payload = {**ORIGINAL, "to": ["a@example.com", "no@example.com"], "cc": ["A <a@example.com>", "later@example.com"]}
    refusals = {"<no@example.com>": "550-no such\r\n550 user", "<later@example.com>": "450 " + "busy " * 100}
    with capture_logs() as lines:
        async with smtp(refusals) as server:
            outcome = await send(server, payload)
    assert outcome.kind == "succeeded"
    assert outcome.result is not None
    result = json.loads(outcome.result)
    assert result["recipients"] == 1
    assert result["refused"].keys() == {"no@example.com", "later@example.com"}
    assert result["refused"]["no@example.com"] == "550 no such user"
    assert result["refused"]["later@example.com"].startswith("450 busy busy")
    assert len(result["refused"]["later@example.com"]) <= 200
    assert len(server.mails) == 1
    (line,) = [line for line in lines if line["event"] == "email.partly_refused"]
    assert (line["log_level"], line["refused"], line["of"], line["statuses"]) == ("warning", 2, 3, ["450", "550"])
    assert "example.com" not in str(lines)


async def test_one_refused_address_twice_is_all_refused() -> None:
    async with smtp({"RCPT": "550 no such user"}) as server:
        outcome = await send(server, {**ORIGINAL, "cc": "John <john@example.com>"})
    assert outcome.failure is not None
    assert outcome.failure.message == "the server refused all 1 recipients (status 550)"
    assert server.mails == []


@pytest.mark.parametrize("farewell", ["451 not now", HANGS_UP])
async def test_a_bad_farewell_is_no_reason_to_send_again(farewell: str) -> None:
    async with smtp({"QUIT": farewell}) as server:
        outcome = await send(server, ORIGINAL)
    assert outcome.kind == "succeeded"
    assert len(server.mails) == 1


async def test_the_body_arrives_as_it_is_whatever_the_server_can_take() -> None:
    body = "From me to you\n>From here\n" + "long " * 300 + "\nGr\xfc\xdfe\n"
    for text in (body, "From me to you\n", "Gr\xfc\xdfe\n"):
        async with smtp(options=()) as server:
            outcome = await send(server, {**ORIGINAL, "body": text, "subject": "Gr\xfc\xdfe"})
        assert outcome.kind == "succeeded"
        (mail,) = server.mails
        assert mail.as_bytes().isascii()
        assert mail.get_content().splitlines() == text.splitlines()
        assert mail["Subject"] == "Gr\xfc\xdfe"


async def test_international_addresses() -> None:
    payload = {**ORIGINAL, "to": "J\xfcrgen <j\xfcrgen@example.com>"}
    async with smtp() as server:
        outcome = await send(server, payload)
    assert outcome.kind == "succeeded", outcome
    assert "rcpt to:<j\xfcrgen@example.com>" in [line.lower() for line in server.said]
    assert "SMTPUTF8" in next(line for line in server.said if line.lower().startswith("mail from"))
    for field in ({"to": "j\xfcrgen@example.com"}, {"from": "m\xfcller@example.com"}, {"reply_to": "\xe9@example.com"}):
        async with smtp(options=("8BITMIME",)) as server:
            outcome = await send(server, {**ORIGINAL, **field})
        assert outcome.failure is not None
        assert outcome.failure.kind == "give_up"
        assert "SMTPUTF8" in outcome.failure.message
        assert server.mails == []


async def test_nobody_there_is_tried_again() -> None:
    async with smtp() as server:
        pass
    assert (await send(server, ORIGINAL)).kind == "retried"


async def test_login() -> None:
    async with smtp() as server, mailing(f"smtp://us%40er:p%3Aw@127.0.0.1:{server.port}") as bench:
        assert (await bench.run(claimed("email", ORIGINAL))).kind == "succeeded"
    assert "AUTH PLAIN AHVzQGVyAHA6dw==" in server.said


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("535 5.7.8 no such user", "our login: 535 5.7.8 no such user"),
        ("500 unknown: AUTH PLAIN AHVzZXIAQ0FOQVJZLTE3", "our login: 500"),
        ("500 unknown: Q0FOQVJZLTE3", "our login: 500"),
        ("500 CANARY-17 is no password", "our login: 500"),
    ],
)
async def test_refused_login_does_not_tell_the_password(reply: str, told: str) -> None:
    async with smtp({"AUTH": reply}) as server, mailing(f"smtp://user:CANARY-17@127.0.0.1:{server.port}") as bench:
        outcome = await bench.run(claimed("email", ORIGINAL))
    assert outcome.kind == "retried"
    assert outcome.failure is not None
    assert outcome.failure.message.endswith(told)
    assert "CANARY" not in outcome.failure.message + (outcome.failure.traceback or "")
    assert "Q0FOQVJZ" not in outcome.failure.message + (outcome.failure.traceback or "")


async def test_a_password_that_cannot_be_sent_is_not_told_either() -> None:
    async with smtp() as server, mailing(f"smtp://user:CANARY-%C3%BC@127.0.0.1:{server.port}") as bench:
        outcome = await bench.run(claimed("email", ORIGINAL))
    assert outcome.failure is not None
    assert "must be ASCII" in outcome.failure.message
    assert "\xfc" not in f"{outcome.failure}"
    assert "CANARY" not in f"{outcome.failure}"


@pytest.mark.parametrize("implicit", [False, True])
async def test_tls(implicit: bool) -> None:
    authority = trustme.CA()
    of_server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(of_server)
    of_client = ssl.create_default_context()
    authority.configure_trust(of_client)
    async with smtp(tls=of_server, implicit=implicit) as server:
        url = f"smtps://127.0.0.1:{server.port}" if implicit else f"smtp://127.0.0.1:{server.port}?starttls"
        async with mailing(url, tls=of_client) as bench:
            assert (await bench.run(claimed("email", ORIGINAL))).kind == "succeeded"
        assert server.encrypted
        assert len(server.mails) == 1
        async with mailing(url) as bench:  # which does not trust this authority
            assert (await bench.run(claimed("email", ORIGINAL))).kind == "retried"
        assert len(server.mails) == 1


async def test_starttls_never_falls_back_to_the_clear() -> None:
    async with smtp() as server, mailing(f"smtp://127.0.0.1:{server.port}?starttls") as bench:
        assert (await bench.run(claimed("email", ORIGINAL))).kind == "retried"
    assert server.mails == []


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://mail.example", "mail.example", 25, "none"),
        ("smtp://mail.example?starttls", "mail.example", 587, "starttls"),
        ("smtps://u:p@mail.example/", "mail.example", 465, "implicit"),
        ("smtp://[::1]:2525", "::1", 2525, "none"),
    ],
)
def test_server_urls(url: str, host: str, port: int, tls: str) -> None:
    server = read_server(url)
    assert (server.host, server.port, server.tls) == (host, port, tls)
    assert server.user in (None, "u")
    assert "'p'" not in repr(server)


@pytest.mark.parametrize(
    "url",
    ["", "mail.example", "http://mail.example", "smtp://", "smtp://h:CANARY", "smtp://h/path", "smtp://h?x=CANARY"],
)
def test_bad_server_urls_are_told_without_their_secrets(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        builtin.register(Jobs(), http_allow_private=False, smtp=url)
    assert "CANARY" not in str(caught.value)


async def test_direct_call_gives_up_in_words() -> None:
    call = partial(Email(None), Job(claimed("email")), body="b", from_="me@example.com")
    with pytest.raises(GiveUp, match="to must hold addresses"):
        await trio.to_thread.run_sync(partial(call, to="x y"))
