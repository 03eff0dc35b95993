"""``report`` jobs."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.worker.attempts import claimed, running_pool
from tickr.worker import builtin
from tickr.worker.builtin.report import report
from tickr.worker.endings import GiveUp
from tickr.worker.handlers import Jobs


async def test_report_takes_its_time(autojump_clock: trio.testing.MockClock) -> None:
    began_at = trio.current_time()
    result = await report(title="Q3", body="up and to the right", time=90)
    assert trio.current_time() - began_at == pytest.approx(90)
    assert result == {"title": "Q3", "words": 5, "characters": 19, "time": 90}


@pytest.mark.parametrize("time", [-1, 86_401, float("nan"), float("inf")])
async def test_time_has_bounds(time: float) -> None:
    with pytest.raises(GiveUp):
        await report(time=time)


async def test_as_a_job(autojump_clock: trio.testing.MockClock) -> None:
    jobs = Jobs()
    builtin.register(jobs, http_allow_private=False, smtp=None)
    async with running_pool(jobs) as bench:
        assert (await bench.run(claimed("report"))).kind == "succeeded"
        outcome = await bench.run(claimed("report", {"title": "t", "body": "b", "time": 3600}, timeout_us=1_000_000))
        assert outcome.failure is not None
        assert outcome.failure.kind == "timeout"
        outcome = await bench.run(claimed("report", {"time": "long"}))
        assert outcome.failure is not None
        assert outcome.failure.kind == "bad_payload"


def test_an_applications_own_handler_stays() -> None:
    async def own() -> None: ...

    jobs = Jobs()
    jobs.handler("report")(own)
    builtin.register(jobs, http_allow_private=False, smtp=None)
    assert list(jobs) == ["email", "http", "report"]
    handler = jobs.get("report")
    assert handler is not None
    assert handler.function is own
