"""``tickr.serve`` and its handle inside another program: what is wrong with what they are given is said at once."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio

import tickr
from tickr.config import Config
from tickr.errors import ConfigError, IllegalTransition, JobNotFound, SpecRejected
from tickr.handle import Handle
from tickr.values import Range


@asynccontextmanager
async def running(**settings: Any) -> AsyncIterator[Handle]:
    async with trio.open_nursery() as nursery:
        handle: Handle = await nursery.start(
            lambda task_status: tickr.serve(store="memory:", port=0, task_status=task_status, **settings)
        )
        yield handle
        handle.stop()


async def test_declared_schedules_count_though_nothing_is_handled_here() -> None:
    jobs = tickr.Jobs()
    jobs.schedules.add("look", "http", {"url": "https://example.com"}, every=3600)
    async with running(jobs=jobs, roles="api") as handle, httpx2.AsyncClient(base_url=handle.url) as http:
        assert (await http.get("/schedules/look")).json()["declared"] is True


HELD: list[Any] = []
HELD.append(HELD)

UNWRITABLE: list[tuple[Any, str, str]] = [
    (math.nan, "/payload", "is nan, which JSON does not have"),
    ({"a": [1, {"b/c": -math.inf}]}, "/payload/a/1/b~1c", "is -inf, which JSON does not have"),
    ({"a": None, "b": (None, math.nan)}, "/payload/b/1", "is nan, which JSON does not have"),
    ({"a": object()}, "/payload/a", "cannot be written as JSON"),
    ({"a": ["\ud800"]}, "/payload/a/0", "holds half of a surrogate pair"),
    ({"a": {"\udc00": 1}}, "/payload/a", "has a key that holds half of a surrogate pair"),
    ({object(): 1}, "/payload", "has a key that cannot be written as JSON"),
    ({1: 1, "1": 2}, "/payload/1", "comes twice in one object"),
    ("\0", "/payload", "holds the character NUL"),
]


@pytest.mark.parametrize(("payload", "pointer", "told"), UNWRITABLE, ids=range(len(UNWRITABLE)))
async def test_a_payload_that_is_no_json_is_rejected(payload: Any, pointer: str, told: str) -> None:
    async with running(roles="api") as handle:
        with pytest.raises(SpecRejected) as rejected:
            await handle.submit("a", payload)
        assert rejected.value.pointer == pointer
        assert told in rejected.value.problem


async def test_a_payload_that_holds_itself_and_options_that_are_no_json_are_rejected() -> None:
    async with running(roles="api") as handle:
        with pytest.raises(SpecRejected, match="holds itself"):
            await handle.submit("a", HELD)
        with pytest.raises(SpecRejected) as rejected:
            await handle.submit("a", delay=math.nan)
        assert rejected.value.pointer == "/delay"
        with pytest.raises(SpecRejected, match="did you mean"):
            await handle.submit("a", dely=1)
        job = await handle.submit("a", {"n": None, "null": 1.5}, delay=5)
        assert job.payload == '{"n":null,"null":1.5}'


async def test_a_handle_cancels_and_retries() -> None:
    async with running(roles="api") as handle:
        job = await handle.submit("a", delay=60)
        assert (await handle.cancel(job.id)).state == "cancelled"
        again = await handle.retry(job.id)
        assert (again.state, again.attempt) == ("ready", 0)
        with pytest.raises(IllegalTransition):
            await handle.retry(job.id)
        with pytest.raises(JobNotFound):
            await handle.cancel("01b8dac5-b400-7000-8000-0000000000ff")


async def refused(**settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as error:
        await tickr.serve(**settings)
    return list(error.value.faults)


async def test_all_faulty_settings_are_told_together() -> None:
    assert await refused(store="memory:", port=99_999, workers=0, grace="soon", worker=3) == [
        "port must be a whole number from 0 to 65535, not 99999",
        "workers must be a whole number from 1 to 10000, not 0",
        "grace must be a duration: seconds like 30 or 1.5, or with a unit like 30s, 5m, 2h, 1d, not 'soon'",
        "worker is not a setting of Tickr's; did you mean workers?",
    ]


async def test_settings_go_before_a_configuration_that_is_left_as_it_is() -> None:
    base = Config(host="0.0.0.0", store="memory:", port=0)
    (fault,) = await refused(config=base, token=None)
    assert fault.startswith("host is 0.0.0.0, which others can reach")
    (fault,) = await refused(config=base, port="x")
    assert fault.startswith("port must be")
    async with running(config=base, host="127.0.0.1", workers="7", token=None) as handle:
        assert handle.host == "127.0.0.1"
        (node,) = await handle.store.nodes()
        assert node.slots == 7


async def test_several_processes_are_for_the_command_alone() -> None:
    for settings in ({"processes": 2}, {"config": Config(store="mysql://u@db/t", processes=Range(2, 2))}):
        (fault,) = await refused(**{"store": "mysql://u@db/t", **settings})
        assert fault.startswith("processes is for the command `tickr serve`")


@pytest.mark.parametrize("jobs", [5, "app:jobs", tickr.Jobs, print])
async def test_jobs_must_be_jobs(jobs: Any) -> None:
    with pytest.raises(TypeError, match=r"jobs must be a tickr\.Jobs"):
        await tickr.serve(jobs, store="memory:", port=0)
