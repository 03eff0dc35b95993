"""``GET /jobs/<id>?wait=``: answered when the job has ended, or when its time is over, and nothing is missed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
import trio.testing

from tests.api.site import LONG_S, Site, open_site
from tests.api.test_jobs import UNKNOWN, Clock, create, start
from tests.ports import Observed
from tests.waiting import eventually, happens
from tickr.api import connection, listener
from tickr.errors import StoreUnavailable
from tickr.jobs import Failure, Job
from tickr.reports import Note, Outcome
from tickr.store.memory import MemoryStore

OOPS = Failure("exception", "boom")


class Asked:
    """A wait that is on its way. ``answer`` is there once ``answered`` is set."""

    def __init__(self) -> None:
        self.answer: httpx2.Response
        self.answered = trio.Event()

    async def result(self) -> httpx2.Response:
        with trio.fail_after(LONG_S):
            await self.answered.wait()
        return self.answer


@asynccontextmanager
async def waiting(site: Site, job_id: str, wait: float = LONG_S, **headers: str) -> AsyncIterator[Asked]:
    """Ask for a job with ``wait``; in the block the server waits."""
    asked = Asked()

    async def ask() -> None:
        asked.answer = await site.http.get(f"/jobs/{job_id}?wait={wait}", headers=headers)
        asked.answered.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await eventually(lambda: waits(site, 1))
        yield asked
        nursery.cancel_scope.cancel()


async def waits(site: Site, count: int) -> bool:
    """Whether so many watches are open and nothing is being read for them."""
    await trio.testing.wait_all_tasks_blocked(0.01)
    return len(site.app.waits._watches) == count


async def finish(site: Site, job: Job, kind: Any = "succeeded") -> None:
    await site.store.finish([Outcome(job=job, kind=kind, failure=None if kind == "succeeded" else OOPS)])


# -- until it has ended -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "state"), [("succeeded",) * 2, ("failed",) * 2, ("cancelled",) * 2])
async def test_it_is_answered_when_the_job_ends(site: Site, kind: str, state: str) -> None:
    job_id = await create(site)
    (job,) = await start(site, job_id)
    async with waiting(site, job_id) as asked:
        await finish(site, job, kind)
        answer = await asked.result()
    assert (answer.status_code, answer.json()["state"], answer.headers["etag"]) == (200, state, '"v3"')
    assert answer.json() == (await site.http.get(f"/jobs/{job_id}")).json()


async def test_a_job_that_has_ended_is_answered_at_once_and_wakes_no_reader() -> None:
    store = Observed(MemoryStore())
    async with open_site(store=store) as site:  # type: ignore[arg-type]
        job_id = await create(site)
        await site.http.post(f"/jobs/{job_id}/cancel")
        store.calls.clear()
        answer = await site.http.get(f"/jobs/{job_id}?wait=60")
        assert answer.json()["state"] == "cancelled"
        assert store.calls == {"get_many": 1}


async def test_a_change_that_is_no_end_is_waited_past(site: Site) -> None:
    job_id = await create(site)
    async with waiting(site, job_id) as asked:
        (job,) = await start(site, job_id)
        await finish(site, job, "retried")
        await site.store.note([Note(job=job, kind="log", number=1, at=1, message="late")])
        await eventually(lambda: waits(site, 1))
        assert not asked.answered.is_set()
        (job,) = await start(site, job_id)
        await finish(site, job)
        assert (await asked.result()).json()["attempt"] == 2


async def test_what_a_running_job_says_costs_no_read(site: Site) -> None:
    job_id = await create(site)
    (job,) = await start(site, job_id)
    async with waiting(site, job_id):
        store: Any = Observed(site.store)
        site.app.waits._store = store
        await site.store.note([Note(job=job, kind="progress", number=n, at=1, fraction=0.5) for n in range(1, 9)])
        await eventually(lambda: waits(site, 1))
        assert store.calls["get_many"] == 0


class Racing(MemoryStore):
    """After the ``n``-th look at a job, and before the answer is out, ``then`` happens."""

    n = 0
    then: Callable[[], Awaitable[object]]

    async def get_many(self, ids: Collection[str]) -> list[Job]:
        found = await super().get_many(ids)
        self.n -= 1
        if self.n == 0:
            await self.then()
        return found


@pytest.mark.parametrize("n", [1, 2])
async def test_an_end_in_the_very_moment_of_a_look_is_not_missed(n: int) -> None:
    store = Racing()
    async with open_site(store=store) as site:
        job_id = await create(site)
        (job,) = await start(site, job_id)
        store.n, store.then = n, lambda: finish(site, job)
        with trio.fail_after(LONG_S / 2):
            answer = await site.http.get(f"/jobs/{job_id}?wait={LONG_S}")
        assert answer.json()["state"] == "succeeded"


async def test_one_that_is_driven_again_before_it_was_seen_is_waited_for_still() -> None:
    store = Racing()
    async with open_site(store=store) as site:
        job_id = await create(site)
        async with waiting(site, job_id) as asked:
            (job,) = await start(site, job_id)
            await finish(site, job)
            await store.redrive(job_id)
            await eventually(lambda: waits(site, 1))
            assert not asked.answered.is_set()
            await site.http.post(f"/jobs/{job_id}/cancel")
            assert (await asked.result()).json()["version"] == 5


# -- until the time is over -------------------------------------------------------------------------------------------


async def test_when_its_time_is_over_it_is_answered_with_the_job_as_it_is_then(site: Site) -> None:
    job_id = await create(site)
    async with waiting(site, job_id, 0.75) as asked:
        began = trio.current_time()
        await start(site, job_id)
        answer = await asked.result()
    assert (answer.status_code, answer.json()["state"]) == (200, "running")
    assert 0.4 < trio.current_time() - began < 5


@pytest.mark.parametrize("wait", ["0", "0.0", "00", "0.000001", "0.00012345678901234", "5e-324", "1.5e-07"])
async def test_no_time_is_no_wait(site: Site, wait: str) -> None:
    job_id = await create(site)
    with trio.fail_after(LONG_S / 2):
        assert (await site.http.get(f"/jobs/{job_id}?wait={wait}")).json()["state"] == "ready"


BAD = ["", "-1", "1e1", "abc", "60.1", "61", "100", "1.", ".5", "1e-", "%D9%A1", "inf", "nan", "1&wait=1", "1%20"]


@pytest.mark.parametrize("wait", BAD)
async def test_a_wait_is_a_number_of_seconds(site: Site, wait: str) -> None:
    job_id = await create(site)
    answer = await site.http.get(f"/jobs/{job_id}?wait={wait}")
    assert answer.status_code == 400
    detail = "must be a number of seconds from 0 to 60, once"
    assert answer.json()["errors"] == [{"pointer": "/wait", "detail": detail}]


async def test_there_is_nothing_to_wait_for_without_the_job_or_the_right(site: Site) -> None:
    assert (await site.http.get(f"/jobs/{UNKNOWN}?wait=60")).status_code == 404
    assert (await site.http.get("/jobs/17?wait=60")).json()["code"] == "invalid_id"
    answer = await site.http.get(f"/jobs/{UNKNOWN}?wait=60&until=final")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/until"]
    async with open_site(token="secret") as guarded:
        assert (await guarded.http.get(f"/jobs/{UNKNOWN}?wait=60")).status_code == 401


# -- until it is another ----------------------------------------------------------------------------------------------


async def test_with_a_tag_it_is_answered_at_the_first_change(site: Site) -> None:
    job_id = await create(site)
    assert (await site.http.get(f"/jobs/{job_id}?wait=60", headers={"if-none-match": '"v9"'})).status_code == 200
    async with waiting(site, job_id, **{"if-none-match": '"v1"'}) as asked:
        await start(site, job_id)
        answer = await asked.result()
    assert (answer.status_code, answer.json()["state"], answer.headers["etag"]) == (200, "running", '"v2"')


async def test_with_a_tag_that_still_fits_it_is_304_when_the_time_is_over(site: Site) -> None:
    job_id = await create(site)
    await site.http.post(f"/jobs/{job_id}/cancel")  # even then: it may be started over
    answer = await site.http.get(f"/jobs/{job_id}?wait=0.2", headers={"if-none-match": '"v2"'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", '"v2"')
    async with waiting(site, job_id, **{"if-none-match": '"v2"'}) as asked:
        await site.http.post(f"/jobs/{job_id}/retry")
        assert (await asked.result()).json()["state"] == "ready"


async def test_with_a_tag_becoming_due_is_a_change(site: Site) -> None:
    job_id = await create(site, delay=0.5)
    with trio.fail_after(LONG_S / 2):
        answer = await site.http.get(f"/jobs/{job_id}?wait={LONG_S}", headers={"if-none-match": '"v1"'})
    assert (answer.status_code, answer.json()["state"], answer.headers["etag"]) == (200, "ready", '"v1.due"')


# -- who else is concerned --------------------------------------------------------------------------------------------


async def test_a_stop_answers_at_once_with_the_job_as_it_is(site: Site) -> None:
    job_id = await create(site)
    async with waiting(site, job_id) as asked:
        await start(site, job_id)
        await eventually(lambda: waits(site, 1))
        await site.stop(within_s=LONG_S / 2)
        answer = await asked.result()
    assert (answer.status_code, answer.json()["state"]) == (200, "running")


async def test_a_client_that_goes_takes_its_wait_along(site: Site) -> None:
    job_id = await create(site)
    async with await site.connect() as stream:
        await stream.send_all(b"GET /jobs/%b?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n" % job_id.encode())
        await eventually(lambda: waits(site, 1))
        assert (site.app.audience.count, site.app.in_flight) == (1, 0)
    await eventually(lambda: waits(site, 0))
    assert (site.app.audience.count, site.app.in_flight) == (0, 0)
    assert site.context.feed._tail._groups == {}


async def test_waits_are_no_requests_at_work(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_IN_FLIGHT", 2)
    job_id = await create(site)
    (job,) = await start(site, job_id)
    states: list[str] = []

    async def ask() -> None:
        states.append((await site.http.get(f"/jobs/{job_id}?wait={LONG_S}")).json()["state"])

    async with trio.open_nursery() as nursery:
        for n in range(5):
            nursery.start_soon(ask)
            await eventually(lambda n=n: waits(site, n + 1))  # type: ignore[misc]
        assert site.app.in_flight == 0
        assert (await site.http.get("/queues")).status_code == 200
        await finish(site, job)
    assert states == ["succeeded"] * 5
    await eventually(happens(lambda: site.app.in_flight == 0))


async def test_there_are_places_for_so_many_and_whoever_comes_then_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "MAX_LISTENERS", 1)
    job_id = await create(site)
    async with waiting(site, job_id):
        answer = await site.http.get(f"/jobs/{job_id}?wait=60")
        assert (answer.status_code, answer.json()["code"]) == (503, "too_many_listeners")
        assert answer.headers["retry-after"] == "5"
        assert (await site.http.get(f"/jobs/{job_id}")).status_code == 200


# -- outages ----------------------------------------------------------------------------------------------------------


async def test_an_outage_of_the_store_in_between_is_outlasted() -> None:
    store = Observed(MemoryStore())
    async with open_site(store=store) as site:  # type: ignore[arg-type]
        job_id = await create(site)
        (job,) = await start(site, job_id)
        async with waiting(site, job_id) as asked:
            store.failing["*"] = StoreUnavailable("away")
            await store.port.finish([Outcome(job=job, kind="succeeded")])

            async def tried() -> bool:
                await trio.lowlevel.checkpoint()
                return store.calls["feed_state"] >= 3

            await eventually(tried)
            assert not asked.answered.is_set()
            store.failing = {"get_many": StoreUnavailable("not quite back")}

            async def looked() -> bool:
                await trio.lowlevel.checkpoint()
                return store.calls["get_many"] > 4

            await eventually(looked)
            store.failing.clear()
            assert (await asked.result()).json()["state"] == "succeeded"


async def test_a_store_that_is_away_at_the_beginning_or_the_end_is_503() -> None:
    store = Observed(MemoryStore())
    async with open_site(store=store) as site:  # type: ignore[arg-type]
        job_id = await create(site)
        async with waiting(site, job_id, 1) as asked:
            store.failing["*"] = StoreUnavailable("away")
            answer = await asked.result()
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        answer = await site.http.get(f"/jobs/{job_id}?wait=60")
        assert answer.status_code == 503


async def test_a_ring_that_is_lost_costs_a_second(site: Site) -> None:
    site.store.on_events(lambda: None)
    job_id = await create(site)
    (job,) = await start(site, job_id)
    async with waiting(site, job_id) as asked:
        began = trio.current_time()
        await finish(site, job)
        assert (await asked.result()).json()["state"] == "succeeded"
        assert trio.current_time() - began < 5


async def test_a_log_that_breaks_is_watched_anew(site: Site) -> None:
    job_id = await create(site)
    (job,) = await start(site, job_id)
    async with waiting(site, job_id) as asked:
        tail = site.context.feed._tail
        tail._rows_lost(17)
        await eventually(lambda: waits(site, 1))
        assert not asked.answered.is_set()
        await finish(site, job)
        assert (await asked.result()).json()["state"] == "succeeded"


async def test_an_expiry_is_an_end_as_well() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        job_id = await create(site, expires_in=10)
        async with waiting(site, job_id) as asked:
            clock.now += 10_000_000
            await site.store.end_expired(10)
            assert (await asked.result()).json()["error"]["kind"] == "expired"
