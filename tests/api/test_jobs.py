"""Looking at jobs and changing them: the document, its ETag, the notice, lists, cancel, retry, attempts."""

from __future__ import annotations

import uuid

import msgspec
import pytest

from tests.api.site import Site, open_site
from tickr.jobs import Failure, Job, State
from tickr.reasons import CANCELLED_ON_REQUEST
from tickr.reports import Outcome
from tickr.store.contract import COUNT_TO, Filter, Node, Page, Place
from tickr.store.memory import MemoryStore

NODE = "0197a2c4-0000-7000-8000-00000000000a"
UNKNOWN = "0197a2c4-0000-7000-8000-0000000000ff"


class Clock:
    def __init__(self) -> None:
        self.now = 1_900_000_000_000_000

    def __call__(self) -> int:
        return self.now


async def start(site: Site, *ids: str, types: tuple[str, ...] = ("a",)) -> list[Job]:
    """Have a node claim jobs, as a worker would."""
    await site.store.register(Node(id=NODE, host="h", pid=1, version="1", types=types, slots=9), lease_s=600)
    return await site.store.claim(ids, node=NODE, types=types)


async def create(site: Site, **body: object) -> str:
    answer = await site.post(**{"type": "a", **body})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


# -- one job --------------------------------------------------------------------------------------------------------


async def test_a_job_shows_its_result_and_its_error_to_the_letter(site: Site) -> None:
    good, bad = await create(site), await create(site)
    one, other = await start(site, good, bad)
    await site.store.finish([Outcome(job=one, kind="succeeded", result='{"n": 12345678901234567890, "f":1.0 }')])
    await site.store.finish([Outcome(job=other, kind="failed", failure=Failure("give_up", "no"))])
    text = (await site.http.get(f"/jobs/{good}")).text
    assert '"result":{"n": 12345678901234567890, "f":1.0 },"error":null' in text
    job = (await site.http.get(f"/jobs/{bad}")).json()
    assert job["error"] == {"kind": "give_up", "message": "no", "traceback": None}
    assert (job["state"], job["attempt"], job["node"], job["version"]) == ("failed", 1, NODE, 3)
    assert job["started_at"] <= job["finished_at"]


async def test_the_id_may_be_in_upper_case(site: Site) -> None:
    job_id = await create(site)
    assert (await site.http.get(f"/jobs/{job_id.upper()}")).json()["id"] == job_id


@pytest.mark.parametrize("call", ["GET ", "GET /attempts", "POST /cancel", "POST /retry"])
async def test_ids_that_are_none_are_400_and_unknown_ones_404(site: Site, call: str) -> None:
    method, rest = call.split(" ")
    for bad in ("17", "x" * 36, f"{UNKNOWN}%0A", f"%7B{UNKNOWN}%7D", "%00", "%ff"):
        answer = await site.http.request(method, f"/jobs/{bad}{rest}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, "/id"), bad
    answer = await site.http.request(method, f"/jobs/{UNKNOWN}{rest}")
    assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


async def test_the_etag_is_the_version_and_spares_the_body(site: Site) -> None:
    job_id = await create(site)
    url = f"/jobs/{job_id}"
    tag = (await site.http.get(url)).headers["etag"]
    assert tag == '"v1"'
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = await site.http.get(url, headers={"if-none-match": known})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag)
    await start(site, job_id)
    changed = await site.http.get(url, headers={"if-none-match": tag})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"v2"')


async def test_becoming_due_is_a_change_to_whoever_has_an_etag() -> None:
    clock = Clock()
    async with open_site(store=MemoryStore(clock=clock)) as site:
        url = f"/jobs/{await create(site, delay=10)}"
        tag = (await site.http.get(url)).headers["etag"]
        assert (await site.http.get(url, headers={"if-none-match": tag})).status_code == 304
        clock.now += 10_000_000
        answer = await site.http.get(url, headers={"if-none-match": tag})
        assert (answer.status_code, answer.json()["state"], answer.json()["version"]) == (200, "ready", 1)
        cancel = await site.http.post(f"{url}/cancel", headers={"if-match": answer.headers["etag"]})
        assert cancel.status_code == 200


async def test_a_job_that_nobody_can_run_says_so(site: Site) -> None:
    job_id = await create(site, type="emial")
    url = f"/jobs/{job_id}"
    notice = (await site.http.get(url)).json()["notice"]
    assert notice == 'No live node handles the type "emial"; the job waits until one does.'
    await start(site, types=("email", "report"))
    assert (await site.http.get(url)).json()["notice"] == f'{notice} Did you mean "email"?'
    assert (await site.http.get("/jobs")).json()["items"][0]["notice"] is None
    await start(site, types=("emial",))
    assert (await site.http.get(url)).json()["notice"] is None
    await site.store.deregister(NODE)
    await site.http.post(f"{url}/cancel")
    assert (await site.http.get(url)).json()["notice"] is None


# -- lists ----------------------------------------------------------------------------------------------------------


async def listed(site: Site, query: str) -> list[str]:
    answer = await site.http.get(f"/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return [job["id"] for job in answer.json()["items"]]


async def test_a_list_is_newest_first_and_pages_do_not_shift(site: Site) -> None:
    ids = [await create(site) for _ in range(7)]
    seen: list[str] = []
    query = "limit=3"
    while True:
        page = (await site.http.get(f"/jobs?{query}")).json()
        assert list(page) == ["items", "next_cursor", "feed_cursor"]
        seen += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            break
        await create(site, type="later")
        query = f"limit=3&cursor={page['next_cursor']}"
    assert seen == ids[::-1]


async def test_a_full_last_page_has_no_cursor(site: Site) -> None:
    await create(site)
    assert (await site.http.get("/jobs?limit=1")).json()["next_cursor"] is None
    empty = (await site.http.get("/jobs?queue=none")).json()
    assert (empty["items"], empty["next_cursor"]) == ([], None)


async def test_filters_narrow_and_their_values_widen(site: Site) -> None:
    plain = await create(site)
    queued = await create(site, queue="q", labels={"k": "v=1", "only": ""})
    later = await create(site, type="b", delay=60, labels={"k": "w"})
    assert await listed(site, "") == [later, queued, plain]
    assert await listed(site, "type=a") == [queued, plain]
    assert await listed(site, "type=a&type=b") == [later, queued, plain]
    assert await listed(site, "state=scheduled") == [later]
    assert await listed(site, "state=ready&state=scheduled") == [later, queued, plain]
    assert await listed(site, "queue=q&type=b") == []
    assert await listed(site, "label=k") == [later, queued]
    assert await listed(site, "label=k%3Dv%3D1") == [queued]
    assert await listed(site, "label=k&label=only") == [queued]


@pytest.mark.parametrize(
    ("query", "pointers"),
    [
        ("limit=0", ["/limit"]),
        ("limit=201", ["/limit"]),
        ("limit=-1", ["/limit"]),
        ("limit=1.0", ["/limit"]),
        ("limit=%D9%A1", ["/limit"]),
        ("limit=", ["/limit"]),
        ("limit=1&limit=2", ["/limit"]),
        ("limit=" + "9" * 500, ["/limit"]),
        ("state=done", ["/state"]),
        ("type=a%00", ["/type"]),
        ("queue=a|b", ["/queue"]),
        ("label=a%20b", ["/label"]),
        ("label=a=%00", ["/label"]),
        ("offset=3", ["/offset"]),
        ("wait=1&state=x", ["/wait"]),
        ("state=x&queue=%20&limit=x", ["/state", "/queue", "/limit"]),
        ("cursor=", ["/cursor"]),
        ("cursor=abc", ["/cursor"]),
        ("cursor=%ff", ["/cursor"]),
    ],
)
async def test_a_bad_query_is_400_with_every_fault(site: Site, query: str, pointers: list[str]) -> None:
    answer = await site.http.get(f"/jobs?{query}")
    assert answer.status_code == 400, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers


async def test_a_cursor_is_good_for_its_own_list_and_unmangled(site: Site) -> None:
    for _ in range(3):
        await create(site)
    cursor = (await site.http.get("/jobs?limit=1&type=a")).json()["next_cursor"]
    assert len(await listed(site, f"type=a&limit=2&cursor={cursor}")) == 2
    mangled = [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in (0, 12, 40)]
    for query in (f"cursor={cursor}", f"type=b&cursor={cursor}", *(f"type=a&cursor={bad}" for bad in mangled)):
        answer = await site.http.get(f"/jobs?{query}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_a_page_of_large_jobs_ends_early(site: Site) -> None:
    for _ in range(10):
        await create(site, payload="x" * 1_000_000)
    first = (await site.http.get("/jobs?limit=200")).json()
    assert len(first["items"]) == 8
    assert len((await site.http.get(f"/jobs?cursor={first['next_cursor']}")).json()["items"]) == 2


# -- changes --------------------------------------------------------------------------------------------------------


async def test_cancel_is_200_for_what_waits_and_202_for_what_runs(site: Site) -> None:
    waiting, running = await create(site), await create(site)
    await start(site, running)
    first = await site.http.post(f"/jobs/{waiting}/cancel")
    again = await site.http.post(f"/jobs/{waiting}/cancel", json={})
    told = await site.http.post(f"/jobs/{running}/cancel")
    assert (first.status_code, first.json()["state"], first.headers["etag"]) == (200, "cancelled", '"v2"')
    assert (again.status_code, again.json()) == (200, first.json())
    assert (told.status_code, told.json()["state"]) == (202, "running")
    job = await site.store.get(running)
    assert job is not None
    assert job.cancel_requested


async def test_retry_starts_a_final_job_over_and_keeps_its_attempts(site: Site) -> None:
    job_id = await create(site)
    early = await site.http.post(f"/jobs/{job_id}/retry")
    assert (early.status_code, early.json()["code"]) == (409, "illegal_transition")
    (job,) = await start(site, job_id)
    await site.store.finish([Outcome(job=job, kind="failed", failure=Failure("exception", "boom", "Traceback …"))])
    answer = await site.http.post(f"/jobs/{job_id}/retry")
    assert (answer.status_code, answer.json()["state"], answer.json()["attempt"]) == (200, "ready", 0)
    attempts = (await site.http.get(f"/jobs/{job_id}/attempts")).json()["items"]
    assert [list(attempt) for attempt in attempts] == [
        ["life", "number", "fence", "node", "started_at", "finished_at", "outcome", "error"]
    ]
    assert (attempts[0]["number"], attempts[0]["outcome"]) == (1, "failed")
    assert attempts[0]["error"] == {"kind": "exception", "message": "boom", "traceback": "Traceback …"}


async def test_a_final_job_cannot_be_cancelled(site: Site) -> None:
    job_id = await create(site)
    (job,) = await start(site, job_id)
    await site.store.finish([Outcome(job=job, kind="succeeded", result="1")])
    answer = await site.http.post(f"/jobs/{job_id}/cancel")
    assert (answer.status_code, answer.json()["code"], answer.json()["job_id"]) == (409, "illegal_transition", job_id)


@pytest.mark.parametrize("call", ["cancel", "retry"])
async def test_a_change_is_made_to_the_version_that_was_seen_or_not_at_all(site: Site, call: str) -> None:
    job_id = await create(site)
    if call == "retry":
        await site.http.post(f"/jobs/{job_id}/cancel")
    before = await site.store.get(job_id)
    assert before is not None
    for tag in ('"v9"', '"x"', "v1", '"v-1"', "nonsense"):
        answer = await site.http.post(f"/jobs/{job_id}/{call}", headers={"if-match": tag})
        assert (answer.status_code, answer.json()["code"]) == (412, "version_mismatch"), tag
    several = await site.http.post(f"/jobs/{job_id}/{call}", headers={"if-match": '"v1", "v2"'})
    assert several.status_code == 400
    assert await site.store.get(job_id) == before
    good = await site.http.post(f"/jobs/{job_id}/{call}", headers={"if-match": f'"v{before.version}"'})
    assert (good.status_code, good.json()["version"]) == (200, before.version + 1)
    if call == "cancel":
        assert (await site.http.post(f"/jobs/{job_id}/cancel", headers={"if-match": "*"})).status_code == 200


async def test_a_cancellation_may_say_why(site: Site) -> None:
    waiting, running = await create(site), await create(site)
    (job,) = await start(site, running)
    first = await site.http.post(f"/jobs/{waiting}/cancel", json={"reason": "no longer wanted"})
    assert (first.status_code, first.json()["state"]) == (200, "cancelled")
    assert first.json()["error"]["message"] == "Cancelled on request: no longer wanted"
    told = await site.http.post(f"/jobs/{running}/cancel", json={"reason": "é" * 500})
    assert (told.status_code, told.json()["state"], told.json()["error"]) == (202, "running", None)
    await site.store.finish([Outcome(job=job, kind="cancelled", failure=CANCELLED_ON_REQUEST)])
    after = (await site.http.get(f"/jobs/{running}")).json()
    assert (after["state"], after["error"]["kind"]) == ("cancelled", "cancelled")
    assert after["error"]["message"] == f"Cancelled on request: {'é' * 500}"
    events = (await site.http.get(f"/events?after=earliest&job={running}&event=cancelled")).json()["events"]
    assert [event["data"]["error"] for event in events] == [after["error"]]


BAD_REASONS = ["", " ", "a\nb", "\u0007", "\u007f", "x" * 501, "a" * 100_000 + "\n"]


@pytest.mark.parametrize("reason", [*BAD_REASONS, 17, ["a"], {"a": 1}], ids=lambda reason: str(reason)[:10])
async def test_a_reason_is_a_line_of_text(site: Site, reason: object) -> None:
    job_id = await create(site)
    answer = await site.http.post(f"/jobs/{job_id}/cancel", json={"reason": reason})
    rule = "must be a line of text, 1 to 500 characters"
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"pointer": "/reason", "detail": rule}]
    assert (await site.rows())[0].state is State.READY


async def test_a_reason_is_json_and_says_so(site: Site) -> None:
    job_id = await create(site)
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = await site.send('{"reason":"a"}', f"/jobs/{job_id}/cancel", **{"content-type": kind})
        assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert (await site.send('{"reason":null}', f"/jobs/{job_id}/cancel")).status_code == 200
    assert (await site.rows())[0].error == CANCELLED_ON_REQUEST
    again = await site.http.post(f"/jobs/{job_id}/retry", json={"reason": "a"})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/reason")


@pytest.mark.parametrize(("body", "status"), [("[]", 422), ('{"a":1}', 422), ("{", 400), ("\xff", 400), (" {} ", 200)])
async def test_a_change_takes_no_body(site: Site, body: str, status: int) -> None:
    job_id = await create(site)
    answer = await site.send(body.encode("latin-1"), f"/jobs/{job_id}/cancel")
    assert answer.status_code == status, answer.text
    (job,) = await site.rows()
    assert job.state is (State.CANCELLED if status == 200 else State.READY)


class ShortSighted(MemoryStore):
    """A store that looks at three jobs for a page."""

    async def list_jobs(self, which: Filter, *, limit: int, before: Place | None = None, look_at: int = 3) -> Page:
        return await super().list_jobs(which, limit=limit, before=before, look_at=look_at)


async def test_a_page_may_be_empty_and_say_how_to_go_on() -> None:
    async with open_site(store=ShortSighted()) as site:
        rare = await create(site, type="rare")
        for _ in range(7):
            await create(site, type="mail")
        pages = [(await site.http.get("/jobs?type=rare&limit=5")).json()]
        while (cursor := pages[-1]["next_cursor"]) is not None:
            pages.append((await site.http.get(f"/jobs?type=rare&limit=5&cursor={cursor}")).json())
        assert [[job["id"] for job in page["items"]] for page in pages] == [[], [], [rare]]


# -- queues ---------------------------------------------------------------------------------------------------------


async def test_queues_at_a_glance(site: Site) -> None:
    assert (await site.http.get("/queues")).json() == {"items": []}
    running = await create(site, queue="b")
    await create(site, queue="b", delay=60)
    due = await create(site, queue="a")
    await start(site, running)
    created = (await site.http.get(f"/jobs/{due}")).json()["run_at"]
    none = {"ready": 0, "scheduled": 0, "retrying": 0, "running": 0, "oldest_due_at": None}
    none |= {"paused": False, "paused_until": None, "max_running": None, "max_running_per_key": None, "rate": None}
    none |= {"shared_keys": False, "order": "oldest", "counted_to": COUNT_TO}
    assert (await site.http.get("/queues")).json()["items"] == [
        {"name": "a", **none, "ready": 1, "oldest_due_at": created},
        {"name": "b", **none, "scheduled": 1, "running": 1},
    ]


async def test_uuid_of_any_version_is_an_id(site: Site) -> None:
    for chosen in (uuid.uuid1(), uuid.uuid4(), uuid.UUID(int=0)):
        assert await create(site, id=str(chosen)) == str(chosen)


def test_the_filter_and_its_cursor_know_each_other() -> None:
    # The checksum of a cursor covers the encoded filter: a field added to it must change the encoding.
    assert msgspec.json.encode(Filter(types=("a",))) != msgspec.json.encode(Filter(queues=("a",)))
