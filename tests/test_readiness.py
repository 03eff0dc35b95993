"""Who started Tickr is told when it is ready and when it stops, as systemd wants it; by real programs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from structlog.testing import capture_logs

from tests.processes import TickrProcess
from tickr.readiness import VARIABLE, nobody_waits, take_notify

WITHIN_S = 30.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket such as systemd's, at ``tmp_path / "notify"``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(WITHIN_S)
        yield sock


def heard(manager: socket.socket) -> str:
    return manager.recv(1000).decode()


@pytest.mark.slow
def test_a_node_tells_systemd_that_it_is_ready_and_that_it_stops(manager: socket.socket, tmp_path: Path) -> None:
    variables = {VARIABLE: str(tmp_path / "notify")}
    with TickrProcess(store="memory:", variables=variables) as node:
        assert heard(manager) == "READY=1"
        assert node.answers()
        node.terminate()
        assert heard(manager) == "STOPPING=1"
        assert node.wait() == 0


@pytest.mark.slow
def test_a_node_without_an_api_is_ready_as_well(manager: socket.socket, tmp_path: Path) -> None:
    node = TickrProcess(store="memory:", roles="worker", variables={VARIABLE: str(tmp_path / "notify")})
    node.start(wait=False)
    try:
        assert heard(manager) == "READY=1"
    finally:
        node.close()


@pytest.mark.slow
def test_several_processes_are_ready_once_all_of_them_are(
    manager: socket.socket, tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    with TickrProcess(
        store=mysql_url,
        index=redis_url,
        arguments=["--processes", "3"],
        variables={VARIABLE: str(tmp_path / "notify")},
    ) as node:
        assert heard(manager) == "READY=1"
        assert len(httpx2.get(f"{node.url}/nodes").json()["items"]) == 3
        node.terminate()
        assert heard(manager) == "STOPPING=1"
        assert node.wait() == 0
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(1000)  # none of the processes has spoken for itself


def test_the_variable_is_not_passed_on(manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "notify"))
    notify = take_notify()
    assert VARIABLE not in os.environ
    assert take_notify() is nobody_waits
    notify("READY=1")
    assert heard(manager) == "READY=1"


def test_an_abstract_socket_is_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"tickr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(WITHIN_S)
        monkeypatch.setenv(VARIABLE, f"@{name}")
        take_notify()("STOPPING=1")
        assert heard(sock) == "STOPPING=1"


@pytest.mark.parametrize("where", ["/no/such/socket", "vsock:2:9999", "x" * 500])
def test_a_manager_that_is_not_there_stops_nothing(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, where)
    with capture_logs() as logs:
        take_notify()("READY=1")
    assert [line["event"] for line in logs] == ["systemd.not_told"]
