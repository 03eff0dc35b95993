"""Thousands of runs with faults, each another one, and not a promise broken; and each can be had again exactly."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.__main__ import main
from tests.simulation.plan import FAMILIES, draw
from tests.simulation.run import command, run

ROOT = Path(__file__).parents[2]
SEEDS, CHUNK = 1_500, 50
EACH_TIME = 500
"""Of them so many are run each time, the others by `make long`."""
BUSY = 7
"""A seed with many faults in it."""


@pytest.mark.parametrize(
    "first",
    [pytest.param(first, marks=pytest.mark.long if first >= EACH_TIME else ()) for first in range(0, SEEDS, CHUNK)],
)
def test_no_promise_is_broken(first: int) -> None:
    for seed in range(first, first + CHUNK):
        wrong = run(seed).wrong
        assert not wrong, "\n".join(["", *wrong, f"repeat it with: {command(seed)}"])


def test_the_seeds_of_every_day_have_every_family_of_faults_and_some_have_none() -> None:
    plans = [draw(seed) for seed in range(SEEDS)]
    for name in FAMILIES:
        assert sum(name in plan.families for plan in plans) > SEEDS / 5
    assert sum(not plan.families for plan in plans) > SEEDS / 30
    assert sum(any(job.type == "poison" for job in plan.jobs) for plan in plans) > SEEDS / 100


# -- a seed is a run ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_gives_the_same_run_again_and_another_one_another(seed: int) -> None:
    first, second, other = (run(one, trace=True).trace for one in (seed, seed, seed + 1))
    assert len(first) > 50
    assert first == second
    assert first != other


def test_to_be_traced_changes_nothing() -> None:
    for seed in range(20):
        seen, unseen = run(seed, trace=True), run(seed)
        assert (seen.virtual_s, seen.calls) == (unseen.virtual_s, unseen.calls)


@pytest.mark.slow
def test_another_process_gives_the_same_run_byte_for_byte() -> None:
    traces = []
    for hash_seed in ("1", "2"):  # sets of strings have another order there
        variables = {**os.environ, "PYTHONHASHSEED": hash_seed}
        words = [sys.executable, *command(BUSY).split()[1:]]
        traces.append(subprocess.run(words, cwd=ROOT, env=variables, check=True, capture_output=True).stdout)
    assert traces[0] == traces[1]
    assert traces[0].count(b"\n") > 100


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_runs_many_seeds_and_says_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulation", "--first", "7", "--seeds", "3"])
    assert main() == 0
    assert capsys.readouterr().err.startswith("3 seeds in ")


def test_the_command_shows_one_run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", command(BUSY).split()[2:])
    assert main() == 0
    told = capsys.readouterr().out
    assert told.startswith(f"Plan(seed={BUSY}, families=(")
    assert "store.insert" in told
    assert "everything heals" in told
