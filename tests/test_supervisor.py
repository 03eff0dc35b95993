"""The supervisor by itself, over small programs in the place of nodes: how it starts, replaces, stops and gives up."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from tests.supervision import TWO, send, supervising
from tickr.config import Config
from tickr.errors import ConfigError
from tickr.processes import seat
from tickr.processes.fleet import Verdict
from tickr.processes.seat import pause_s
from tickr.processes.supervisor import supervise
from tickr.values import Range

pytestmark = pytest.mark.slow


async def test_all_serve_before_it_is_said_and_all_stop_at_a_signal(tmp_path: Path) -> None:
    async with supervising(tmp_path, "serve(); stay()", processes=Range(3, 3)) as fleet:
        await fleet.until_announced()
        assert fleet.lives == 3
        assert sorted(line["process"] for line in fleet.told("process.started")) == [1, 2, 3]
        (said,) = fleet.told("supervisor.serving")
        assert (said["processes"], fleet.announced) == (3, [said["url"]])
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
    assert fleet.lives == 3


async def test_each_has_the_socket_and_is_told_who_it_is_and_all_that_was_set(tmp_path: Path) -> None:
    body = (
        "listening = socket.socket(fileno=fds[1])\n"
        "assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)\n"
        "assert os.getsid(0) == os.getpid()\n"
        "assert b'canary-in-a-task' in task and 'canary-in-a-task' not in str(os.environ)\n"
        "serve(); listening.settimeout(None); listening.accept()[0].send(b'%d' % life); stay()"
    )
    async with supervising(tmp_path, body) as fleet:
        await fleet.until_announced()
        port = int(fleet.announced[0].rpartition(":")[2])
        answers = set()
        for _ in range(2):
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                answers.add(await stream.receive_some())
        assert answers == {b"1", b"2"}
        send(signal.SIGINT)
    assert fleet.verdict == Verdict(0)


async def test_without_the_role_api_there_is_no_port(tmp_path: Path) -> None:
    async with supervising(
        tmp_path, "if fds[1:4] != [-1, -1, -1]: refuse(1)\nserve()\nstay()", roles=("worker",)
    ) as fleet:
        await fleet.until_announced()
        assert fleet.announced == [""]
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_a_start_that_fails_is_tried_once_and_its_reason_is_told(tmp_path: Path) -> None:
    async with supervising(tmp_path, "refuse(2)", processes=Range(4, 4)) as fleet:
        pass
    assert fleet.verdict == Verdict(2, "no such luck")
    assert (fleet.lives, fleet.announced) == (1, [])


async def test_a_start_at_which_a_later_one_fails_is_given_up_and_the_others_stop(tmp_path: Path) -> None:
    body = "if life == 3: refuse(1)\nserve()\nassert stay() == b'drain\\n'"
    async with supervising(tmp_path, body, processes=Range(3, 3)) as fleet:
        pass
    assert fleet.verdict == Verdict(1, "no such luck")
    assert fleet.announced == []


async def test_a_process_that_just_ends_at_the_start_is_no_success(tmp_path: Path) -> None:
    async with supervising(tmp_path, "sys.exit(0)") as fleet:
        pass
    assert fleet.verdict == Verdict(1)
    assert fleet.lives == 1


async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    async with supervising(tmp_path, "", python="/no/such/program") as fleet:
        pass
    assert fleet.verdict is not None
    assert fleet.verdict.code == 1
    assert "/no/such/program" in fleet.verdict.reason


async def test_a_port_that_is_taken_is_told_before_anything_is_started() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="taken by another program"):
        await supervise(Config(port=taken.getsockname()[1], processes=TWO), ["/no/such"], announce=lambda _: None)


def test_pauses_double_up_to_a_bound_and_the_first_fall_costs_none() -> None:
    assert [pause_s(falls) for falls in range(9)] == [0, 0, 0.5, 1, 2, 4, 8, 10, 10]
    assert pause_s(10**6) == seat.MAX_PAUSE_S


async def test_one_that_falls_again_and_again_is_replaced_with_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(seat, "MAX_PAUSE_S", 0.04)
    # The second place is taken by life 2 and those after it. One of them falls before it serves; that is no difference.
    body = "if life == 4: refuse(1)\nserve()\nif 2 <= life < 7: os.kill(os.getpid(), signal.SIGSEGV)\nstay()"
    async with supervising(tmp_path, body) as fleet:
        await fleet.until_told("process.started", 7)
        ends = fleet.told("process.ended")
        assert [line["restart_in_s"] for line in ends] == [0, 0.01, 0.02, 0.04, 0.04]
        assert {(line["process"], line["log_level"]) for line in ends} == {(2, "error")}
        assert [line.get("signal", line.get("reason")) for line in ends].count("SIGSEGV") == 4
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_one_that_lasted_is_replaced_at_once_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "FIRST_PAUSE_S", 3600)
    monkeypatch.setattr(seat, "STEADY_S", 0)
    async with supervising(tmp_path, "serve()\nif 2 <= life < 6: sys.exit(0)\nstay()") as fleet:
        await fleet.until_told("process.started", 6)
        # To end without a fault is what a process does that somebody stopped by itself.
        assert {(line["code"], line["log_level"], line["restart_in_s"]) for line in fleet.told("process.ended")} == {
            (0, "info", 0.0)
        }
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_a_stop_does_not_wait_for_a_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat, "FIRST_PAUSE_S", 3600)
    monkeypatch.setattr(seat, "MAX_PAUSE_S", 3600)
    async with supervising(tmp_path, "serve()\nif life >= 2: os._exit(9)\nstay()") as fleet:
        await fleet.until_told("process.ended", 2)
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
    assert fleet.lives == 3


async def test_one_whose_place_nobody_can_take_is_given_up_and_the_others_go_on(tmp_path: Path) -> None:
    async with supervising(tmp_path, "if life > 2: refuse(2)\nserve()\nif life == 2: sys.exit(7)\nstay()") as fleet:
        await fleet.until_told("process.given_up")
        (line,) = fleet.told("process.given_up")
        assert (line["process"], line["reason"], line["log_level"]) == (2, "no such luck", "error")
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(2, "no such luck")
    assert fleet.lives == 3


async def test_when_all_are_given_up_it_ends(tmp_path: Path) -> None:
    async with supervising(tmp_path, "if life > 2: refuse(2)\nserve()\nstay()") as fleet:
        await fleet.until_announced()
        for line in fleet.told("process.started"):
            os.kill(line["pid"], signal.SIGKILL)
    assert fleet.verdict == Verdict(2, "no such luck")
    assert fleet.lives == 4


async def test_a_second_signal_is_passed_on_as_well(tmp_path: Path) -> None:
    body = "serve()\nassert stay() == b'drain\\n'\nlink.send(b'draining')\nassert stay() == b'now\\n'"
    async with supervising(tmp_path, body, grace=3600) as fleet:
        await fleet.until_announced()
        send(signal.SIGINT)
        await fleet.until_told("supervisor.stopping")
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
    assert [line["signal"] for line in fleet.told("supervisor.stopping")] == ["SIGINT", "SIGTERM"]


async def test_one_that_does_not_stop_is_killed_when_all_its_time_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "ENDS_WITHIN_S", 0.5)
    async with supervising(tmp_path, "serve()\nstay()\nif life == 2: signal.pause()", grace=0) as fleet:
        await fleet.until_announced()
        send(signal.SIGTERM)
    assert [line["process"] for line in fleet.told("process.killed")] == [2]
    assert [(line["process"], line["signal"]) for line in fleet.told("process.ended")] == [(2, "SIGKILL")]
    assert fleet.verdict == Verdict(128 + signal.SIGKILL)


async def test_a_signal_during_the_start_ends_it(tmp_path: Path) -> None:
    async with supervising(
        tmp_path, "if life == 2: stay(); sys.exit(0)\nserve()\nstay()", processes=Range(3, 3)
    ) as fleet:
        await fleet.until_told("process.started", 3)
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
    assert fleet.announced == []


async def test_the_socket_never_blocks_however_often_it_is_handed_on(tmp_path: Path) -> None:
    """One open file is behind all its descriptors: if it blocks in one process, the loops of all would freeze."""
    body = (
        "listening = socket.socket(fileno=fds[1])\n"
        "if life == 1: os.set_blocking(fds[1], False)\n"
        "elif os.get_blocking(fds[1]): refuse(2)\n"
        "serve()\nif 2 <= life < 4: sys.exit(0)\nstay()"
    )
    async with supervising(tmp_path, body) as fleet:
        await fleet.until_told("process.started", 4)
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_the_connections_of_one_that_was_killed_are_no_longer_counted(tmp_path: Path) -> None:
    """Otherwise the others would leave new connections to it until somebody has its place again."""
    body = (
        "import mmap\ntally = memoryview(mmap.mmap(fds[2], 8)).cast('i')\n"
        "if tally[1] != -1: refuse(2)\n"
        "serve()\nif 2 <= life < 4: tally[1] = 5; os.kill(os.getpid(), signal.SIGKILL)\nstay()"
    )
    async with supervising(tmp_path, body) as fleet:
        await fleet.until_told("process.started", 4)
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
