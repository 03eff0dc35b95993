"""Ends that handlers write in their own transactions, in earnest: ``kill -9`` right after the COMMIT, and before it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.features.paying_jobs import PAYMENTS, VARIABLE, on_database, paid
from tests.processes import TickrProcess
from tickr.client import Client

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "mysql"])
def store(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('tmp_path')}/tickr.db"
    return str(request.getfixturevalue("mysql_url"))


async def test_a_payment_is_made_once_whenever_the_node_dies(store: str) -> None:
    """One node works and dies; the other only takes back what was lost."""
    given: dict[str, Any] = {"store": store, "index": "heap:", "app": "tests.features.paying_jobs:jobs"}
    given |= {"variables": {VARIABLE: store}, "arguments": ("--lease", "3s")}
    with TickrProcess(**given, roles="api,scheduler") as other, Client(other.url) as client:
        on_database(store, (PAYMENTS, ()))
        with TickrProcess(**given, roles="scheduler,worker,api", workers=1) as doomed:
            after = client.submit("pay", {"dies": "after"}).id
            await trio.to_thread.run_sync(doomed.wait)
            done = client.wait(after, 30)
            assert (done.state, done.result, done.attempt) == ("succeeded", {"receipt": after}, 1)
            assert (done.crashes, paid(store)) == (0, [(after, 1)])

            doomed.start()
            before = client.submit("pay", {"dies": "before"}).id
            await trio.to_thread.run_sync(doomed.wait)
            doomed.start()
            done = client.wait(before, 30)
            assert (done.state, done.attempt, done.crashes) == ("succeeded", 1, 1)
            assert paid(store) == [(after, 1), (before, 2)]

            raises = client.submit("pay", {"dies": "raises"}).id
            done = client.wait(raises, 30)
            assert (done.state, done.result, done.attempt) == ("succeeded", {"receipt": raises}, 1)
            plain = client.submit("pay", {"dies": "never"}).id
            assert client.wait(plain, 30).state == "succeeded"
            assert [job for job, _ in paid(store)] == [after, before, raises, plain]
            assert int(on_database(store, ("SELECT COUNT(*) FROM ended", ()))[0][0]) == 0
            log = doomed.log + other.log
            assert log.count("job.end_found") == 2, "the one that died and the one that raised"
