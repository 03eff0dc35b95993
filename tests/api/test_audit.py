"""The audit: each change that somebody makes has its entry before it is made, and nothing secret in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import RFC_4122, UUID

import pytest
import trio
from structlog.testing import capture_logs

from tests.api.site import Site, open_site
from tests.api.tokened import OWNER, bearer, open_closed, put_token
from tickr.api.trail import PLAIN
from tickr.errors import StoreUnavailable
from tickr.scopes import Scope
from tickr.store.memory import MemoryStore
from tickr.trail import Ended, Entry, new_id

CANARY = "canary-9d1c"


async def entries(site: Site, query: str = "", **headers: str) -> list[dict[str, Any]]:
    answer = await site.http.get(f"/audit{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def brief(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(one["who"], one["action"], one["subject"], one["status"]) for one in found]


async def test_each_change_has_its_entry(site: Site) -> None:
    job = (await site.post(type="a", payload={"secret": CANARY})).json()["id"]
    await site.post(f"/jobs/{job}/cancel", reason=CANARY)
    await site.post(f"/jobs/{job}/cancel")
    mark = (await site.post("/marks", text=CANARY)).json()["id"]
    await site.http.delete("/queues/none?x=1")
    await site.http.put(f"/schedules/x/{CANARY}")
    found = await entries(site)
    assert brief(found) == [
        ("anybody", "drop_queue", "none", 400),
        ("anybody", "make_mark", mark, 201),
        ("anybody", "cancel", job, 200),
        ("anybody", "cancel", job, 200),
    ]
    assert [one["method"] for one in found] == ["DELETE", "POST", "POST", "POST"]
    assert found[-1] | {"id": "", "at": ""} == {
        "id": "",
        "at": "",
        "who": "anybody",
        "token": None,
        "address": "127.0.0.1",
        "action": "cancel",
        "method": "POST",
        "path": f"/jobs/{job}/cancel",
        "subject": job,
        "status": 200,
    }
    assert CANARY not in str(found)
    assert found[0]["at"] > found[-1]["at"]


async def test_entries_are_in_the_order_of_the_stores_clock_whatever_that_of_a_node_says() -> None:
    now = 1_900_000_000_000_000
    async with open_site(store=MemoryStore(clock=lambda: now)) as site:
        for name, step_us in (("second", 0), ("first", -3_600_000_000), ("third", 3_600_000_001)):
            now += step_us
            await site.post(f"/queues/{name}/pause")
        assert [one["subject"] for one in await entries(site)] == ["third", "second", "first"]


def test_an_id_is_of_version_7_and_tells_instants_apart_by_a_microsecond() -> None:
    instants = [*range(1_700_000_000_000_000, 1_700_000_000_003_000)]
    ids = [new_id(at) for at in instants]
    assert sorted(ids) == ids
    assert {(UUID(one).version, UUID(one).variant) for one in ids} == {(7, RFC_4122)}
    assert [UUID(one).int >> 80 for one in ids] == [at // 1000 for at in instants]
    assert len({new_id(0) for _ in range(1000)}) == 1000


async def test_every_call_that_changes_is_in_it_but_for_submitting_and_running(site: Site) -> None:
    changing = {name: route for name, route in site.app.routes.items() if route.method != "GET"}
    assert changing.keys() > PLAIN
    for name, route in changing.items():
        before = len(await entries(site, "?limit=200"))
        path = route.path.replace("<", "").replace(">", "")
        await site.http.request(route.method, path, json={})
        after = await entries(site, "?limit=200")
        assert len(after) - before == (name not in PLAIN), name
        assert name in PLAIN or (after[0]["action"], after[0]["status"] is None) == (name, False)


async def test_it_says_who_and_is_asked_by_who_and_subject() -> None:
    async with open_closed() as site:
        text = await put_token(site, Scope.QUEUES_ADMIN, name="olga")
        for name in ("mail", "post"):
            for shown in (text, OWNER):
                await site.http.post(f"/queues/{name}/pause", headers=bearer(shown))
        await site.http.post("/tokens", json={}, headers=bearer(text))  # not allowed: nothing is changed
        owner = bearer(OWNER)
        everything = await entries(site, **owner)
        (olga,) = {one["who"] for one in everything} - {"TICKR_TOKEN"}
        assert olga.startswith("olga-")
        assert [one["token"] for one in everything] == [None, text[6:22], None, text[6:22]]
        assert brief(await entries(site, f"?who={olga}&subject=mail", **owner)) == [(olga, "pause_queue", "mail", 200)]
        assert len(await entries(site, "?subject=post", **owner)) == 2
        first = (await site.http.get("/audit?limit=3", headers=owner)).json()
        rest = (await site.http.get(f"/audit?limit=3&cursor={first['next_cursor']}", headers=owner)).json()
        assert first["items"] + rest["items"] == everything
        assert rest["next_cursor"] is None


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "who=", "who=a&who=b", "what=x"])
async def test_what_is_wrong_with_the_query_is_told(site: Site, query: str) -> None:
    assert (await site.http.get(f"/audit?{query}")).status_code == 400


class Failing(MemoryStore):
    """Cannot write entries that begin, or those that end."""

    begins = True
    ends = True

    async def write_trail(self, begun: Sequence[Entry], ended: Sequence[Ended]) -> None:
        if not (self.begins if begun else self.ends):
            await trio.lowlevel.checkpoint()
            raise StoreUnavailable("away", outcome_unknown=True)
        await super().write_trail(begun, ended)


async def test_without_its_entry_nothing_is_changed() -> None:
    store = Failing()
    store.begins = False
    async with open_site(store=store) as site:
        answer = await site.http.post("/queues/mail/pause")
        assert (answer.status_code, answer.json()["outcome_unknown"]) == (503, False)
        assert not (await site.http.get("/queues")).json()["items"]
        assert (await site.post(type="a")).status_code == 201


async def test_a_change_whose_end_was_not_written_is_unknown_and_answered() -> None:
    store = Failing()
    store.ends = False
    async with open_site(store=store) as site:
        with capture_logs() as logs:
            assert (await site.http.post("/queues/mail/pause")).status_code == 200
        assert brief(await entries(site)) == [("anybody", "pause_queue", "mail", None)]
        assert "audit.unfinished" in [line["event"] for line in logs]


async def test_what_nobody_foresaw_is_an_entry_and_one_incident(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object, **__: object) -> None:
        await trio.lowlevel.checkpoint()
        raise RuntimeError(CANARY)

    monkeypatch.setattr(site.store, "drop_mark", fail)
    with capture_logs() as logs:
        answer = await site.http.delete("/marks/0197a2c4-0000-7000-8000-0000000000ff")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert [line["event"] for line in logs].count("http.failed") == 1
    assert (await entries(site))[0]["status"] == 500
