"""Tests that would wait for ever: each ends, and says what was left and what it waited for."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta

import pytest
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr.testing import App, Unfinished, life, run, running, virtual_time, ways


def told(raised: pytest.ExceptionInfo[Unfinished]) -> list[str]:
    return str(raised.value).splitlines()


@running(jobs)
async def test_a_handler_that_hangs_is_named_with_the_place_where_it_does(app: App) -> None:
    job = await app.submit("rest", {"seconds": 10**7}, timeout=30 * 86_400)
    later = await app.submit("double", {"number": 1}, delay=10**7)
    with pytest.raises(Unfinished) as raised:
        await app.idle(within=timedelta(days=2))
    assert told(raised)[:5] == [
        "Not idle within 2d 00:00:00 of virtual time.",
        f"rest {job.id} has been running since 00:00:00, attempt 1 of 3; it has time until 30d 00:00:00",
        "  created 00:00:00",
        "  started 00:00:00",
        "  its handler is at",
    ]
    assert told(raised)[5].startswith(f'    File "{__file__.replace("test_hangs", "handlers")}", line ')
    assert "await trio.sleep(seconds)" in told(raised)[6]
    assert later.id not in str(raised.value), "who waits for idle does not wait for that one"
    with pytest.raises(Unfinished, match=f"double {later.id} is scheduled, and due at 115d 17:46:40"):
        await app.drained(within=1)


@running(jobs)
async def test_a_job_that_retries_for_ever_is_named_with_what_happens_to_it(app: App) -> None:
    job = await app.submit("fail", max_attempts=100, backoff={"kind": "constant", "base": 86_400, "cap": 86_400})
    with pytest.raises(Unfinished) as raised:
        await app.drained()
    assert told(raised)[:6] == [
        "Not drained within 31d 00:00:00 of virtual time.",
        f"fail {job.id} is retrying, and due at 32d 00:00:00",
        "  created 00:00:00",
        "  started 00:00:00",
        "  retrying 00:00:00 in 86400 s (ValueError: no)",
        "  … 53 more …",
    ]
    assert told(raised)[-1] == "  retrying 31d 00:00:00 in 86400 s (ValueError: no)"


@running(jobs)
async def test_a_type_that_nobody_handles_is_named(app: App) -> None:
    job = await app.submit("dubble", {"number": 1})
    with pytest.raises(Unfinished) as raised:
        await app.idle(within=60)
    assert told(raised)[1] == f"dubble {job.id} is due, and no handler here takes its type; did you mean double?"
    with pytest.raises(Unfinished, match="no handler here takes its type"):
        await app.result(job, within=60)


@running(jobs)
async def test_of_many_jobs_some_are_told(app: App) -> None:
    for _ in range(25):
        await app.submit("rest", delay=86_400 * 40)
    with pytest.raises(Unfinished) as raised:
        await app.drained()
    assert len([line for line in told(raised) if line.startswith("rest ")]) == 10
    assert told(raised)[-1] == "and 15 more"


def test_a_job_that_begets_another_at_once_brings_time_to_a_standstill() -> None:
    own = tickr.Jobs()
    apps: list[App] = []

    @own.handler("beget")
    async def beget() -> None:
        await apps[0].submit("beget")

    async def scenario(app: App) -> None:
        apps.append(app)
        await app.submit("beget")
        await app.idle()

    with pytest.raises(Unfinished) as raised:
        run(own, scenario, real_within=1)
    assert told(raised)[0].startswith("The test has come to a standstill: for 1 s of real time, virtual time did not")
    assert "in beget" in str(raised.value)


@running(jobs, real_within=1.5 * virtual_time.TICK_S)
async def test_a_test_that_submits_for_long_does_not_hang(app: App) -> None:
    """All of it is one instant of virtual time, and several ticks of real time."""
    until = time.perf_counter() + 4 * virtual_time.TICK_S
    while time.perf_counter() < until:
        await app.submit("double", {"number": 1})
    await app.drained()


async def test_a_handler_of_the_dead_that_does_not_end_is_told_of(autojump_clock: MockClock) -> None:
    over = trio.Event()
    own = tickr.Jobs()

    @own.handler("cling")
    async def cling(job: tickr.Job) -> None:
        with trio.CancelScope(shield=job.fence == 1):
            await over.wait()

    async with running(own) as app:
        app.crash_at("run.before_handler", 2)
        await app.submit("cling")
        await app.submit("cling", delay=1)
        await app.advance(0.5)
        with pytest.raises(Unfinished, match="No node serves: a handler of the one before has not ended yet"):
            await app.idle(within=60)
        over.set()
        await app.drained()


def test_a_handler_that_spins_is_named() -> None:
    own = tickr.Jobs()

    @own.handler("spin")
    async def spin() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async def scenario(app: App) -> None:
        await app.submit("spin")
        await trio.Event().wait()

    with pytest.raises(Unfinished, match="in spin"):
        run(own, scenario, real_within=1)


async def test_a_handler_that_blocks_the_loop_is_interrupted(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(ways, "BLOCKED_S", 0.5)
    own = tickr.Jobs()

    @own.handler("block", max_attempts=1)
    async def block() -> None:
        while True:
            pass

    async with running(own) as app:
        job = await app.submit("block")
        await app.idle()
        assert app.job(job).error.kind == "blocked"


def test_a_test_that_waits_for_what_never_comes_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(app: App) -> None:
        await app.submit("double", {"number": 1}, delay=400 * 86_400)
        await trio.sleep_forever()

    monkeypatch.setattr(life, "LONGEST_S", 366 * 86_400)
    with pytest.raises(Unfinished, match=r"double .* is scheduled, and due at 400d"):
        run(jobs, scenario)


DEAF = """
import sys, trio, tickr
from tickr.testing import run, virtual_time

virtual_time.UNWIND_S = 1.0
jobs = tickr.Jobs()

@jobs.handler("deaf", timeout=10, max_attempts=1)
async def deaf():
    while True:
        try:
            await trio.sleep_forever()
        except BaseException:
            pass

@jobs.handler("sheltered", timeout=10, max_attempts=1)
async def sheltered():
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()

async def scenario(app):
    app.crash_at("stop.draining")
    job = await app.submit(sys.argv[1])
    await app.advance(0 if sys.argv[1] == "deaf" else 60)
    raise LookupError("this was to be told")

try:
    run(jobs, scenario)
except AssertionError as error:
    print(type(error).__name__, type(error.__cause__).__name__)
    print(error)

async def another(app):
    await app.submit("report", {"title": "x"})
    await app.drained()
    print("and", app.jobs()[0].state)

run(jobs, another)
"""


@pytest.mark.parametrize("type", ["deaf", "sheltered"])
def test_a_handler_that_cannot_be_ended_does_not_keep_the_test_from_ending(type: str) -> None:
    """In a process of its own: what is left of trio's tasks stays there."""
    ran = subprocess.run([sys.executable, "-c", DEAF, type], capture_output=True, text=True, timeout=60)
    lines = ran.stdout.splitlines()
    said = lines.index("Unfinished LookupError")
    assert "a handler that it has started ignores that it is cancelled" in lines[said + 1]
    assert any(f"in {type}" in line for line in lines)
    assert lines[-1] == "and succeeded", "the next test is none the wiser"
