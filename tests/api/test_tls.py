"""The API over HTTPS, on real sockets with a real certificate: what it serves, who is sent away, and what it costs."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from trio_websocket import open_websocket_url

from tests.api.certificates import Files, files_in
from tests.api.site import LONG_S, Site, open_site, read_all, read_answer
from tests.waiting import eventually, happens
from tickr.api import certificate, protocol, secure_link, server
from tickr.client import AsyncClient
from tickr.config import Config
from tickr.configuring import Given, read
from tickr.errors import ConfigError

QUICK_S = 3
ALIVE = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return files_in(tmp_path)


async def secure(site: Site, files: Files, **limits: Any) -> trio.SSLStream[trio.SocketStream]:
    """Return a connection to ``site`` after its handshake."""
    context = files.client()
    for name, value in limits.items():
        setattr(context, name, value)
    stream = trio.SSLStream(await site.connect(), context, server_hostname="localhost", https_compatible=True)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)
        raise
    return stream


@asynccontextmanager
async def open_secure(files: Files, **settings: Any) -> AsyncIterator[Site]:
    async with open_site(certificate=files.certificate(), **settings) as site:
        yield site


# -- what it serves --------------------------------------------------------------------------------------------------


async def test_jobs_go_over_https_on_one_connection(files: Files) -> None:
    async with open_secure(files) as site:
        url = f"https://localhost:{site.port}"
        async with httpx2.AsyncClient(
            base_url=url, verify=files.client(), limits=httpx2.Limits(max_connections=1)
        ) as http:
            large = {"text": "x" * 500_000}  # many records each way
            created = await http.post("/jobs", json={"type": "a", "payload": large})
            assert created.status_code == 201
            found = await http.get(f"/jobs/{created.json()['id']}")
            assert found.json()["payload"] == large
        assert [job.type for job in await site.rows()] == ["a"]


async def test_the_feed_goes_over_https_and_wss(files: Files) -> None:
    async with open_secure(files) as site:
        url = f"localhost:{site.port}"
        async with (
            AsyncClient(f"https://{url}", ca=str(files.ca)) as client,
            client.events() as stream,
            open_websocket_url(f"wss://{url}/events", ssl_context=files.client()) as socket,
        ):
            assert '"subscribed"' in await socket.get_message()
            stored = await client.submit("a")
            with trio.fail_after(LONG_S):
                event = await anext(stream)
                while stored.id not in await socket.get_message():
                    pass
            assert event.subject == stored.id


async def test_calls_that_come_together_are_answered_in_order(files: Files) -> None:
    async with open_secure(files) as site, await secure(site, files) as stream:
        await stream.send_all(ALIVE * 3)
        got = b""
        with trio.fail_after(LONG_S):
            while got.count(b"HTTP/1.1 200") < 3:
                got += await stream.receive_some()


async def test_an_authority_that_is_unknown_to_the_client_is_not_trusted(files: Files, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    async with open_secure(files) as site:
        with pytest.raises(trio.BrokenResourceError) as failed:
            await secure(site, files_in(tmp_path / "other"))
        assert "CERTIFICATE_VERIFY_FAILED" in str(failed.value.__cause__)
        async with await secure(site, files) as stream:  # and that hurts nobody else
            await stream.send_all(ALIVE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.filterwarnings("ignore:.*TLSVersion.TLSv1_1.*:DeprecationWarning")
async def test_versions_of_long_ago_are_refused(files: Files) -> None:
    async with open_secure(files) as site:
        old = {"minimum_version": ssl.TLSVersion.TLSv1_1, "maximum_version": ssl.TLSVersion.TLSv1_1}
        with pytest.raises(trio.BrokenResourceError):
            await secure(site, files, **old)
        async with await secure(site, files, maximum_version=ssl.TLSVersion.TLSv1_2) as stream:
            await stream.send_all(ALIVE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    assert files.certificate().context.minimum_version == ssl.TLSVersion.TLSv1_2


# -- who is sent away ------------------------------------------------------------------------------------------------


async def test_http_without_tls_is_told_so(files: Files) -> None:
    async with open_secure(files) as site:
        with trio.fail_after(QUICK_S):
            answer = await site.talk(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 10_000)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert b'"code":"https_required"' in answer
        async with httpx2.AsyncClient() as http:
            said = await http.get(f"http://127.0.0.1:{site.port}/jobs")
            assert said.status_code == 400
            assert said.json()["code"] == "https_required"


@pytest.mark.parametrize("start", [b"", b"\x16\x03\x01\x02"])
async def test_a_handshake_that_is_not_finished_ends_in_its_time(
    files: Files, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secure_link, "HANDSHAKE_S", 0.2)
    async with open_secure(files) as site:
        with trio.fail_after(QUICK_S):
            assert await site.talk(start) == b""
        assert not site.app.links.idle


async def test_handshakes_that_never_end_keep_nobody_out(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    monkeypatch.setattr(protocol, "IDLE_PATIENCE_S", 0.0)
    async with open_secure(files) as site, await site.connect() as first, await site.connect():
        await eventually(happens(lambda: len(site.app.links) == 2))
        async with await secure(site, files) as stream:
            await stream.send_all(ALIVE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        assert await read_all(first) == b""


async def test_what_is_no_handshake_ends_its_connection_alone(files: Files) -> None:
    async with open_secure(files) as site:
        with structlog.testing.capture_logs() as logged:
            await site.talk(b"\x16\x03\x01\x00\x05hello and more of that")
        assert [entry for entry in logged if entry["log_level"] not in ("debug", "info")] == []
        async with await secure(site, files) as stream:
            await stream.send_all(ALIVE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


async def test_an_idle_connection_is_closed_after_its_time(files: Files) -> None:
    async with open_secure(files, keep_alive_s=0.2) as site, await secure(site, files) as stream:
        await stream.send_all(ALIVE)
        with trio.fail_after(QUICK_S):
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            assert await stream.receive_some() == b""


async def test_a_client_that_does_not_read_is_cut_off(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SEND_WITHIN_S", 0.2)
    async with open_secure(files) as site:
        body = {"type": "a", "payload": "x" * 1_000_000}
        async with httpx2.AsyncClient(verify=files.client()) as http:
            job = (await http.post(f"https://localhost:{site.port}/jobs", json=body)).json()
        async with await secure(site, files) as stream:
            await stream.send_all(f"GET /jobs/{job['id']} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 9)
            await eventually(happens(lambda: not site.app.links), within_s=LONG_S)


async def test_a_stop_does_not_wait_for_connections_that_idle(files: Files) -> None:
    async with open_secure(files) as site, await site.connect(), await secure(site, files) as stream:
        await stream.send_all(ALIVE)
        await stream.receive_some()
        await site.stop(QUICK_S)


async def test_who_has_not_begun_is_served_in_the_clear_as_before() -> None:
    async with open_site() as site, await site.connect() as stream:
        await stream.send_all(ALIVE)
        assert (await read_answer(stream)).startswith(b"HTTP/1.1 200")


# -- its files -------------------------------------------------------------------------------------------------------


async def test_new_files_are_taken_and_bad_ones_are_not(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "LOOK_EVERY_S", 0.01)
    shown = files.certificate()
    async with open_site(certificate=shown) as site:
        old = files.client()
        with structlog.testing.capture_logs() as logged:
            files.issue(trustme.CA())
            await eventually(happens(lambda: any(entry["event"] == "tls.renewed" for entry in logged)))
            async with await secure(site, files) as stream:  # which trusts the new authority alone
                await stream.send_all(ALIVE)
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
            stranger = trio.SSLStream(await site.connect(), old, server_hostname="localhost")
            with pytest.raises(trio.BrokenResourceError):
                await stranger.do_handshake()
            await stranger.transport_stream.aclose()

            files.cert.write_text("half of a certif")
            await eventually(happens(lambda: any(entry["event"] == "tls.not_renewed" for entry in logged)))
        async with await secure(site, files) as stream:
            await stream.send_all(ALIVE)
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


def refusal(cert: Path, key: Path) -> str:
    with pytest.raises(ConfigError) as refused:
        certificate.certificate_of(Config(tls_cert=str(cert), tls_key=str(key)))
    (fault,) = refused.value.faults
    return fault


def test_files_that_cannot_be_used_are_told_with_what_to_do(files: Files, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere.pem"
    assert refusal(nowhere, files.key) == f"--tls-cert: {nowhere} cannot be read: No such file or directory."
    assert refusal(files.cert, nowhere) == f"--tls-key: {nowhere} cannot be read: No such file or directory."

    (tmp_path / "other").mkdir()
    other = files_in(tmp_path / "other")
    assert (
        refusal(files.cert, other.key) == f"--tls-key: {other.key} is not the key of the certificate in {files.cert}."
    )

    assert "both must be in PEM" in refusal(files.key, files.key)
    (tmp_path / "empty.pem").write_text("")
    assert "both must be in PEM" in refusal(tmp_path / "empty.pem", files.key)

    key = load_pem_private_key(files.key.read_bytes(), None)
    locked = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret"))
    files.key.write_bytes(locked)
    assert "is encrypted with a password; write it without" in refusal(files.cert, files.key)


def test_a_node_without_the_api_needs_no_certificate(tmp_path: Path) -> None:
    config = Config(tls_cert=str(tmp_path / "none"), tls_key=str(tmp_path / "none"), roles=("worker",))
    assert certificate.certificate_of(config) is None


@pytest.mark.parametrize(("given", "missing"), [("tls_cert", "--tls-key"), ("tls_key", "--tls-cert")])
def test_one_file_of_the_two_is_a_fault(given: str, missing: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read({given: Given("/a.pem", f"TICKR_{given.upper()}")})
    assert refused.value.faults == (f"TICKR_{given.upper()} is given without {missing}: HTTPS needs both files",)
