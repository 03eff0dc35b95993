"""The supervisor with a range of processes, over small programs in the place of nodes: whom it adds and takes away."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.supervision import Supervision, send, supervising
from tests.waiting import eventually, happens
from tickr.processes import scaling, seat, supervisor
from tickr.processes.fleet import Verdict
from tickr.processes.link import MAX_LINE_BYTES, Lines, load_line, load_of, reason_of, refusal
from tickr.processes.scaling import Place, Scaling
from tickr.values import Range
from tickr.worker.load import Load

pytestmark = pytest.mark.slow

BEHIND, IDLE = "load 1000 1\n", "load 0 0\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything ten times as fast, but for what a process that fell has to prove."""
    monkeypatch.setattr(supervisor, "LOOK_S", 0.1)
    monkeypatch.setattr(scaling, "GROW_AFTER_S", 0.3)
    monkeypatch.setattr(scaling, "SHRINK_AFTER_S", 0.6)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What each look of the supervisor has said so far."""
    said: list[int] = []

    class Counted(Scaling):
        def look(self, now: float, places: Sequence[Place], *, leaving: int = 0) -> int:
            said.append(super().look(now, places, leaving=leaving))
            return said[-1]

    monkeypatch.setattr(supervisor, "Scaling", Counted)
    return said


def counted(fleet: Supervision, event: str) -> list[int]:
    """Return how many processes there were after each such event."""
    return [line["processes"] for line in fleet.told(event)]


async def until_looked(looks: list[int]) -> None:
    """Return after so many looks that there would have been a change if there were to be one."""
    enough = len(looks) + 15
    await eventually(happens(lambda: len(looks) >= enough))


async def test_there_are_more_with_the_load_up_to_most_and_fewer_without_it_down_to_least(
    tmp_path: Path, looks: list[int]
) -> None:
    body = "serve()\nassert work() == b'drain\\n'"
    async with supervising(tmp_path, body, processes=Range(2, 4)) as fleet:
        await fleet.until_announced()
        assert fleet.lives == 2
        fleet.load(BEHIND)
        await fleet.until_told("processes.added", 2)
        await fleet.until_told("process.started", 4)
        await until_looked(looks)
        assert (fleet.lives, counted(fleet, "processes.added")) == (4, [3, 4])
        assert [line["process"] for line in fleet.told("processes.added")] == [3, 4]
        fleet.load(IDLE)
        await fleet.until_told("processes.removed", 2)
        await until_looked(looks)
        assert counted(fleet, "processes.removed") == [3, 2]
        assert [line["process"] for line in fleet.told("processes.removed")] == [4, 3], "of several the last"
        assert not fleet.told("process.ended"), "and nobody took their places"
        fleet.load(BEHIND)
        await fleet.until_told("processes.added", 3)
        assert fleet.told("processes.added")[2]["process"] == 3, "a number that is free again"
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)
    assert {line["log_level"] for line in fleet.told("processes.added") + fleet.told("processes.removed")} == {"info"}
    assert "have waited for every process" in fleet.told("processes.added")[0]["reason"]
    assert "little to do" in fleet.told("processes.removed")[0]["reason"]


async def test_the_one_that_does_least_goes(tmp_path: Path) -> None:
    body = (
        "serve()\nshare = 10 if life == 2 else 100\n"
        "while not select.select([link], [], [], 0.05)[0]:\n"
        "    tell()\n"
        "    if life == 3 or os.path.exists(sys.argv[1] + '.over'): link.send(b'load %d 0\\n' % share)"
    )
    async with supervising(tmp_path, body, processes=Range(1, 3)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.started", 3)
        fleet.load("")
        (tmp_path / "lives.over").touch()
        await fleet.until_told("processes.removed")
        assert fleet.told("processes.removed")[0]["process"] == 2
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_one_that_falls_again_and_again_is_not_taken_for_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seat, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(seat, "MAX_PAUSE_S", 0.2)
    # Once it has fallen it serves for long enough to be behind with the others, and falls.
    body = (
        "serve()\nif life == 1: work(); sys.exit(0)\n"
        "for _ in range(12 if life > 2 else 0): tell(); select.select([], [], [], 0.05)\n"
        "os._exit(9)"
    )
    async with supervising(tmp_path, body, processes=Range(1, 4)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.ended", 4)
        assert {line["process"] for line in fleet.told("process.ended")} == {2}
        assert len(fleet.told("processes.added")) == 1
        send(signal.SIGTERM)


async def test_when_nobody_new_can_start_the_number_stays_and_the_others_go_on(tmp_path: Path) -> None:
    body = (
        "if life > 1: refuse(2)\nserve()\ntold = open(sys.argv[1] + '.told', 'ab', buffering=0)\n"
        "while not select.select([link], [], [], 0.05)[0]: tell(); told.write(b'.')"
    )
    async with supervising(tmp_path, body, processes=Range(1, 4)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.given_up")
        assert fleet.told("process.given_up")[0]["reason"] == "no such luck"
        told = tmp_path / "lives.told"
        enough = told.stat().st_size + 40  # for two more to be added
        await eventually(happens(lambda: told.stat().st_size >= enough))
        assert not fleet.told("supervisor.stopping")
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(2, "no such luck")
    assert (fleet.lives, len(fleet.told("processes.added"))) == (2, 1)


async def test_an_added_one_that_ends_before_it_serves_is_tried_again_and_ends_nobody(tmp_path: Path) -> None:
    body = "if life == 2: refuse(1)\nserve()\nassert work() == b'drain\\n'"
    async with supervising(tmp_path, body, processes=Range(1, 2)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.started", 3)
        assert [line["process"] for line in fleet.told("process.ended")] == [2]
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_a_stop_while_one_is_added_ends_that_as_well(tmp_path: Path) -> None:
    body = "if life == 1: serve(); work(); sys.exit(0)\nassert stay() == b'drain\\n'"
    async with supervising(tmp_path, body, processes=Range(1, 4)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.started", 2)
        send(signal.SIGTERM)
    assert (fleet.verdict, fleet.lives) == (Verdict(0), 2)


async def test_one_that_is_killed_on_its_way_out_is_not_replaced(tmp_path: Path, looks: list[int]) -> None:
    body = "serve()\nassert work() == b'drain\\n'\nif life == 2: signal.pause()"
    async with supervising(tmp_path, body, processes=Range(1, 2), grace=3600) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.started", 2)
        fleet.load(IDLE)
        await fleet.until_told("processes.removed")
        fleet.load(BEHIND)
        await until_looked(looks)
        assert fleet.lives == 2, "as long as it is there, it counts"
        os.kill(fleet.told("process.started")[1]["pid"], signal.SIGKILL)
        await fleet.until_told("processes.added", 2)
        (end,) = fleet.told("process.ended")
        assert (end["process"], end["signal"], end["log_level"]) == (2, "SIGKILL", "error")
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0), "how one ended that left before says nothing of the stop"


async def test_a_second_signal_reaches_one_that_was_leaving_already(tmp_path: Path) -> None:
    body = "serve()\nassert work() == b'drain\\n'\nif life == 2: assert stay() == b'now\\n'"
    async with supervising(tmp_path, body, processes=Range(1, 2), grace=3600) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("process.started", 2)
        fleet.load(IDLE)
        await fleet.until_told("processes.removed")
        send(signal.SIGTERM)
        await fleet.until_told("supervisor.stopping")
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


async def test_nothing_that_a_process_says_harms_the_supervisor(tmp_path: Path) -> None:
    said = (
        b"\xff\n", b"\n\n", b"load\n", b"load 1 7\n", b"load nan 1\n", b"load -1 1\n", b"load 99999999999 1\n",
        b'refused {"a": 1}\n', b"refused \xff\n", b'refused "half', b"\n", bytes(range(256)) * 80,
    )  # fmt: skip
    long = f"b'x' * {2 * MAX_LINE_BYTES} + b'\\n'"
    body = f"serve()\nfor one in (*{said!r}, {long}): link.sendall(one)\nwork()"
    async with supervising(tmp_path, body, processes=Range(1, 2)) as fleet:
        await fleet.until_announced()
        fleet.load(BEHIND)
        await fleet.until_told("processes.added")
        await fleet.until_told("process.started", 2)
        send(signal.SIGTERM)
    assert fleet.verdict == Verdict(0)


def test_lines_are_whole_however_they_come_and_what_never_ends_is_not_kept() -> None:
    lines = Lines()
    assert [lines.read(bytes([byte])) for byte in b"ab\nc"] == [[], [], [b"ab"], []]
    assert lines.read(b"d\n\ne") == [b"cd", b""]
    for _ in range(3):
        assert lines.read(b"x" * MAX_LINE_BYTES) == []
    (rest, after) = lines.read(b"y\nload 1 1\n")
    assert len(rest) <= MAX_LINE_BYTES
    assert load_of(after) == Load(0.001, behind=True)


def test_what_is_said_is_what_is_heard() -> None:
    for load in (Load(0.25, behind=True), Load(0.0, behind=False), Load(3.5, behind=False)):
        assert load_of(load_line(load).rstrip(b"\n")) == load
    assert load_of(load_line(Load(1e9, behind=True)).rstrip(b"\n")) == Load(999.999, behind=True)
    assert load_of(load_line(Load(-1.0, behind=True)).rstrip(b"\n")) == Load(0.0, behind=True)
    for reason in ("no such luck", 'with "quotes"\nand lines', "\x00" * 20_000):
        line = refusal(reason)
        assert len(line) < MAX_LINE_BYTES
        assert reason_of(line.rstrip(b"\n")) == reason[:16_384]
