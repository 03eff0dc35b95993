"""Row 14, a profile of a job: where the time of an attempt went, for those that ask for it, bounded and harmless."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

import tickr
from tests.features.conftest import Client, node
from tickr import profiling
from tickr.profiling import INTERVAL_S, Place, Samples, document, heaviest

LONG_S = 0.3
"""So long a handler works, in seconds; most of it is seen on the slowest machine."""


def burn_here(seconds: float) -> None:
    until = time.thread_time() + seconds  # of its own work: on a busy machine the clock goes on without it
    while time.thread_time() < until:
        sum(range(100))


async def wait_here(seconds: float) -> None:
    await trio.sleep(seconds)


def handlers(directory: Path, **options: Any) -> tickr.Jobs:
    jobs = tickr.Jobs()
    jobs.middleware(profiling.middleware(directory, **options))

    @jobs.handler("waits")
    async def waits(job: tickr.Job) -> int:
        await wait_here(LONG_S)
        return threading.active_count()

    @jobs.handler("burns")
    async def burns() -> None:
        for _ in range(3):
            burn_here(LONG_S / 3)
            await trio.lowlevel.checkpoint()

    @jobs.handler("threaded", max_attempts=1)
    def threaded() -> None:
        burn_here(LONG_S)
        raise ValueError("it fails in the end")

    return jobs


async def log_of(client: Client, job: dict[str, Any]) -> list[str]:
    return [line["message"] for line in (await client.http.get(f"/jobs/{job['id']}/log")).json()["items"]]


def files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def profile_of(directory: Path, job: dict[str, Any]) -> tuple[set[str], float]:
    """Return the names of the functions in the profile of a first attempt, and how many seconds were seen."""
    found = msgspec.json.decode((directory / f"{job['id']}.1.speedscope.json").read_bytes())
    (profile,) = found["profiles"]
    assert len(profile["samples"]) == len(profile["weights"])
    assert all(number < len(found["shared"]["frames"]) for stack in profile["samples"] for number in stack)
    return {frame["name"] for frame in found["shared"]["frames"]}, profile["endValue"]


@pytest.mark.slow
@pytest.mark.parametrize(("type", "leaf"), [("waits", "wait_here"), ("burns", "burn_here"), ("threaded", "burn_here")])
async def test_where_the_time_went_is_in_the_log_and_in_a_file(tmp_path: Path, type: str, leaf: str) -> None:
    async with node(handlers(tmp_path), store="memory:") as client:
        job = await client.post(type=type, labels={"profile": "1"})
        done = await client.until_final(job["id"])
        assert done["state"] == ("failed" if type == "threaded" else "succeeded")
        *top, last = await log_of(client, job)
    names, seconds = profile_of(tmp_path, job)
    assert leaf in names
    assert not [name for name in names if "call_within" in name], "nothing of Tickr's own worker"
    assert 0.1 * LONG_S < seconds < 3 * LONG_S
    assert any(f"{type}" in name for name in names), "from the handler inwards"
    assert 0 < len(top) <= 10
    assert any(leaf in line and "%" in line for line in top)
    assert last.endswith(f"{job['id']}.1.speedscope.json")


async def test_who_does_not_ask_is_not_profiled(tmp_path: Path) -> None:
    async with node(handlers(tmp_path, share=0.5, chance=lambda: 0.5), store="memory:") as client:
        plain = await client.post(type="burns")
        refused = await client.post(type="burns", labels={"profile": "0"})
        for job in (plain, refused):
            assert (await client.until_final(job["id"]))["state"] == "succeeded"
            assert await log_of(client, job) == []
    assert files(tmp_path) == []


@pytest.mark.slow
async def test_a_share_of_all_is_profiled_but_not_too_many_at_once(tmp_path: Path) -> None:
    jobs = handlers(tmp_path, share=0.5, chance=lambda: 0.49)
    async with node(jobs, store="memory:") as client:
        others = threading.active_count()  # trio keeps those of earlier tests for a while
        many = [await client.post(type="waits") for _ in range(3 * profiling.MAX_AT_ONCE)]
        threads = [(await client.until_final(job["id"]))["result"] for job in many]
        logs = [await log_of(client, job) for job in many]
    assert max(threads) - others < 2 * profiling.MAX_AT_ONCE
    assert ["not profiled: 4 others are"] in logs
    assert profiling.MAX_AT_ONCE <= len(files(tmp_path)) < len(many)


async def test_a_profile_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    async with node(handlers(tmp_path / "file"), store="memory:") as client:
        job = await client.post(type="burns", labels={"profile": "1"})
        assert (await client.until_final(job["id"]))["state"] == "succeeded"


def test_a_share_is_from_0_to_1() -> None:
    with pytest.raises(ValueError, match="share is a number from 0 to 1, not 2"):
        profiling.middleware("profiles", share=2)


def test_the_functions_with_most_time_of_their_own_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    handler, helper, other = (
        Place(name, "shop.py", line) for line, name in enumerate(("handler", "helper", "other"), 1)
    )
    samples = Samples()
    for stack, count in (((handler, helper), 7), ((handler,), 1), ((handler, other, helper), 2)):
        for _ in range(count):
            samples.add(stack)
    assert heaviest(samples, 2) == [" 90%  90%  helper  shop.py:2", " 10% 100%  handler  shop.py:1"]
    monkeypatch.setattr(profiling, "MAX_STACKS", 3)
    samples.add((other,))
    assert (samples.left_out, samples.stacks.total()) == (1, 10)
    found = msgspec.json.decode(document("a job", samples))
    assert [frame["name"] for frame in found["shared"]["frames"]] == ["handler", "helper", "other"]
    assert found["profiles"][0]["samples"] == [[0, 1], [0], [0, 2, 1]]
    assert found["profiles"][0]["weights"] == [7 * INTERVAL_S, INTERVAL_S, 2 * INTERVAL_S]
