"""The bench beside the peers, without them: its adapters are complete, its conversation works, its table is right."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench.peers import postgres
from bench.peers.__main__ import arguments
from bench.peers.brokers import Brokers
from bench.peers.catalogue import PEERS, REFERENCES
from bench.peers.contract import ROOT, Environment, Peer
from bench.peers.environment import environment_of
from bench.peers.marks import Marks
from bench.peers.report import fairness, raw, rows, table
from bench.peers.rounds import Contest
from bench.peers.stage import PeerFailed, Stage
from bench.peers.tickr.adapter import ON_SQLITE, TickrOnSqlite
from bench.report.machine import machine

FOLDER = ROOT / "bench/peers"
OTHERS = [peer for peer in PEERS.values() if peer not in REFERENCES]
WANTED = "arq bullmq celery dramatiq graphile-worker procrastinate rq streaq taskiq tickr tickr-sqlite"
INSTALLED = Environment(Path("/e"), Path("/e/bin"), "/e/bin/python")

# -- the adapters ---------------------------------------------------------------------------------------------------


def test_everybody_takes_part() -> None:
    assert sorted(PEERS) == sorted(WANTED.split())
    assert {adapter.parent for adapter in FOLDER.glob("*/adapter.py")} == {peer.folder for peer in PEERS.values()}


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_an_adapter_is_complete(peer: Peer) -> None:
    assert peer.packages is not None
    app = peer.folder / ("app.mjs" if peer.language == "node" else "app.py")
    assert app.exists()
    assert re.search(r"https://\S+|documentation", (peer.folder / "adapter.py").read_text()), "no page is cited"
    for processes in peer.processes:
        with Brokers(()) as brokers:
            commands = peer.worker(INSTALLED, brokers, processes)
        # Either the peer's own command is told the number, or it is started so many times.
        assert len(commands) == processes or any(str(processes) in word for word in commands[0])
        words = " ".join(commands[0])
        assert f"bench.peers.{peer.folder.name}.app" in words or str(app) in words or peer.name == "rq"
    assert peer.folder.name in " ".join(peer.producer(INSTALLED))


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_packages_are_pinned_and_name_no_registry(peer: Peer) -> None:
    assert peer.packages is not None
    text = peer.packages.read_text()
    if peer.language == "node":
        pinned = json.loads(text)["dependencies"]
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
    else:
        pinned = dict(line.split("==") for line in text.splitlines())
    assert peer.version_of in pinned
    assert "://" not in text


def test_the_readme_has_the_fairness_table_as_it_is() -> None:
    assert fairness([*PEERS.values()]) in (FOLDER / "README.md").read_text()


# -- the conversation and the marks ---------------------------------------------------------------------------------

APP = """
from bench.peers.marks import mark

class Producer:
    async def __aenter__(self): return self
    async def __aexit__(self, *error): pass
    async def many(self, count):
        for _ in range(count): mark()
    async def one(self): mark()
"""

APP_MJS = """
import {{ mark }} from "{folder}/marks.mjs";
import {{ chunks, serve }} from "{folder}/producer.mjs";
await serve({{
  many: async (count) => {{ for (const size of chunks(count)) for (let i = 0; i < size; i++) mark(); }},
  one: async () => mark(),
}});
"""


def producer(language: str, folder: Path) -> list[str]:
    if language == "python":
        (folder / "marking_app.py").write_text(APP)
        return [sys.executable, "-m", "bench.peers.producer", "marking_app"]
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    (folder / "app.mjs").write_text(APP_MJS.format(folder=FOLDER))
    return [node, str(folder / "app.mjs")]


@pytest.mark.slow
@pytest.mark.parametrize("language", ["python", "node"])
def test_a_producer_answers_each_line_and_marks_each_job(language: str, tmp_path: Path) -> None:
    marks = Marks(tmp_path / "marks")
    command = producer(language, tmp_path)
    python_path = os.pathsep.join([str(ROOT), str(tmp_path)])
    variables = {**os.environ, "PEERS_MARKS": str(marks.path), "PEERS_CHUNK": "2", "PYTHONPATH": python_path}
    began = time.monotonic_ns()
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables, cwd=ROOT
    ) as process:
        said, _ = process.communicate("many 5\none\n", timeout=30)
    ready, *answers = map(json.loads, said.splitlines())
    assert ready == {"ready": True}
    assert marks.count() == 6
    ended = time.monotonic_ns()
    five, one = answers
    assert began < five["began_ns"] < five["ended_ns"] < one["began_ns"] < one["ended_ns"] < ended
    for number, (at, pid) in enumerate(marks.since(0)):
        answer = five if number < 5 else one
        assert answer["began_ns"] <= at <= answer["ended_ns"]
        assert pid == process.pid
    assert len(marks.since(5)) == 1


@pytest.mark.slow
def test_a_turn_of_tickr_itself() -> None:
    environment = environment_of(ON_SQLITE)
    with Brokers(()) as brokers:
        with Stage(ON_SQLITE, environment, brokers, 1) as stage:
            took = stage.run(200)
            assert ON_SQLITE.left(brokers) == 0
            latencies = stage.latencies_ms(3, 10)
        assert (took.jobs, took.extra) == (200, 0)
        assert 0 < took.submitted_s <= took.seconds
        assert took.cpu_s["worker"] > 0
        assert len(latencies) == 3
        assert all(0 < ms < 10_000 for ms in latencies)
        assert not brokers.failed


class Ending(TickrOnSqlite):
    """A peer whose worker ends at once."""

    name = "ending"

    def worker(self, environment: Environment, brokers: Brokers, processes: int) -> list[list[str]]:
        return [[environment.interpreter, "-c", "raise SystemExit('no such option')"]]


@pytest.mark.slow
def test_a_worker_that_ends_is_told_with_its_words() -> None:
    with Brokers(()) as brokers, pytest.raises(PeerFailed, match=r"ended with code 1.*\n.*no such option"):
        Stage(Ending(), environment_of(ON_SQLITE), brokers, 1).__enter__()


class Quick(TickrOnSqlite):
    probe = 50


@pytest.mark.slow
def test_who_fails_is_noted_and_the_others_go_on() -> None:
    with Brokers(()) as brokers:
        contest = Contest([Ending(), Quick()], brokers, jobs=100)
        contest.install()
        contest.calibrate()
        contest.rounds(1)
    ending, quick = contest.records.values()
    assert ending["out"]
    assert ending["rounds"] == []
    assert ending["failures"] == ["a worker ended with code 1"] * 2
    assert not quick["out"]
    assert quick["failures"] == []
    assert (quick["processes"], quick["jobs"], quick["version"]) == (1, 100, quick["packages"]["tickr"])
    assert {processes: len(rates) for processes, rates in quick["probes"].items()} == {"1": 2}
    (only,) = quick["rounds"]
    assert (only["round"], only["jobs"], only["extra"]) == (0, 100, 0)
    assert only["jobs_per_s"] == pytest.approx(100 / only["seconds"], abs=0.1)
    assert only["worker_us"] == pytest.approx(only["cpu_s"]["worker"] * 1e4, abs=0.1)
    assert only["latencies_ms"]
    assert [row[""] for row in rows(contest.records)] == [f"Tickr, SQLite ({quick['version']})"]


def test_who_cannot_be_installed_or_has_no_server_sits_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(postgres, "DEBIAN", str(tmp_path))
    with Brokers(["postgres"]) as brokers:
        contest = Contest([PEERS["bullmq"], PEERS["procrastinate"], ON_SQLITE], brokers)
        contest.install()
    bullmq, procrastinate, sqlite = contest.records.values()
    assert bullmq["failures"] == ["node and npm are not installed (Debian: nodejs npm)"]
    assert procrastinate["failures"] == ["postgres: postgres, initdb, psql not found (Debian: postgresql)"]
    assert [record["out"] for record in (bullmq, procrastinate, sqlite)] == [True, True, False]


# -- the table and the file -----------------------------------------------------------------------------------------


def record(title: str, rates: list[float | None], **more: Any) -> dict[str, Any]:
    """Return what ``rounds.py`` writes down; None is a round that failed."""
    rounds = [
        {
            "round": number,
            "jobs_per_s": rate,
            "worker_us": 100.0 + number,
            "broker_us": 20.0,
            "producer_us": 5.0,
            "others_share": 0.25,
            "latencies_ms": [1.0 + number, 2.0, 9.0],
            "extra": 0,
        }
        for number, rate in enumerate(rates)
        if rate is not None
    ]
    return {"title": title, "version": "1.2", "processes": 2, "failures": [], "rounds": rounds, **more}


RECORDS = {
    "tickr": record("Tickr", [6000.0, 9000.0, 3000.0]),
    "tickr-sqlite": record("SQLite", [2000.0, 2000.0, 2000.0]),
    "celery": record("Celery", [500.0, None, 1000.0], failures=["3 of 9 jobs had started"]),
    "fast": record("Fast", [12000.0, 9000.0, 10000.0]),
    "rq": record("RQ", [], version=None, failures=["pip failed: no network"]),
}


def test_rows_come_fastest_first_with_the_ratios_of_common_rounds() -> None:
    found = rows(RECORDS)
    assert [row[""] for row in found] == ["Fast (1.2)", "Tickr (1.2)", "SQLite (1.2)", "Celery (1.2)"]
    fast, tickr, sqlite, celery = found
    assert fast["Tickr ÷ it"] == "0.60 (0.30..1.00)"
    assert fast["Tickr on SQLite ÷ it"] == "0.20 (0.17..0.22)"
    assert tickr["Tickr ÷ it"] == ""
    assert sqlite["Tickr ÷ it"] == "3.00 (1.50..4.50)"
    # Round 1 has no figure of Celery: (6000 + 3000) / 2 over (500 + 1000) / 2, and 12 and 3 in single rounds.
    assert celery["Tickr ÷ it"] == "6.00 (3.00..12.00)"
    assert (tickr["jobs/s"], tickr["worker µs"], tickr["broker µs"], tickr["producer µs"]) == (6000, 101, 20, 5)
    assert (tickr["idle p50 ms"], tickr["p99 ms"], tickr["processes"]) == (2.0, 9.0, 2)


def test_the_table_says_who_failed_and_how_busy_the_machine_was() -> None:
    once = record("Twice", [1.0])
    text = table({**RECORDS, "twice": once})
    assert text.splitlines()[1].startswith("Fast (1.2)")
    assert "Celery failed: 3 of 9 jobs had started\n" in text
    assert "RQ failed: pip failed: no network" in text
    assert "everything else on this machine took 0.25 of a processor" in text
    assert "jobs twice" not in text
    once["rounds"][0]["extra"] = 4
    assert "Twice ran 4 jobs twice" in table({**RECORDS, "twice": once})


def test_the_table_of_nothing_is_what_went_wrong() -> None:
    assert table({"rq": RECORDS["rq"]}) == "RQ failed: pip failed: no network"


def test_the_file_of_raw_figures_holds_everything() -> None:
    on = {"machine": machine(), "servers": {"redis": "7.0"}, "settings": {"rounds": 3}}
    run = raw(RECORDS, command="python -m bench.peers", **on)
    read = json.loads(json.dumps(run))
    assert read["peers"] == RECORDS
    assert {"system", "processor", "cores"} <= set(read["machine"])
    assert read["versions"]["redis"] == "7.0"
    assert {"tickr", "python"} <= set(read["versions"])
    assert (read["command"], read["given"]) == ("python -m bench.peers", {"rounds": 3})
    assert {"of": "tickr / fast", "ratio": 0.6, "least": 0.3, "most": 1.0}.items() <= read["summary"][2].items()
    assert len(read["summary"]) == 6  # each reference with the three others that worked


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert arguments(["--peers", "celery, rq"]).peers == ["celery", "rq"]
    with pytest.raises(SystemExit):
        arguments(["--peers", "celery,sidekiq"])
    assert "no peer named sidekiq" in capsys.readouterr().err
