"""Sequences with real nodes: one after the other and in order on all of them, whoever is killed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import trio

from tests.faults.fleet import Place, fleet
from tests.faults.test_limits import LEASE_S, most_at_once, runs_a_job
from tests.waiting import eventually

pytestmark = pytest.mark.slow


async def test_jobs_run_one_after_the_other_on_two_nodes_while_one_is_killed(
    tmp_path: Path, mysql_url: str, redis_url: str
) -> None:
    async with fleet(tmp_path, Place(mysql_url, redis_url), nodes=2, lease_s=LEASE_S) as on:
        groups: dict[str, str | None] = {}
        for n in range(24):
            options = {"sequence": "ab"[n % 2], "queue": f"q{n % 3}"}
            groups[await on.submit("slow", options=options, seconds=0.1)] = options["sequence"]
        victim = on.nodes[1]
        await eventually(partial(runs_a_job, on, victim.pid), within_s=30)
        on.kill(victim)
        await on.restart(victim)
        await on.all_final(within_s=60)
        _, events = await trio.to_thread.run_sync(on.stored)
        assert most_at_once(events, groups) == {"a": 1, "b": 1}
        for name in ("a", "b"):
            submitted = [id_ for id_, sequence in groups.items() if sequence == name]
            started = [event.job for event in events if event.what == "started" and groups[event.job] == name]
            assert [*dict.fromkeys(started)] == submitted  # a second start of one comes at once after its first
        await on.verdict()
