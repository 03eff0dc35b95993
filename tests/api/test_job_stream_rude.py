"""What hostile clients of ``GET /jobs/stream`` say: nobody else is held up, nothing is kept, and good jobs get in."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
import trio

from tests.api.site import LONG_S, Site, open_site
from tests.api.submitting import Submitter, open_submitter
from tests.feed_clients import reset_on_close
from tests.waiting import eventually
from tests.websocket_frames import BINARY, CLOSE, PING, TEXT, to_send
from tickr.api import connection, messages

CONTINUED = 0
MEBI = 1024 * 1024


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """No line for each of thousands of jobs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    yield
    structlog.reset_defaults()


async def nothing_is_kept(site: Site) -> None:
    async def gone() -> bool:
        return (site.app.audience.count, site.app.body_bytes, len(site.context.intake._line)) == (0, 0, 0)

    await eventually(gone)


async def goes_on(client: Submitter) -> list[dict[str, Any]]:
    """Submit a good job, and return what came before its answer."""
    await client.send({"ref": "good", "type": "a"})
    before: list[dict[str, Any]] = []
    while True:
        for answer in await client.answers():
            if answer["ref"] == "good":
                assert "id" in answer, answer
                return before
            before.append(answer)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 300_000])
async def test_binary_frames_are_refused_and_not_kept(site: Site, size: int) -> None:
    async with open_submitter(site) as client:
        await client.stream.send_all(to_send(BINARY, b"\xff" * size))
        (answer,) = await goes_on(client)
        assert (answer["ref"], answer["error"]["code"]) == (None, "binary_frame")
    await nothing_is_kept(site)


@pytest.mark.parametrize("pieces", [2, 3, 100, 5_000])
async def test_a_message_may_come_in_fragments(site: Site, pieces: int) -> None:
    text = json.dumps({"ref": "☃", "type": "a", "payload": "☃" * 5_000}, ensure_ascii=False).encode()
    step = -(-len(text) // pieces)
    parts = [text[start : start + step] for start in range(0, len(text), step)]
    frames = [to_send(TEXT if n == 0 else CONTINUED, part, last=n == len(parts) - 1) for n, part in enumerate(parts)]
    async with open_submitter(site) as client:
        frames.insert(1, to_send(PING, b"between"))
        await client.stream.send_all(b"".join(frames))
        frame = await client.frame()
        assert frame is not None
        assert frame.payload == b"between"
        (answer,) = await client.answers()
        assert answer["ref"] == "☃"
    (job,) = await site.rows()
    assert json.loads(job.payload) == "☃" * 5_000


async def test_a_message_is_16_mib_at_most(site: Site) -> None:
    job = b'{"ref":1,"type":"a"}'
    room = messages.MAX_MESSAGE_BYTES - len(job) - 2
    async with open_submitter(site) as client:
        for blanks, code in ((room, None), (room + 1, "frame_too_large")):
            await client.send(b"[%b%b]" % (b" " * blanks, job))
            (answer,) = await client.answers()
            assert answer.get("error", {"code": None})["code"] == code
        assert await goes_on(client) == []
    await nothing_is_kept(site)


async def test_a_message_without_end_is_dropped_as_it_comes(site: Site) -> None:
    async with open_submitter(site) as client:
        piece = b'"' + b"x" * (MEBI - 1)
        await client.stream.send_all(to_send(TEXT, piece, last=False))
        for _ in range(20):
            await client.stream.send_all(to_send(CONTINUED, piece, last=False))
            assert site.app.body_bytes <= messages.MAX_MESSAGE_BYTES
        await client.stream.send_all(to_send(CONTINUED, b"", last=True))
        (answer,) = await goes_on(client)
        assert answer["error"]["code"] == "frame_too_large"
        await client.stream.send_all(to_send(TEXT, piece, last=False))
        await eventually(lambda: _holds(site, MEBI))
    await nothing_is_kept(site)


async def test_a_message_that_takes_long_is_given_up_for_others(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 200_000)
    async with open_submitter(site) as slow, open_submitter(site) as other:
        await slow.stream.send_all(to_send(TEXT, b" " * 199_000, last=False))
        await eventually(lambda: _holds(site, 199_000))
        job = {"ref": 1, "type": "a", "payload": "x" * 2_000}
        await other.send(job)
        assert (await other.answers())[0]["error"]["code"] == "overloaded"
        monkeypatch.setattr(connection, "BODY_PATIENCE_S", 0.0)
        await other.send(job)
        assert "id" in (await other.answers())[0]
        await slow.stream.send_all(to_send(CONTINUED, b"{}"))
        (answer,) = await goes_on(slow)
        assert (answer["ref"], answer["error"]["code"]) == (None, "body_timeout")
        assert not site.app.half_said
        await slow.stream.send_all(to_send(TEXT, b" " * 100_000, last=False))
        await eventually(lambda: _holds(site, 100_000))
        assert site.app.half_said
    await nothing_is_kept(site)
    assert not site.app.half_said


async def _holds(site: Site, size: int) -> bool:
    return site.app.body_bytes == size


@pytest.mark.parametrize("what", [b'[{"a":', b"[[", b'[{"type":1},', b"[1,", b'{"a":{', b"[{},"])
async def test_large_nonsense_is_refused_in_a_moment(site: Site, what: bytes) -> None:
    async with open_submitter(site) as client:
        await client.send(what * (8 * MEBI // len(what)))
        (answer,) = await goes_on(client)
        assert answer["error"]["status"] in (400, 413, 422)
    await nothing_is_kept(site)


@pytest.mark.parametrize("way", ["frames", "fragments"])
async def test_very_many_tiny_frames_hold_up_nobody_else(site: Site, way: str) -> None:
    count = 20_000 if way == "frames" else 100_000
    one = to_send(TEXT) if way == "frames" else to_send(CONTINUED, b" ", last=False)
    start, end = (b"", b"") if way == "frames" else (to_send(TEXT, b" ", last=False), to_send(CONTINUED, b"{}"))
    longest = 0.0
    async with open_submitter(site) as client, trio.open_nursery() as nursery:

        async def others_are_answered() -> None:
            nonlocal longest
            while True:
                began = trio.current_time()
                assert (await site.http.get("/livez")).status_code == 200
                longest = max(longest, trio.current_time() - began)

        nursery.start_soon(others_are_answered)
        nursery.start_soon(client.stream.send_all, start + one * count + end)
        answers = await client.answers(count if way == "frames" else 1)
        assert {answer["ref"] for answer in answers} == {None}
        assert await goes_on(client) == []
        nursery.cancel_scope.cancel()
    assert longest < LONG_S / 4
    await nothing_is_kept(site)


@pytest.mark.parametrize(
    "said", [b"\x85\x80\0\0\0\0", b"\xc1\x80\0\0\0\0", b"\x01\x00", b"\x81\x81\0\0\0\0\xff", b"\x80\x80\0\0\0\0"]
)
async def test_what_is_no_websocket_ends_the_connection_alone(site: Site, said: bytes) -> None:
    async with open_submitter(site) as client, open_submitter(site) as bystander:
        await client.stream.send_all(to_send(TEXT, b'{"ref":1,"type":"a"}') + said)
        answers, close = await client.end()
        assert close is None or close[0] in (1002, 1007)
        assert len(answers) <= 1
        assert await goes_on(bystander) == []
    await nothing_is_kept(site)


def hostile(chance: random.Random) -> Iterator[bytes]:
    """Yield frames of one client, of which some are good."""
    good = b'{"ref":%d,"type":"a","payload":%b}'
    texts = [
        lambda: good % (chance.randrange(9), b'"%b"' % (b"x" * chance.randrange(3_000))),
        lambda: b"[%b]" % b",".join(good % (n, b"null") for n in range(chance.randrange(40))),
        lambda: good % (1, b"[" * chance.randrange(90) + b"]" * 60),
        lambda: bytes(chance.choices(b'{}[]",:1ref\\u', k=chance.randrange(60))),
        lambda: json.dumps({"ref": chance.choice([None, [], {}, 1.5, "x" * 200, 1]), "type": "a"}).encode(),
        lambda: b'{"ref":1,"type":"a","id":"%b"}' % chance.choice([b"no", b"01a1fff2-532a-71c0-ae78-29a9fb1ddb3b"]),
    ]
    for _ in range(chance.randrange(1, 60)):
        text = chance.choice(texts)()
        kind = chance.random()
        if kind < 0.1:
            yield to_send(BINARY, text)
        elif kind < 0.2:
            yield to_send(PING, text[:100])
        elif kind < 0.4 and len(text) > 2:
            cut = chance.randrange(len(text))
            yield to_send(TEXT, text[:cut], last=False) + to_send(CONTINUED, text[cut:])
        else:
            yield to_send(TEXT, text)


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_is_said_good_jobs_get_in(seed: int) -> None:
    chance = random.Random(seed)
    async with open_site() as site:
        for _ in range(6):
            async with open_submitter(site) as client:
                said = b"".join(hostile(chance))
                way = chance.choice(["on", "cut", "close"])
                if way == "cut":
                    await client.stream.send_all(said[: chance.randrange(len(said))])
                    reset_on_close(client.stream)
                    continue
                await client.stream.send_all(said)
                if way == "close":
                    await client.stream.send_all(to_send(CLOSE, b"\x03\xe8"))
                    await client.end()
                else:
                    for answer in await goes_on(client):
                        assert set(answer) in (
                            {"ref", "id", "state"},
                            {"ref", "id", "state", "replayed"},
                            {"ref", "error"},
                        )
                        if "error" in answer:
                            assert 400 <= answer["error"]["status"] < 500
        await nothing_is_kept(site)
