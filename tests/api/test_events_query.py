"""What may be asked of ``GET /events``, by all three ways; pages of JSON; and the cursor that comes with a list."""

from __future__ import annotations

import json

import pytest

from tests.api.listening import BIG, ids, open_socket, open_stream, write
from tests.api.site import LONG_S, Site, open_site
from tests.docs.wire import fault
from tests.ports import Observed
from tickr.api.event_query import EVENTS, MAX_VALUES
from tickr.errors import StoreUnavailable
from tickr.feed import feed
from tickr.store.contract import LOOK_AT, Filter, Page, Place
from tickr.store.memory import MemoryStore

STREAM = {"accept": "text/event-stream"}

# -- pages ------------------------------------------------------------------------------------------------------------


async def test_pages_go_through_all_there_is(site: Site) -> None:
    told = [name for _ in range(3) for name in await write(site, 2)]
    got, after = [], "earliest"
    for size, caught_up in ((4, False), (2, None), (0, True)):
        answer = await site.http.get("/events", params={"after": after, "limit": 4})
        page = answer.json()
        assert (answer.status_code, list(page)) == (200, ["events", "cursor", "caught_up"])
        assert len(page["events"]) == size
        assert caught_up is None or page["caught_up"] is caught_up
        got += ids(page["events"])
        after = page["cursor"]
    assert got == told
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["cache-control"], answer.headers["vary"]) == ("no-store", "Accept")


async def test_a_page_from_now_is_empty_and_says_where_now_is(site: Site) -> None:
    await write(site)
    now = (await site.http.get("/events")).json()
    assert (now["events"], now["caught_up"]) == ([], True)
    new = await write(site)
    assert ids((await site.http.get("/events", params={"after": now["cursor"]})).json()["events"]) == new


async def test_a_page_has_a_hundred_events_unless_told_otherwise(site: Site) -> None:
    await write(site, 150)
    for limit, count in (("", 100), ("&limit=1", 1), ("&limit=1000", 150)):
        page = (await site.http.get(f"/events?after=earliest{limit}")).json()
        assert (len(page["events"]), page["caught_up"]) == (count, count == 150)


async def test_a_page_of_long_events_ends_early(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAGE_WITHIN_S", LONG_S)  # what ends it is its length alone
    told = await write(site, 600, labels=BIG)  # 2.6 MiB
    got, after, sizes = [], "earliest", []
    while len(got) < len(told):
        answer = await site.http.get("/events", params={"after": after, "limit": 1000})
        sizes.append(len(answer.content))
        got += ids(answer.json()["events"])
        after = answer.json()["cursor"]
    assert got == told
    assert max(sizes) < 2_000_000
    assert len(sizes) < 5


async def test_head_is_get_without_its_body(site: Site) -> None:
    await write(site)
    get, head = await site.http.get("/events?after=earliest"), await site.http.head("/events?after=earliest")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == get.headers["content-length"] != "0"


async def test_there_is_nothing_to_post(site: Site) -> None:
    for headers in ({}, STREAM):
        answer = await site.http.post("/events", headers=headers)
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize("accept", ["", "*/*", "application/json", "text/html", "text/event-stream;q=0", "text/*"])
async def test_who_does_not_name_a_stream_gets_a_page(site: Site, accept: str) -> None:
    answer = await site.http.get("/events", headers={"accept": accept})
    assert (answer.status_code, answer.json()["caught_up"]) == (200, True)


# -- filters ----------------------------------------------------------------------------------------------------------


async def everything(site: Site) -> dict[str, str]:
    """Make some events. Return their ids by a short name."""
    (first,) = await write(site, type="mail", queue="fast")
    (second,) = await write(site, type="mail", queue="slow")
    (third,) = await write(site, type="report", queue="slow")
    job = first.partition(".")[0]
    await site.http.post(f"/jobs/{job}/cancel")
    await site.http.post(f"/jobs/{job}/retry")
    names = {"fast mail": first, "slow mail": second, "slow report": third}
    return names | {"cancelled": f"{job}.2", "redriven": f"{job}.3"}


FILTERS = [
    ("", ["fast mail", "slow mail", "slow report", "cancelled", "redriven"]),
    ("queue=slow", ["slow mail", "slow report"]),
    ("type=mail", ["fast mail", "slow mail", "cancelled", "redriven"]),
    ("type=mail&queue=slow", ["slow mail"]),
    ("type=report&queue=fast", []),
    ("queue=slow&queue=fast&event=created", ["fast mail", "slow mail", "slow report"]),
    ("event=cancelled&event=tickr.job.redriven", ["cancelled", "redriven"]),
    ("job=FIRST&event=created", ["fast mail"]),
    ("job=first&job=SECOND", ["fast mail", "slow mail", "cancelled", "redriven"]),
]


@pytest.mark.parametrize(("query", "expected"), FILTERS)
async def test_filters_widen_within_and_narrow_together(site: Site, query: str, expected: list[str]) -> None:
    named = await everything(site)
    for place, name in (("FIRST", "fast mail"), ("first", "fast mail"), ("SECOND", "slow mail")):
        job = named[name].partition(".")[0]
        query = query.replace(place, job.upper() if place.isupper() else job)
    wanted = [named[name] for name in expected]
    assert ids((await site.http.get(f"/events?after=earliest&{query}")).json()["events"]) == wanted
    async with open_socket(site, f"?after=earliest&{query}") as socket:
        replayed = await socket.until("caught_up")
        assert ids([event for message in replayed for event in message.get("events", [])]) == wanted
    async with open_stream(site, f"?after=earliest&{query}") as stream:
        assert ids(await stream.events(len(wanted))) == wanted


async def test_what_happens_to_a_schedule_is_told_among_what_happens_to_jobs(site: Site) -> None:
    (first,) = await write(site)
    body = {"every": 60, "job": {"type": "mail"}}
    for method, path, answered in (("PUT", "", 201), ("POST", "/pause", 200), ("DELETE", "", 204)):
        answer = await site.http.request(method, f"/schedules/s{path}", json=body if method == "PUT" else None)
        assert answer.status_code == answered
    (last,) = await write(site)

    async def told(query: str) -> list[str]:
        events = (await site.http.get(f"/events?after=earliest&{query}")).json()["events"]
        return [event["type"].removeprefix("tickr.") for event in events]

    everything = ["job.created", "schedule.created", "schedule.paused", "schedule.deleted", "job.created"]
    assert await told("") == everything
    assert await told("event=schedule.paused&event=tickr.schedule.deleted") == everything[2:4]
    assert await told("event=created") == ["job.created"] * 2
    assert await told("queue=default") == await told("event=created")
    assert await told("type=mail&event=schedule.paused") == []
    async with open_socket(site, "?after=earliest&event=schedule.created") as socket:
        (event,) = [event for message in await socket.until("caught_up") for event in message.get("events", [])]
    assert (event["subject"], event["data"]["schedule"]["name"]) == ("s", "s")
    async with open_stream(site, "?after=earliest") as stream:
        assert ids(await stream.events(5))[::4] == [first, last]


async def test_what_is_set_on_a_queue_is_told_to_who_listens_to_the_queue(site: Site) -> None:
    for method, path, body in (("POST", "/pause", None), ("PUT", "", {"max_running": 2}), ("POST", "/resume", None)):
        answer = await site.http.request(method, f"/queues/mail{path}", json=body)
        assert answer.status_code == 200
    await site.http.post("/queues/other/pause")

    async def told(query: str) -> list[str]:
        events = (await site.http.get(f"/events?after=earliest&{query}")).json()["events"]
        assert [fault("Event", event) for event in events] == [None] * len(events)
        return [f"{event['type']} {event['subject']}" for event in events]

    of_mail = [f"tickr.queue.{what} mail" for what in ("paused", "changed", "resumed")]
    assert await told("queue=mail") == of_mail
    assert await told("") == [*of_mail, "tickr.queue.paused other"]
    assert await told("event=queue.changed") == of_mail[1:2]
    assert await told("type=mail") == []
    async with open_stream(site, "?after=earliest&queue=mail") as stream:
        assert [json.loads(event["data"])["data"]["queue"]["paused"] for event in await stream.events(3)] == [
            True,
            True,
            False,
        ]


def test_every_event_can_be_asked_for() -> None:
    of_jobs = "created started succeeded retrying failed cancelled released redriven unblocked changed deleted"
    of_jobs += " progress log emitted"
    of_schedules = "created changed paused resumed ended deleted skipped"
    of_operations = "started progress done stopped"
    named = {f"schedule.{what}" for what in of_schedules.split()}
    named |= {f"queue.{what}" for what in ("paused", "resumed", "changed", "deleted")}
    named |= {f"operation.{what}" for what in of_operations.split()}
    named |= {f"node.{what}" for what in ["quieted", "resumed", "changed", "stopping"]}
    assert set(of_jobs.split()) | named == EVENTS


# -- what cannot be asked ---------------------------------------------------------------------------------------------

BAD = [
    ("event=paused", "invalid_parameter", ["/event"]),
    ("event=schedule.exploded", "invalid_parameter", ["/event"]),
    ("schedule=s", "invalid_parameter", ["/schedule"]),
    ("foo=1", "invalid_parameter", ["/foo"]),
    ("After=earliest", "invalid_parameter", ["/After"]),
    ("job=17", "invalid_parameter", ["/job"]),
    ("queue=-", "invalid_parameter", ["/queue"]),
    ("queue=", "invalid_parameter", ["/queue"]),
    ("type=a%20b", "invalid_parameter", ["/type"]),
    ("type=%ff", "invalid_parameter", ["/type"]),
    ("event=exploded", "invalid_parameter", ["/event"]),
    ("event=job.created", "invalid_parameter", ["/event"]),
    ("event=Created&job=1&queue=good&type=", "invalid_parameter", ["/job", "/type", "/event"]),
    ("after=earliest&after=earliest", "invalid_parameter", ["/after"]),
    ("queue=a&" * (MAX_VALUES + 1), "invalid_parameter", ["/queue"]),
    ("after=", "invalid_cursor", ["/after"]),
    ("after=latest", "invalid_cursor", ["/after"]),
    ("after=0123456789ab.-1", "invalid_cursor", ["/after"]),
    ("after=0123456789ab.1%0a", "invalid_cursor", ["/after"]),
]


@pytest.mark.parametrize(("query", "code", "pointers"), BAD)
async def test_what_is_wrong_with_a_query_is_told_on_every_way(
    site: Site, query: str, code: str, pointers: list[str]
) -> None:
    for headers in ({}, STREAM):
        answer = await site.http.get(f"/events?{query}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
    assert (await site.http.head(f"/events?{query}", headers=STREAM)).status_code == 400
    async with open_socket(site, f"?{query}") as socket:
        (error,), close = await socket.end()
        assert close == (4400, code)
        assert (error["kind"], error["code"], error["detail"]) == ("error", code, answer.json()["detail"])
        assert error["errors"] == answer.json()["errors"]


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x", "", "1&limit=1", "1e1", "٣"])
async def test_a_limit_is_a_number_up_to_a_thousand(site: Site, limit: str) -> None:
    answer = await site.http.get(f"/events?limit={limit}")
    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (400, ["/limit"])


async def test_a_limit_is_for_pages(site: Site) -> None:
    answer = await site.http.get("/events?limit=5", headers=STREAM)
    assert "for pages alone" in answer.json()["errors"][0]["detail"]
    async with open_socket(site, "?limit=5") as socket:
        assert (await socket.end())[1].code == 4400


async def test_as_many_values_as_are_allowed_are_taken(site: Site) -> None:
    assert (await site.http.get(f"/events?{'queue=a&' * MAX_VALUES}")).status_code == 200


async def test_a_cursor_of_another_history_is_gone_on_every_way(site: Site) -> None:
    await write(site)
    for after in ("000000000000.1", (await site.http.get("/events")).json()["cursor"] + "0"):
        for headers in ({}, STREAM):
            answer = await site.http.get(f"/events?after={after}", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")
        async with open_socket(site, f"?after={after}") as socket:
            (error,), close = await socket.end()
            assert (error["code"], close) == ("cursor_expired", (4410, "cursor_expired"))


async def test_without_its_store_nobody_begins_to_listen() -> None:
    store = Observed(MemoryStore())
    async with open_site(store=store) as site:  # type: ignore[arg-type]
        store.failing["*"] = StoreUnavailable("gone")
        for headers in ({}, STREAM):
            answer = await site.http.get("/events", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert answer.headers["retry-after"] == "2"
        async with open_socket(site) as socket:
            (error,), close = await socket.end()
            assert (error["code"], close) == ("store_unavailable", (1013, "store_unavailable"))


async def test_a_fault_of_ours_is_told_without_its_secrets() -> None:
    store = Observed(MemoryStore())
    async with open_site(store=store) as site:  # type: ignore[arg-type]
        store.failing["feed_state"] = RuntimeError("secret")
        async with open_socket(site) as socket:
            (error,), close = await socket.end()
            assert close == (1011, "internal")
            assert error["incident"]
            assert "secret" not in json.dumps(error)
        answer = await site.http.get("/events", headers=STREAM)
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "secret" not in answer.text


# -- list, then subscribe ---------------------------------------------------------------------------------------------


class BusyStore(MemoryStore):
    """A store in which a job is stored while a list is on its way back."""

    site: Site
    told: list[str]

    async def list_jobs(
        self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = LOOK_AT
    ) -> Page:
        found = await super().list_jobs(which, limit=limit, before=before, look_at=look_at)
        self.told = await write(self.site)
        return found


async def test_a_list_comes_with_a_cursor_after_which_nothing_is_missing() -> None:
    store = BusyStore()
    async with open_site(store=store) as site:
        store.site = site
        (before,) = await write(site)
        page = (await site.http.get("/jobs")).json()
        assert [f"{job['id']}.1" for job in page["items"]] == [before]
        async with open_socket(site, f"?after={page['feed_cursor']}") as socket:
            assert ids(await socket.events(1)) == store.told
