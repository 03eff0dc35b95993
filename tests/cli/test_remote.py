"""The client when things go wrong: each failure is one sentence and an exit code."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from tests.children import free_port
from tickr.cli.exits import MISUSED, UNREACHABLE, Exit
from tickr.cli.remote import Remote

ID = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


@contextmanager
def answering(status: int, body: bytes, kind: str = "application/json") -> Iterator[str]:
    """Give the URL of a web server that answers everything with the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def failure(url: str, ask: Callable[[Remote], object]) -> Exit:
    with Remote(url, "s3cret") as remote, pytest.raises(Exit) as failed:
        ask(remote)
    assert "s3cret" not in failed.value.message
    return failed.value


def test_nobody_answers() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    exit_ = failure(url, lambda remote: remote.job(ID))
    assert exit_.exit_code == UNREACHABLE
    assert exit_.message == f"No Tickr answers at {url}. Start one with `tickr serve`, or name another with --url."


def test_a_submission_that_was_cut_off_tells_how_to_repeat_it_safely() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        exit_ = failure(f"http://127.0.0.1:{server.getsockname()[1]}", lambda remote: remote.submit(b"{}", ID))
        thread.join()
    assert exit_.exit_code == UNREACHABLE
    assert f"--id {ID}" in exit_.message


@pytest.mark.parametrize("body", [b"<html>Apache</html>", b"{}", b"[1]", b'{"detail": 5}', b""])
@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_what_is_not_tickr_is_told_as_such(status: int, body: bytes) -> None:
    with answering(status, body, "text/html") as url:
        for ask in (lambda remote: remote.job(ID), lambda remote: list(remote.jobs({}, limit=1))):
            exit_ = failure(url, ask)
            assert exit_.exit_code == UNREACHABLE
            assert "is not Tickr" in exit_.message


def test_a_problem_is_told_in_its_own_words_with_every_pointer() -> None:
    body = (
        b'{"code":"invalid_request","detail":"It cannot be taken.","errors":'
        b'[{"pointer":"/delay","detail":"must be less"},{"pointer":"","detail":"is odd"}]}'
    )
    with answering(422, body, "application/problem+json") as url:
        exit_ = failure(url, lambda remote: remote.submit(b"{}", ID))
    assert exit_.exit_code == MISUSED
    assert exit_.problem == body
    assert exit_.message == "It cannot be taken.\n  /delay must be less\n  the body is odd"


def test_who_lacks_a_token_is_told_where_it_goes() -> None:
    with answering(401, b'{"code":"unauthenticated","detail":"A token is needed."}') as url:
        assert "TICKR_TOKEN" in failure(url, lambda remote: remote.retry(ID)).message


@pytest.mark.parametrize("token", ["wr\u00f6ng", "two words", "a\nHost: other", "x" * 1001])
def test_what_cannot_be_a_token_is_misuse_and_is_not_told(token: str) -> None:
    with pytest.raises(Exit) as failed:
        Remote("http://127.0.0.1:1", token)
    assert failed.value.exit_code == MISUSED
    assert failed.value.message == "The token in TICKR_TOKEN must be printable ASCII without spaces."


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://x", "http://", "http://x:99999", "http://x/?a=b", "http://[::1"]
)
def test_what_is_no_url_is_misuse(url: str) -> None:
    with pytest.raises(Exit) as failed:
        Remote(url)
    assert failed.value.exit_code == MISUSED


def test_a_proxy_is_not_asked_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    with answering(404, b'{"code":"job_not_found","detail":"There is no job."}') as url:
        assert failure(url, lambda remote: remote.job(ID)).message == "There is no job."
