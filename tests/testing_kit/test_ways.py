"""The ways into ``tickr.testing``: over a test, on a trio with a virtual clock, and from anywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

import tickr
from tests.testing_kit.handlers import jobs
from tickr import failpoints, testing
from tickr.errors import ConfigError
from tickr.testing import App, run, running

# -- over a test ------------------------------------------------------------------------------------------------------


@running(jobs)
async def test_a_test_is_given_an_app(app: App) -> None:
    job = await app.submit("double", {"number": 21})
    assert await app.result(job) == 42


@pytest.mark.parametrize("number", [1, 2])
@running(jobs, workers=3)
async def test_the_other_arguments_are_the_test_runners(number: int, app: App, tmp_path: Path) -> None:
    assert tmp_path.is_absolute()
    assert await app.result(await app.submit("double", {"number": number})) == 2 * number


class TestMethods:
    @running(jobs)
    async def test_a_method_is_a_test_as_well(self, app: App) -> None:
        assert isinstance(self, TestMethods)
        assert app.jobs() == []


def test_what_is_no_test_is_refused() -> None:
    with pytest.raises(TypeError, match="goes over an async function"):
        running(jobs)(lambda app: None)  # type: ignore[arg-type,return-value]

    async def test_without() -> None: ...

    with pytest.raises(TypeError, match="must take a parameter `app`"):
        running(jobs)(test_without)


# -- from anywhere else -----------------------------------------------------------------------------------------------


def test_run_returns_what_the_scenario_does() -> None:
    async def scenario(app: App) -> Any:
        return await app.result(await app.submit("double", {"number": 2}))

    assert run(jobs, scenario) == 4


async def test_with_the_clock_of_pytest_trio(autojump_clock: MockClock) -> None:
    async with running(jobs) as app:
        assert await app.result(await app.submit("rest")) == "rested at attempt 1"


async def test_any_virtual_clock_will_do_and_is_left_as_it_was(mock_clock: MockClock) -> None:
    mock_clock.rate = 0.25
    async with running(jobs) as app:
        await app.advance(60)
    assert (mock_clock.rate, mock_clock.autojump_threshold) == (0.25, float("inf"))


@pytest.fixture
async def shop(autojump_clock: MockClock) -> AsyncIterator[App]:
    async with running(jobs) as app:
        yield app


async def test_an_app_may_be_a_fixture(shop: App, autojump_clock: MockClock) -> None:
    assert await shop.result(await shop.submit("rest", {"seconds": 86_400}, timeout=90_000)) == "rested at attempt 1"


async def test_a_real_clock_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        RuntimeError, match=r"Put @running\(jobs\) over the test; with pytest-trio, name autojump_clock"
    ):
        async with running(jobs):
            raise AssertionError


PLAIN = """
import tickr
from tickr.testing import running

jobs = tickr.Jobs()

@jobs.handler("fail", max_attempts=2)
async def fail():
    raise ValueError("no")

@running(jobs)
async def test_that_passes(app):
    await app.submit("fail")
    await app.drained()
    assert [run.outcome for run in app.runs("fail")] == ["retrying", "failed"]

@running(jobs)
async def test_that_fails(app):
    job = await app.submit("fail")
    await app.drained()
    assert app.job(job).state == "succeeded"
"""


def test_plain_pytest_needs_no_plugin_and_a_failure_tells_what_happened(tmp_path: Path) -> None:
    (tmp_path / "test_plain.py").write_text(PLAIN)
    plugins = ["-p", "no:trio", "-p", "no:anyio", "-p", "no:cacheprovider"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, tmp_path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTEST_ADDOPTS"},
    )
    assert "1 failed, 1 passed" in ran.stdout, ran.stdout
    assert "E         fail …000001 failed: created 00:00:00, started 00:00:00, retrying 00:00:00 in 10 s " in ran.stdout
    assert "(ValueError: no), started 00:00:10, failed 00:00:10 (ValueError: no)" in ran.stdout
    assert "ExceptionGroup" not in ran.stdout


def test_tickr_does_not_load_it_and_it_needs_no_pytest() -> None:
    program = """
import sys
import tickr
assert "tickr.testing" not in sys.modules
sys.modules |= dict.fromkeys(["pytest", "_pytest", "hypothesis"])  # as if they were not installed
import tickr.testing
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


def test_every_public_name_is_there() -> None:
    assert [name for name in testing.__all__ if not hasattr(testing, name)] == []


# -- what goes wrong --------------------------------------------------------------------------------------------------


def test_an_error_goes_on_as_it_is_and_tells_what_happened() -> None:
    async def scenario(app: App) -> None:
        for number in range(12):
            await app.submit("double", {"number": number}, delay=1.5)
        await app.advance(2)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        run(jobs, scenario)
    (note,) = raised.value.__notes__
    assert note.splitlines()[:2] == ["What Tickr did until 00:00:02:", "  … 2 jobs more …"]
    assert note.splitlines()[-1] == (
        "  double …00000c succeeded: created 00:00:00 for 00:00:01.5, started 00:00:01.5, succeeded 00:00:01.5"
    )


async def test_a_cancelled_test_is_cancelled(autojump_clock: MockClock) -> None:
    with trio.move_on_after(90) as scope:
        async with running(jobs) as app:
            await app.submit("rest", {"seconds": 100})
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 90


def test_what_ends_the_node_ends_the_test() -> None:
    async def fall_apart() -> None:
        raise LookupError("nobody foresaw this")

    async def scenario(app: App) -> None:
        await app.submit("double", {"number": 1})
        await app.drained()

    with failpoints.armed("outcomes.before_store", fall_apart), pytest.raises(LookupError, match="nobody foresaw"):
        run(jobs, scenario)


async def test_one_at_a_time(autojump_clock: MockClock) -> None:
    async with running(jobs):
        with pytest.raises(RuntimeError, match="one Tickr at a time"):
            async with running(jobs):
                raise AssertionError
    again = running(jobs)
    async with again as app:
        assert app.jobs() == []
    with pytest.raises(RuntimeError, match="entered before"):
        async with again:
            raise AssertionError


def test_arguments_that_make_no_sense() -> None:
    with pytest.raises(TypeError, match=r"jobs must be a tickr\.Jobs"):
        running(tickr.Jobs)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="start has no time zone"):
        running(jobs, start=datetime(2030, 1, 1))
    with pytest.raises(ConfigError, match=r"store means nothing in tickr\.testing; it takes workers, "):
        running(jobs, store="sqlite:///x.db")
    with pytest.raises(ConfigError, match="workers must be a whole number") as refused:
        running(jobs, workers=0, grace="soon", worker=1)
    assert len(refused.value.faults) == 3


# -- what it leaves behind --------------------------------------------------------------------------------------------


@pytest.fixture
def no_log_set_up() -> Iterator[None]:
    before, was_configured = structlog.get_config(), structlog.is_configured()
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    if was_configured:
        structlog.configure(**before)


@pytest.mark.usefixtures("no_log_set_up")
def test_the_log_is_quiet_unless_the_program_has_one(capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario(app: App) -> None:
        await app.submit("fail", max_attempts=2)
        await app.drained()

    assert not structlog.is_configured()
    run(jobs, scenario)
    said = capsys.readouterr().out
    assert "job.failed" in said
    assert "job.retrying" not in said
    assert not structlog.is_configured()

    seen: list[str] = []

    def keep(_logger: object, _level: str, event: dict[str, Any]) -> str:
        seen.append(event["event"])
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    run(jobs, scenario)
    assert {"node.serving", "job.created", "job.retrying"} <= set(seen)


def test_trio_and_the_failpoints_are_as_they_were() -> None:
    runner: Any = trio._core._run
    before = runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r

    async def scenario(app: App) -> None:
        app.crash_at("claim.after_commit")
        await app.submit("double", {"number": 1}, delay=1)
        await app.drained()

    run(jobs, scenario)
    assert (runner._ALLOW_DETERMINISTIC_SCHEDULING, runner._r) == before
    assert not failpoints._armed
