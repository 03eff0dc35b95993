"""The simulation finds bugs: each mutation of the product makes some seed of the first few hundred fail."""

from __future__ import annotations

import sys

import pytest

from tests.simulation.__main__ import main
from tests.simulation.mutations import MUTATIONS
from tests.simulation.plan import draw
from tests.simulation.run import command, run

SEEDS = 1_500
"""Those that run every day (``test_seeds.py``): one of them must fail."""


@pytest.mark.long
@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation = MUTATIONS[name]
    seeds = [seed for seed in range(SEEDS) if mutation.may_show(draw(seed))]
    mutation.change(monkeypatch)
    assert any(run(seed).wrong for seed in seeds)


def test_a_seed_that_fails_says_what_repeats_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    MUTATIONS["nobody_reaps"].change(monkeypatch)
    monkeypatch.setattr(sys, "argv", ["simulation", "--seeds", "100"])
    assert main() == 1
    *_, wrong, repeat = capsys.readouterr().out.splitlines()
    assert wrong.startswith("WRONG: ")
    words = repeat.partition("repeat it with: ")[2]
    assert words.startswith("python -m tests.simulation --seed ")
    monkeypatch.setattr(sys, "argv", words.split()[2:])
    assert main() == 1
    assert command(int(words.split()[4])) == words
