"""Batches in earnest: the node that works on some is killed, and another works on them, each once recorded."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.features.batch_jobs import VARIABLE
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.client import Client

pytestmark = pytest.mark.slow

COUNT = 60


async def test_batches_outlive_the_node_that_works_on_them(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    marks = [tmp_path / "doomed", tmp_path / "other"]
    given: dict[str, Any] = {
        "store": request.getfixturevalue("mysql_url"),
        "index": request.getfixturevalue("redis_url"),
        "app": "tests.features.batch_jobs:jobs",
        "arguments": ("--lease", "3s"),
        "workers": 20,
    }

    def calls(what: str, path: Path) -> list[list[int]]:
        lines = (line.partition(" ") for line in path.read_text().splitlines())
        return [json.loads(numbers) for word, _, numbers in lines if word == what]

    with ExitStack() as started:
        for path in marks:
            path.touch()
        doomed, other = (
            started.enter_context(TickrProcess(**given, variables={VARIABLE: str(path)})) for path in marks
        )
        with Client(doomed.url) as client:
            ids = [client.submit("index", {"n": n, "seconds": 0.5}) for n in range(COUNT)]

        async def in_the_middle() -> bool:
            return len(calls("begun", marks[0])) > len(calls("done", marks[0]))

        await eventually(in_the_middle)
        doomed.kill()
        with Client(other.url) as client:
            found = [client.wait(id_, 30) for id_ in ids]
    assert [(job.state, job.result, job.attempt) for job in found] == [("succeeded", n, 1) for n in range(COUNT)]
    begun = Counter(n for path in marks for call in calls("begun", path) for n in call)
    assert set(begun) == set(range(COUNT))
    again = {job.result for job in found if job.crashes}
    assert again
    assert {n for n, times in begun.items() if times > 1} <= again, "none was begun twice but what the dead node had"
    assert max(len(call) for path in marks for call in calls("begun", path)) > 1
