"""``tickr top`` counts what comes and ends from the feed, knows its keys by their bytes, and reads filters."""

from __future__ import annotations

import pytest

from tickr.cli.subscription import EventData, EventJob, RemoteEvent
from tickr.cli.top import filters
from tickr.cli.top.keyboard import LONGEST, MAX_PASTE, Keys
from tickr.cli.top.rates import KEPT_EVENTS, MAX_QUEUES, WINDOW_S, Rate, Tally


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def event(what: str, queue: str = "mail", job_id: str = "a") -> RemoteEvent:
    data = EventData(EventJob(job_id, "t", queue, "ready", 1, 0, 3, ""))
    return RemoteEvent(f"{job_id}.1", f"tickr.job.{what}", "2030-01-31T12:00:00Z", data, job_id)


def test_a_rate_is_the_mean_of_the_last_whole_seconds() -> None:
    clock = Clock()
    tally = Tally(clock)
    assert not tally.rates().known, "nobody listens yet"
    tally.begin()
    tally.add(event("created"))
    assert not tally.rates().known, "the first second is not over"
    for _ in range(4):
        clock.now += 1
        for what, often in (("created", 3), ("succeeded", 2), ("failed", 1), ("started", 9), ("progress", 9)):
            for _ in range(often):
                tally.add(event(what))
        tally.add(event("redriven", "other"))
    clock.now += 1
    tally.add(event("created"))  # in a second that is not over
    rates = tally.rates()
    assert rates.of("mail") == Rate((1 + 4 * 3) / 5, 4 * 3 / 5)
    assert rates.of("other") == Rate(4 / 5, 0)
    assert rates.all == Rate((1 + 4 * 4) / 5, 4 * 3 / 5)
    assert rates.of("unknown") == Rate()
    clock.now += WINDOW_S + 1
    assert tally.rates().all == Rate(0, 0)


def test_after_a_gap_counting_begins_anew() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.begin()
    tally.add(event("created"))
    clock.now += 2
    assert tally.rates().all.into == 0.5
    tally.end()
    assert not tally.rates().known
    tally.begin()
    clock.now += 1
    assert tally.rates().all == Rate()


def test_however_many_queues_and_events_there_are_little_is_kept() -> None:
    clock = Clock()
    tally = Tally(clock)
    tally.begin()
    tally.watched = "a"
    for number in range(MAX_QUEUES + 500):
        tally.add(event("created", f"q{number}"))
    clock.now += 1
    assert len(tally.rates().queues) == MAX_QUEUES
    assert tally.rates().all.into == MAX_QUEUES + 500
    assert len(tally.events()) == KEPT_EVENTS
    assert tally.events() == []


def test_only_the_watched_job_has_its_events_kept() -> None:
    tally = Tally()
    tally.watched = "b"
    for job_id in "abc":
        tally.add(event("progress", job_id=job_id))
    assert [event.subject for event in tally.events()] == ["b"]


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "names"),
    [
        (b"q", ["q"]),
        (b"jk /", ["j", "k", "space", "/"]),
        (b"\x1b[A\x1b[B\x1bOA\x1bOB", ["up", "down", "up", "down"]),
        (b"\x1b[5~\x1b[6~\x1b[H\x1b[4~\x1b[1~\x1b[F", ["pgup", "pgdn", "home", "end", "home", "end"]),
        (b"\x1b[1;5A\x1b[6;2~", ["up", "pgdn"]),
        (b"\r\n\t\x1b[Z\x7f\x08\x15", ["enter", "enter", "tab", "shift-tab", "backspace", "backspace", "ctrl-u"]),
        ("ü→".encode(), ["ü", "→"]),
        (b"\x1b\x1b[A", ["esc", "up"]),
        (b"\x1bx", ["esc", "x"]),
        (b"\x1b[?1;2c\x1b[I\x00\x01\xff", ["�"]),
        (b"\x1b[200~dy\r q\x1b[201~j", ["pasted dy q", "j"]),
        (b"jjj", ["j", "j", "j"]),
    ],
)
def test_keys_are_known_by_their_bytes_however_they_are_cut(sent: bytes, names: list[str]) -> None:
    if b"\x1b" in sent or len(names) == 1:
        assert Keys().feed(sent) == names
    keys = Keys()
    assert [name for byte in sent for name in keys.feed(bytes([byte]))] == names
    assert not keys.pending


def test_many_signs_at_once_are_a_paste_and_so_is_what_follows_within_a_moment() -> None:
    keys = Keys()
    assert keys.feed(b"dy") == ["pasted dy"]
    assert keys.pending
    assert keys.feed(b"d") == ["pasted d"]
    assert keys.rest() == []
    assert keys.feed(b"d") == ["d"]
    assert not keys.pending


def test_a_paste_without_end_is_bounded_and_ends_with_silence() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b[200~") == []
    for _ in range(100):
        assert keys.feed(b"dy" * 500) == []
    assert len(keys._pasted or "") < 2 * MAX_PASTE
    assert keys.rest() == ["pasted " + "dy" * (MAX_PASTE // 2)]
    assert keys.feed(b"q") == ["q"]


def test_escape_alone_is_known_when_nothing_follows() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.pending
    assert keys.rest() == ["esc"]
    assert not keys.pending
    assert keys.feed(b"\x1b[1;") == []
    assert keys.rest() == []
    assert keys.feed(b"q") == ["q"]


def test_a_sequence_without_end_is_not_waited_for() -> None:
    keys = Keys()
    assert keys.feed(b"\x1b[" + b"1" * LONGEST)[0] == "esc"
    assert not keys.pending


# -- filters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("", {}),
        ("  ", {}),
        ("late fee", {"payload~": ["late fee"]}),
        ("type=report type=mail queue=a", {"type": ["report", "mail"], "queue": ["a"]}),
        ("label=customer=42 label=x", {"label": ["customer=42", "x"]}),
        ("payload.order.id=7 late fee", {"payload.order.id": ["7"], "payload~": ["late fee"]}),
        ("late state=failed fee", {"state": ["failed"], "payload~": ["late fee"]}),
        ("a=b limit=5 cursor=x", {"payload~": ["a=b limit=5 cursor=x"]}),
    ],
)  # fmt: skip
def test_a_filter_of_jobs_is_in_the_words_of_the_api(text: str, query: dict[str, list[str]]) -> None:
    assert filters.query(text) == query
