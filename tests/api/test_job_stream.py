"""``GET /jobs/stream``: jobs by websocket, answered once they are durable."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
import trio.testing

from tests.api.site import Site, open_site
from tests.api.submitting import PATH, open_submitter
from tests.feed_clients import connect, reset_on_close
from tests.waiting import eventually
from tests.websocket_frames import CLOSE, PING, PONG, TEXT, to_send, upgrade
from tickr import intake
from tickr.api import connection, job_frames, job_stream, listener
from tickr.errors import StoreUnavailable
from tickr.jobs import Job, NewJob
from tickr.store.contract import Filter
from tickr.store.memory import MemoryStore


async def until(true: Callable[[], object]) -> None:
    async def look() -> bool:
        return bool(true())

    await eventually(look)


async def nobody_is_left(site: Site) -> None:
    await until(lambda: (site.app.audience.count, site.app.body_bytes) == (0, 0))


class GatedStore(MemoryStore):
    """Stores nothing before it is let; ``error``: and then fails."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.gate = trio.Event()
        self.asked: list[int] = []
        self.error = error

    async def insert(self, new: Sequence[NewJob], **how: Any) -> list[tuple[Job, bool]]:
        self.asked.append(len(new))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return await super().insert(new, **how)


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ref", [0, -1, 2**63 - 1, "", "☃", "x" * 128])
async def test_a_job_is_answered_once_it_is_stored(site: Site, ref: str | int) -> None:
    async with open_submitter(site) as client:
        await client.send({"ref": ref, "type": "a", "payload": {"n": 1}, "labels": {"who": "me"}})
        (answer,) = await client.answers()
        assert list(answer.items())[::2] == [("ref", ref), ("state", "ready")]
        job = (await site.http.get(f"/jobs/{answer['id']}")).json()
        assert (job["type"], job["payload"], job["labels"]) == ("a", {"n": 1}, {"who": "me"})
        assert client.sizes == [None]


async def test_an_array_is_answered_by_arrays_from_then_on(site: Site) -> None:
    async with open_submitter(site) as client:
        await client.send([{"ref": number, "type": "a", "delay": 60 * number} for number in range(3)])
        answers = await client.answers(3)
        assert [answer["ref"] for answer in answers] == [0, 1, 2]
        assert [answer["state"] for answer in answers] == ["ready", "scheduled", "scheduled"]
        await client.send({"ref": "alone", "type": "a"})
        assert (await client.answers())[0]["ref"] == "alone"
        assert client.sizes == [3, 1]


async def test_many_in_flight_are_stored_together_and_answered_together(monkeypatch: pytest.MonkeyPatch) -> None:
    store = GatedStore()
    async with open_site(store=store) as site, open_submitter(site) as client:
        await client.send({"ref": "first", "type": "a"})
        await until(lambda: store.asked)
        for start in range(0, 2_000, 500):
            await client.send([{"ref": start + number, "type": "a"} for number in range(500)])
        await until(lambda: len(site.context.intake._line) == 2_000)
        store.gate.set()
        answers = await client.answers(2_001)
        assert [answer["ref"] for answer in answers] == ["first", *range(2_000)]
        assert store.asked == [1, 1_000, 1_000]
        assert max(size or 0 for size in client.sizes) <= job_frames.MAX_ANSWERS
        assert len(client.sizes) < 10


async def test_refs_are_the_clients_own_and_may_repeat(site: Site) -> None:
    async with open_submitter(site) as client, open_submitter(site) as other:
        await client.send([{"ref": 1, "type": "a"}, {"ref": 1, "type": "b"}])
        await other.send({"ref": 1, "type": "c"})
        assert [answer["ref"] for answer in await client.answers(2)] == [1, 1]
        assert [answer["ref"] for answer in await other.answers()] == [1]


async def test_an_id_that_is_stored_is_replayed_or_another_jobs(site: Site) -> None:
    name = str(uuid.uuid4())
    async with open_submitter(site) as client:
        await client.send([{"ref": ref, "type": ref[0], "id": name} for ref in ("a1", "a2", "b")])
        one, two, three = await client.answers(3)
        assert one == {"ref": "a1", "id": name, "state": "ready"}
        assert two == {"ref": "a2", "id": name, "state": "ready", "replayed": True}
        assert (three["ref"], three["error"]["code"], three["error"]["job_id"]) == ("b", "duplicate_job", name)


async def test_what_is_wrong_with_one_job_is_told_under_its_ref(site: Site) -> None:
    async with open_submitter(site) as client:
        await client.send([{"ref": "bad", "typ": "a", "delay": -1}, {"ref": "good", "type": "a"}])
        answers = {answer["ref"]: answer for answer in await client.answers(2)}
        assert [fault["pointer"] for fault in answers["bad"]["error"]["errors"]] == ["/type", "/typ", "/delay"]
        assert "id" in answers["good"]


@pytest.mark.parametrize(
    ("said", "ref", "code", "pointer"),
    [
        (b"", None, "invalid_json", ""),
        (b"{", None, "invalid_json", ""),
        (b"7", None, "invalid_request", ""),
        (b"[]", None, "invalid_request", ""),
        (b'[{"ref":1,"type":"a"}', None, "invalid_json", ""),
        (b"[1]", None, "invalid_request", ""),
        (b"[" * 100_000, None, "too_deep", None),
        (b'{"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":null,"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":true,"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":1.5,"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":[],"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":9223372036854775808,"type":"a"}', None, "invalid_request", "/ref"),
        (b'{"ref":"%b","type":"a"}' % (b"x" * 129), None, "invalid_request", "/ref"),
        (b'{"ref":1,"type":"a","payload":{"k":1,"k":2}}', 1, "duplicate_key", "/payload/k"),
        (b'{"ref":1,"ref":2,"type":"a"}', 2, "duplicate_key", "/ref"),
        (b'{"ref":1,"type":"a","payload":NaN}', None, "invalid_json", "/payload"),
        (b'{"ref":1,"type":"a","payload":%b}' % (b"[" * 70 + b"]" * 70), 1, "too_deep", None),
        (b'{"ref":1,"type":"\\ud800"}', None, "invalid_json", "/type"),
        (b"[%b]" % b",".join([b'{"ref":1,"type":"a"}'] * 1001), None, "invalid_request", ""),
    ],
)
async def test_what_cannot_be_read_is_told_and_the_connection_goes_on(
    site: Site, said: bytes, ref: int | None, code: str, pointer: str | None
) -> None:
    async with open_submitter(site) as client:
        await client.send(said)
        (answer,) = await client.answers()
        assert (answer["ref"], answer["error"]["code"]) == (ref, code), answer
        if pointer is not None:
            assert answer["error"]["errors"][0]["pointer"] == pointer
        await client.send({"ref": "next", "type": "a"})
        assert (await client.answers())[0]["ref"] == "next"
        assert len(await site.rows()) == 1


async def test_a_job_may_be_as_large_as_by_itself() -> None:
    async with open_site(max_body=5_000) as site, open_submitter(site) as client:
        room = 5_000 - len(json.dumps({"ref": 1, "type": "a", "payload": ""}))
        for size, stored in ((room, True), (room + 1, False)):
            for said in (
                {"ref": 1, "type": "a", "payload": "x" * size},
                [{"ref": 1, "type": "a", "payload": "x" * size}],
            ):
                await client.send(said)
                (answer,) = await client.answers()
                assert answer["ref"] == 1
                assert ("id" in answer) == stored
                assert stored or answer["error"]["code"] == "body_too_large"


# -- who may submit ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [b"", b"Authorization: Bearer wrong\r\n"])
async def test_without_the_token_it_ends_with_4401(given: bytes) -> None:
    async with open_site(token="s3cret") as site:
        async with open_submitter(site, headers=given) as client:
            await client.send({"ref": 1, "type": "a"})
            (answer,), close = await client.end()
            assert (answer["ref"], answer["error"]["code"]) == (None, "unauthenticated")
            assert close == (4401, "unauthenticated")
        await nobody_is_left(site)
        assert await site.rows() == []


async def test_with_the_token_it_begins() -> None:
    given = b"Authorization: Bearer s3cret\r\n"
    async with open_site(token="s3cret") as site, open_submitter(site, headers=given) as client:
        await client.send({"ref": 1, "type": "a"})
        assert "id" in (await client.answers())[0]


@pytest.mark.parametrize("header", [b"Origin: https://evil.example\r\n", b"Sec-Fetch-Site: cross-site\r\n"])
async def test_a_page_of_another_site_submits_nothing(site: Site, header: bytes) -> None:
    async with await connect(site.port) as stream:
        await stream.send_all(upgrade("localhost", PATH)[:-2] + header + b"\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 403 ")


async def test_it_has_no_parameters(site: Site) -> None:
    async with open_submitter(site, PATH + "?atomic=true") as client:
        (answer,), close = await client.end()
        assert (answer["error"]["errors"][0]["pointer"], close) == ("/atomic", (4400, "invalid_parameter"))


async def test_without_upgrade_it_is_426(site: Site) -> None:
    answer = await site.http.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def test_streams_have_their_places_among_the_listeners(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "MAX_LISTENERS", 1)
    async with open_site() as site, open_submitter(site) as one:
        await one.send({"ref": 1, "type": "a"})
        await one.answers()
        async with open_submitter(site) as two:
            (answer,), close = await two.end()
            assert (answer["error"]["code"], close) == ("too_many_listeners", (1013, "too_many_listeners"))


# -- bounds -----------------------------------------------------------------------------------------------------------


async def test_with_much_unanswered_nothing_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_stream, "MAX_UNANSWERED", 50)
    store = GatedStore()
    async with open_site(store=store) as site, open_submitter(site) as client:
        sent = 0
        with trio.move_on_after(1):  # the kernel's buffers are full before
            while True:
                await client.send([{"ref": sent + n, "type": "a", "payload": "x" * 20_000} for n in range(25)])
                sent += 25
        assert sent > 50, "the kernel takes more than that"
        assert 1 <= sum(store.asked) + len(site.context.intake._line) <= 50
        assert site.app.body_bytes < 2_000_000


async def test_with_many_bytes_unanswered_nothing_more_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_stream, "MAX_UNANSWERED_BYTES", 100_000)
    store = GatedStore()
    async with open_site(store=store) as site, open_submitter(site) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.send, [{"ref": n, "type": "a", "payload": "x" * 9_000} for n in range(100)])
        await until(lambda: store.asked)
        await client.stream.send_all(to_send(PING, b"?"))
        assert sum(store.asked) + len(site.context.intake._line) == 100  # a frame is taken whole
        nursery.start_soon(client.send, [{"ref": n, "type": "a", "payload": "x" * 9_000} for n in range(100)])
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert sum(store.asked) + len(site.context.intake._line) == 100
        store.gate.set()
        assert len(await client.answers(200)) == 200


async def test_bytes_of_all_streams_and_bodies_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 100_000)
    async with open_site() as site, open_submitter(site) as client:
        await client.send({"ref": 1, "type": "a", "payload": "x" * 100_000})
        (answer,) = await client.answers()
        assert (answer["ref"], answer["error"]["code"], answer["error"]["retry_after"]) == (None, "overloaded", 1)
        await client.send({"ref": 2, "type": "a", "payload": "x" * 10_000})
        assert "id" in (await client.answers())[0]
        await nobody_holds(site)


async def nobody_holds(site: Site) -> None:
    await until(lambda: site.app.body_bytes == 0)


async def test_who_waits_for_the_line_is_taken_when_it_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "MAX_WAITING", 10)
    store = GatedStore()
    async with open_site(store=store) as site, open_submitter(site) as client, open_submitter(site) as other:
        await client.send({"ref": "first", "type": "a"})
        await until(lambda: store.asked)
        await client.send([{"ref": n, "type": "a"} for n in range(10)])
        await until(lambda: len(site.context.intake._line) == 10)
        await other.send([{"ref": n, "type": "b"} for n in range(10)])
        await trio.testing.wait_all_tasks_blocked(0.05)
        store.gate.set()
        assert len(await client.answers(11)) == 11
        assert all("id" in answer for answer in await other.answers(10))


# -- when it cannot be stored -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [False, True])
async def test_a_store_that_is_away_is_told_job_by_job(unknown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    store = GatedStore(StoreUnavailable("gone", outcome_unknown=unknown))
    store.gate.set()
    async with open_site(store=store) as site, open_submitter(site) as client:
        names = [str(uuid.uuid4()) for _ in range(3)]
        await client.send([{"ref": name, "type": "a", "id": name} for name in names])
        answers = await client.answers(3)
        assert [answer["ref"] for answer in answers] == [answer["error"]["job_id"] for answer in answers] == names
        assert {(answer["error"]["status"], answer["error"]["outcome_unknown"]) for answer in answers} == {
            (503, unknown)
        }
        assert answers[0]["error"]["retry_after"] == 2
    assert capsys.readouterr().out.count("http.store_unavailable") == 1


async def test_an_intake_that_has_stopped_is_told(site: Site) -> None:
    site.context.intake.close()
    async with open_submitter(site) as client:
        await client.send({"ref": 1, "type": "a"})
        assert (await client.answers())[0]["error"]["code"] == "overloaded"


# -- the end ----------------------------------------------------------------------------------------------------------


async def test_at_a_stop_what_was_taken_is_answered_first() -> None:
    store = GatedStore()
    async with open_site(store=store) as site, open_submitter(site) as client, open_submitter(site) as idle:
        await client.send([{"ref": n, "type": "a"} for n in range(300)])
        await until(lambda: store.asked)
        await client.send([{"ref": n, "type": "a"} for n in range(300, 600)])
        await until(lambda: len(site.context.intake._line) == 300)
        site.context.stopping.set()
        site.shutdown.set()
        assert await idle.end() == ([], (1001, "stopping"))
        await client.send({"ref": "late", "type": "a"})
        store.gate.set()
        answers, close = await client.end()
        assert [answer["ref"] for answer in answers] == list(range(600))
        assert all("id" in answer for answer in answers)
        assert close == (1001, "stopping")
        assert len((await store.list_jobs(Filter(), limit=1000)).jobs) == 600


@pytest.mark.parametrize("way", ["close", "half", "reset"])
async def test_what_a_client_that_goes_has_sent_is_stored(way: str) -> None:
    store = GatedStore()
    async with open_site(store=store) as site:
        async with open_submitter(site) as client:
            await client.send([{"ref": n, "type": "a"} for n in range(10)])
            await until(lambda: store.asked)
            if way == "close":
                await client.stream.send_all(to_send(CLOSE, (1000).to_bytes(2, "big")))
            elif way == "half":
                await client.stream.send_eof()
            else:
                reset_on_close(client.stream)
        store.gate.set()
        await nobody_is_left(site)
        await until(lambda: len(store._jobs) == 10)


async def test_jobs_before_a_close_count() -> None:
    store = GatedStore()
    async with open_site(store=store) as site:
        async with open_submitter(site) as first, open_submitter(site) as client:
            await first.send({"ref": 1, "type": "a"})
            await until(lambda: store.asked)
            job = to_send(TEXT, b'{"ref":1,"type":"a"}')
            await client.stream.send_all(job + job + to_send(CLOSE, (1000).to_bytes(2, "big")))
            assert await client.end() == ([], (1000, ""))
        await nobody_is_left(site)
        store.gate.set()
        await until(lambda: len(store._jobs) == 3)


async def test_who_does_not_read_its_answers_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from tickr.api import protocol

    monkeypatch.setattr(protocol, "SEND_WITHIN_S", 0.3)
    async with open_site() as site, open_submitter(site, receive_buffer=4096) as client:
        bad = to_send(TEXT, b"[%b]" % b",".join([b"{}"] * 1000))  # short to say, long to answer

        async def flood() -> None:
            while True:
                await client.stream.send_all(bad)

        with pytest.raises(trio.BrokenResourceError):
            await flood()
        await nobody_is_left(site)


async def test_a_ping_comes_when_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_stream, "PING_EVERY_S", 0.05)
    async with open_site() as site, open_submitter(site) as client:
        for _ in range(2):
            frame = await client.frame()
            assert frame is not None
            assert (frame.opcode, frame.payload) == (PING, b"")
        await client.stream.send_all(to_send(PONG))
        await client.stream.send_all(to_send(PING, b"you?"))
        while (frame := await client.frame()) is not None and frame.opcode == PING:
            pass
        assert frame is not None
        assert (frame.opcode, frame.payload) == (PONG, b"you?")
