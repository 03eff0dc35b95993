"""Nodes that hang at a point, or that an error ends while a handler clings to them: they can be noticed and got rid of.

A hang is what a bug or a dead disk looks like. A stop ends such a node within ``--grace`` and the 20 s that come after
it; its jobs are done by the next one. Only a write to a SQLite file that hangs in its thread outlives every stop; then
``/readyz`` says so, and ``kill -9`` costs nothing.
"""

from __future__ import annotations

from functools import partial

import pytest
import trio

from tests.faults.crash_plots import SCENES
from tests.faults.crash_stage import GRACE_S, Kind, Stage
from tests.faults.theatre import Theatre
from tests.processes import TickrProcess
from tests.waiting import eventually
from tickr.service import ENDS_WITHIN_S
from tickr.store.sqlite import WRITES_WITHIN_S

AFTER_GRACE_S = 20.0
"""How long what comes after the grace period may take, as docs/operations.md tells those who write service files."""
HANGS_WITHIN_S = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # the first test plays the scenes of all


async def hangs(stage: Stage, point: str) -> None:
    """A node hangs at ``point`` under load, and is stopped."""
    node = await start_hanging(stage, point)
    node.terminate()
    code = await trio.to_thread.run_sync(partial(node.wait, GRACE_S + AFTER_GRACE_S))
    assert code == 0, code
    await stage.start(stage.node())


async def hangs_on_the_disk(stage: Stage, _: str) -> None:
    node = await start_hanging(stage, "store.before_commit")

    async def unready() -> bool:
        return await trio.to_thread.run_sync(node.readiness) == 503

    await eventually(unready, within_s=WRITES_WITHIN_S + 5)
    await stage.kill(node)
    await stage.start(stage.node())


async def fails(stage: Stage, _: str) -> None:
    """An error that nobody foresaw ends the process with exit code 1, and its traceback on stderr."""
    node = await stage.start(stage.node(failpoints="outcomes.before_store=raise@2"))
    assert await error_ends(stage, node) == 1
    assert "tickr.failpoints.FailpointError: outcomes.before_store" in node.log
    await stage.start(stage.node())


async def fails_with_one_that_clings(stage: Stage, _: str) -> None:
    """A handler ignores its cancellation: the process would neither answer nor end, and nobody would start another."""
    node = await stage.start(stage.node(failpoints="claim.after_pop=raise@2"))
    await stage.client.submit("clinging")
    await stage.works(node)
    began = trio.current_time()
    assert await error_ends(stage, node) == 1
    assert trio.current_time() - began < ENDS_WITHIN_S + 10
    assert "FailpointError: claim.after_pop" in node.log.partition("node.failed")[2]
    await stage.start(stage.node())


async def start_hanging(stage: Stage, point: str) -> TickrProcess:
    """Start a node, and return it when it hangs at ``point``."""
    node = await stage.start(stage.node(failpoints=f"{point}=hang@{SCENES[point].passes + 1}"))

    async def is_there() -> bool:
        await stage.client.wave()
        return f"failpoint {point}: hang\n" in node.log

    await eventually(is_there, within_s=HANGS_WITHIN_S)
    return node


async def error_ends(stage: Stage, node: TickrProcess) -> int:
    """Submit until ``node`` fails. Returns its exit code."""
    while node.running and "\nfailpoint " not in node.log:
        await stage.client.wave()
    return await stage.ended(node)


PLAYS = {
    "claim.after_commit": hangs,
    "outcomes.before_store": hangs,
    "outcomes.after_commit": hangs,
    "notes.before_store": hangs,
    "store.before_commit": hangs,
    "write": hangs_on_the_disk,
    "error": fails,
    "error and a clinging handler": fails_with_one_that_clings,
}


async def play(stage: Stage, scene: str) -> None:
    await PLAYS[scene](stage, scene)


@pytest.fixture(scope="module")
def theatre(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Theatre:
    return Theatre(request, tmp_path_factory, play, at_once=len(PLAYS))


@pytest.mark.parametrize(
    ("kind", "scene"),
    [
        ("sqlite+heap", "claim.after_commit"),
        ("sqlite+heap", "outcomes.before_store"),
        ("sqlite+heap", "outcomes.after_commit"),
        ("sqlite+heap", "notes.before_store"),
        ("mysql+redis", "store.before_commit"),
        ("sqlite+heap", "write"),
        ("sqlite+heap", "error"),
        ("sqlite+heap", "error and a clinging handler"),
    ],
)
def test_a_node_that_fails_is_noticed_ends_and_loses_nothing(kind: Kind, scene: str, theatre: Theatre) -> None:
    played = theatre.played(kind, scene)
    assert not played.failed, played.failed
