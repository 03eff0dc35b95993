"""What a remote worker tells with a heartbeat, beside how far it is: data, lines to keep, events of its own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.api.test_leases import NOBODYS, call, job, key, session, submit, taken

LONG = "x" * 16_383


async def test_a_remote_worker_tells_what_a_handler_may_tell(site: Site) -> None:
    lease = await session(site)
    await submit(site)
    (got,) = await taken(site, lease)
    said = key(got, progress=0.5, message="half", data={"rows": [1, 2.50]}, log=["one", "two"])
    said["events"] = [{"name": "made", "data": {"a": 1.50}}, {"name": "done"}]
    await call(site, f"/{lease}/heartbeat", {"jobs": [said]})
    now = await job(site, got["id"])
    assert (now["progress"], now["progress_message"], now["progress_data"]) == (0.5, "half", {"rows": [1, 2.5]})
    kept = (await site.http.get(f"/jobs/{got['id']}/log")).json()["items"]
    assert [(line["attempt"], line["fence"], line["message"]) for line in kept] == [(1, 1, "one"), (1, 1, "two")]
    told = (await site.http.get("/events?after=earliest&event=progress&event=log&event=emitted")).json()["events"]
    names = [event["data"].get("name") for event in told]
    assert [event["type"].rpartition(".")[2] for event in told] == ["log", "log", "progress", "emitted", "emitted"]
    assert (names, told[2]["data"]["data"]) == ([None, None, None, "made", "done"], {"rows": [1, 2.5]})
    assert [event["data"]["data"] for event in told[3:]] == [{"a": 1.5}, None]
    assert len({event["id"] for event in told}) == 5
    await call(site, f"/{lease}/heartbeat", {"jobs": [key(got, events=[{"name": "alone"}])]})
    assert len((await site.http.get("/events?after=earliest&name=alone")).json()["events"]) == 1


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"progress": 1, "data": LONG}, "/jobs/1/data"),
        ({"events": [{"name": "a"}, {"name": "a", "data": LONG}]}, "/jobs/1/events/1/data"),
        ({"events": [{"name": "a b"}]}, "/jobs/1/events/0/name"),
        ({"events": [{"data": 1}]}, "/jobs/1/events/0"),
        ({"events": [{"name": "a"}] * 21}, "/jobs/1/events"),
    ],
)
async def test_what_is_wrong_is_pointed_at(site: Site, said: dict[str, Any], pointer: str) -> None:
    plain = {"id": NOBODYS, "fence": 1}
    problem = await call(site, f"/{NOBODYS}/heartbeat", {"jobs": [plain, plain | said]}, 422)
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
