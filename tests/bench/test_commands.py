"""Every command of ``python -m bench`` runs, tiny, and its raw file has the keys that ``bench/README.md`` names.

What a figure comes to on a busy machine means nothing, so only what must be true of it anywhere is looked at.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import COMMANDS, main
from tests.conftest import do_without
from tests.docs.pages import ROOT, code, table
from tests.processes import TickrProcess
from tests.servers import missing_for_mysql, missing_for_redis

README = (ROOT / "bench" / "README.md").read_text()
KEYS = {row[0] for row in table(README, "key", "what")}
ROUND_KEYS = {row[0].strip("`"): set(code(row[1])) for row in table(README, "command", "of each round")}
WITHIN_S = 90.0

ONE_ROUND = ("--rounds", "1")
SHORT = ("--rounds", "1", "--seconds", "0.3")
TINY = {
    "submit": ("submit", *SHORT, "--concurrency", "1,2"),
    "batch": ("batch", *SHORT, "--sizes", "1,20"),
    "stream": ("stream", *SHORT, "--size", "20", "--in-flight", "60"),
    "drain": ("drain", *ONE_ROUND, "--jobs", "300"),
    "end_to_end": ("end_to_end", *ONE_ROUND, "--jobs", "300", "--size", "100", "--by", "batch,stream"),
    "latency": ("latency", *SHORT, "--rates", "50", "--backlog", "300"),
    "delay_accuracy": ("delay_accuracy", *SHORT, "--rate", "100", "--delay", "0.05,0.2"),
    "cancel": ("cancel", *ONE_ROUND, "--cancels", "3", "--nodes", "1"),
    "feed-latency": ("feed", "latency", "--rate", "50", "--seconds", "0.5", "--warm-up", "0.2"),
    "feed-fanout": ("feed", "fanout", "--rates", "100", "--seconds", "0.5", "--subscribers", "3"),
    "growth": ("growth", *ONE_ROUND, "--points", "0:0,300:500", "--jobs", "200", "--size", "100"),
    "million": ("million", "--jobs", "2000", "--calls", "1", "--rate", "0", "--paints", "0", "--only", "/queues"),
    "memory": ("memory", "--minutes", "0.03", "--settle", "0.2", "--backlog", "300", "--rate", "30"),
    "attempts": ("attempts", *ONE_ROUND, "--jobs", "300"),
    "index_cost": ("index_cost", *ONE_ROUND, "--jobs", "500", "--failed", "10"),
    "metrics": ("metrics", *ONE_ROUND, "--times", "100"),
}
"""Each command as small as it goes."""


def bench(*words: str | Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *map(str, words)]
    alone = {name: value for name, value in os.environ.items() if not name.startswith("TICKR_")}
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**alone, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )


def run(name: str, folder: Path, *more: str) -> dict[str, Any]:
    """Run the tiny ``name`` and return its raw file, which must be the only one."""
    on = () if name in ("attempts", "metrics") or {"--url", "--store"} & set(more) else ("--store", "sqlite")
    done = bench(*TINY.get(name, (name,)), *on, *more, "--results", folder)
    assert done.returncode == 0, f"{name} failed:\n{done.stdout}\n{done.stderr}"
    (path,) = folder.glob("*.json")
    assert f"raw figures: {path}" in done.stdout
    assert "[1/" in done.stderr  # progress, plain as this is no terminal
    return dict(json.loads(path.read_text()))


def check(name: str, raw: dict[str, Any]) -> list[dict[str, Any]]:
    """Look whether ``raw`` has what is documented, and return its rounds."""
    assert set(raw) == {key.strip("`") for key in KEYS}
    assert raw["name"] == name
    assert raw["command"].startswith("python -m bench ")
    assert raw["machine"]["cores"] >= 1
    assert {"system", "processor", "memory_bytes", "load_before"} <= set(raw["machine"])
    assert {"tickr", "tickr_commit", "python", "trio"} <= set(raw["versions"])
    for one in raw["rounds"]:
        assert ROUND_KEYS[name] | {"round", "side"} <= set(one), sorted(one)
    assert raw["rounds"]
    return list(raw["rounds"])


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", TINY)
def test_a_command_runs_and_keeps_what_is_documented(name: str, tmp_path: Path) -> None:
    rounds = check(name, run(name, tmp_path))
    for one in rounds:
        assert one.get("jobs", 1) > 0
        assert one.get("early", 0) == 0
        if "cpu_s" in one:
            assert one["cpu_s"]["others"] >= 0
            assert {"server", "load"} & set(one["cpu_s"])


@pytest.mark.slow
@pytest.mark.long
def test_a_filled_store_is_measured_again(tmp_path: Path) -> None:
    store = "--store", f"sqlite:///{tmp_path / 'jobs.db'}"
    check("million", run("million", tmp_path / "first", *store))
    rounds = check("million", run("million", tmp_path / "again", *store, "--filled", "--only", "/statistics 1h"))
    assert {one["name"] for one in rounds} > {"/statistics 1h", "/statistics 1h by type, totals"}
    assert all(one["first_cpu_ms"] > 0 for one in rounds)
    (path,) = (tmp_path / "again").glob("*.json")
    done = subprocess.run(
        [sys.executable, "-m", "bench.million.groups", path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "| | sqlite-heap, processor time | sqlite-heap, clock |" in done.stdout


@pytest.mark.slow
@pytest.mark.long
def test_reindex_takes_a_private_redis(tmp_path: Path) -> None:
    if missing := missing_for_redis():
        do_without(missing)
    (found,) = check("reindex", run("reindex", tmp_path, "--jobs", "300", "--rounds", "1", "--store", "sqlite"))
    assert found["failed"] == 0


@pytest.mark.slow
@pytest.mark.long
def test_processes_are_two_beside_one(tmp_path: Path) -> None:
    if missing := missing_for_mysql() or missing_for_redis():
        do_without(missing)
    raw = run(
        "processes", tmp_path, *SHORT, "--store", "mysql", "--jobs", "300", "--connections", "4", "--buffer-pool", "64M"
    )
    rounds = check("processes", raw)
    assert {(one["what"], one["side"], len(one["rss_mib"])) for one in rounds} == {
        (what, side, sizes) for what in ("POST", "drain") for side, sizes in (("one", 1), ("several", 3))
    }
    (spread,) = raw["summary"]["spread"]
    assert (len(spread), sum(spread)) == (2, 64)
    assert [one["of"] for one in raw["summary"]["ratios"]] == ["several / one"] * 2


@pytest.mark.slow
@pytest.mark.long
def test_scaling_follows_the_load(tmp_path: Path) -> None:
    if missing := missing_for_mysql() or missing_for_redis():
        do_without(missing)
    raw = run("scaling", tmp_path, *ONE_ROUND, "--store", "mysql", "--buffer-pool", "64M")
    (found,) = check("scaling", raw)
    assert 3 < found["added"] < found["serving"] < found["started"]
    assert 30 < found["removed"] < found["stopped"]


@pytest.mark.slow
@pytest.mark.long
def test_a_drain_on_private_servers_goes_beside_a_bare_pipeline(tmp_path: Path) -> None:
    if missing := missing_for_mysql() or missing_for_redis():
        do_without(missing)
    raw = run("drain", tmp_path, "--store", "mysql", "--buffer-pool", "64M")
    rounds = check("drain", raw)
    assert [one["side"] for one in rounds] == ["tickr", "bare"]
    assert [one["jobs"] for one in rounds] == [300, 300]
    assert {"server", "database", "redis"} <= set(rounds[0]["cpu_s"])
    assert raw["on"]["database"]["innodb_flush_log_at_trx_commit"] == "1"
    assert raw["summary"]["ratios"][0]["of"] == "tickr / bare"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["submit", "end_to_end", "latency"])
def test_a_command_goes_to_a_tickr_that_runs_already(name: str, tmp_path: Path) -> None:
    with TickrProcess(app="bench.noop:jobs", variables={"TICKR_TOKEN": "sesame-0123456789"}) as node:
        words = [*(word for word in TINY[name] if word not in ("--backlog",)), "--url", node.url]
        if name == "latency":
            words.remove("300")
        done = bench(*words, "--results", tmp_path, environment={"TICKR_TOKEN": "sesame-0123456789"})
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = tmp_path.glob("*.json")
    text = path.read_text()
    assert "sesame" not in text
    check(name, json.loads(text))
    assert path.name == f"{name}-url.json"


def test_bench_alone_lists_every_command_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert [name for name, _ in listed] == list(COMMANDS)
    assert all(len(line) > 20 for _, line in listed)


def test_every_command_is_documented_and_tried() -> None:
    told = [row[0].strip("`") for row in table(README, "command", "what it measures")]
    assert told == list(COMMANDS)
    tried = {words[0] for words in TINY.values()} | {"reindex", "processes", "scaling"}
    assert tried == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_good(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m bench {name}" in shown
    assert "--results" in shown
    assert len(shown) > 500


def test_an_unknown_command_is_told_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sumbit"]) == 2
    shown = capsys.readouterr()
    assert "sumbit" in shown.err
    assert "submit" in shown.out


@pytest.mark.slow
def test_a_backlog_needs_a_store_of_its_own(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/mine.db"
    done = bench("latency", "--backlog", "10", "--rates", "50", *SHORT, "--store", store, "--results", tmp_path)
    assert done.returncode != 0
    assert "several databases" in done.stderr


@pytest.mark.slow
def test_a_run_in_which_jobs_are_refused_gives_no_figures(tmp_path: Path) -> None:
    more = ("--alone", "--type", "no type!", "--concurrency", "1")
    done = bench("submit", *SHORT, *more, "--store", "sqlite", "--results", tmp_path)
    assert done.returncode != 0
    assert "were refused" in done.stderr
    assert "422" in done.stderr
    assert not list(tmp_path.iterdir())
