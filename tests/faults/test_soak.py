"""A while of the soak each time: three nodes under load, everything broken again and again, nothing lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults.soak import report
from tests.faults.soak.run import Plan, soak

SECONDS = 60.0
"""Of faults; starting, draining and judging come on top."""


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(480)
async def test_everything_for_a_while_loses_nothing(tmp_path: Path) -> None:
    plan = Plan(seconds=SECONDS, seed=random.randrange(10**6), rate=30)
    result = await soak(plan, tmp_path, lambda line: None)
    report.show(result)  # shown by pytest if this fails, with the seed
    assert not {title: lines for title, lines in report.faults(result).items() if lines}
    # The trial was one.
    assert result.verdict.table.kills >= 15
    assert result.verdict.table.backend_faults >= 5
    assert result.verdict.table.acknowledged >= 500
