"""Encrypted jobs in virtual time: tests see them in the clear, the store never does."""

from __future__ import annotations

import msgspec

import tickr
from tests.sealed import SECRET, written
from tickr.testing import App, running

jobs = tickr.Jobs()
seen: list[object] = []


@jobs.handler("pay", max_attempts=2)
async def pay(job: tickr.Job, card: str) -> dict[str, str]:
    await job.progress(0.5, f"charging {card}")
    await job.log(f"charged {card}")
    seen.append(job.payload)
    if job.attempt == 1:
        raise ValueError(f"refused: {card}")
    return {"paid with": card}


@running(jobs, encryption_keys=written("main"))
async def test_tests_read_what_the_store_has_encrypted(app: App) -> None:
    stored = await app.submit("pay", {"card": SECRET})
    assert SECRET not in str(msgspec.json.encode(stored)), "a handle gives what is stored"
    assert await app.result(stored) == {"paid with": SECRET}
    job = app.job(stored)
    assert job.encrypted == "main"
    assert job.payload == {"card": SECRET} == seen[-1]
    assert next(event.message for event in job.events if event.what in ("progress", "log")) == f"charging {SECRET}"
    assert SECRET in str(job.attempts[0].error)
    assert "refused" in str(job)
    kept = app._life.store
    assert SECRET not in str(kept.find(stored.id))
    assert SECRET not in str(kept._log)
    for _, body in await kept.event_rows(0, 100, 10**6):
        assert SECRET not in body
    opened = await app.handle.get(stored.id, decrypt=True)
    assert opened is not None
    assert SECRET in opened.payload


@running(jobs, encryption_keys=written("main"))
async def test_a_crash_in_the_middle_changes_nothing_of_that(app: App) -> None:
    app.crash_at("run.before_handler")
    job = await app.submit("pay", {"card": SECRET})
    assert await app.result(job) == {"paid with": SECRET}
    assert app.job(job).crashes == 1
    assert SECRET not in str(app._life.store.find(job.id))


@running(jobs)
async def test_without_keys_nothing_is_encrypted(app: App) -> None:
    job = await app.submit("pay", {"card": SECRET})
    assert await app.result(job) == {"paid with": SECRET}
    assert app.job(job).encrypted is None
    assert SECRET in str(app._life.store.find(job.id))


@running(jobs, compress_above=1024)
async def test_tests_read_what_the_store_has_compressed(app: App) -> None:
    large = "large and larger " * 500
    stored = await app.submit("pay", {"card": large})
    assert await app.result(stored) == {"paid with": large}
    kept = app._life.store.find(stored.id)
    assert kept is not None
    assert len(kept.payload) + len(kept.result or "") < 2000
    assert app.job(stored).payload == {"card": large}
    assert app.job(stored).events[-1].result == {"paid with": large}
