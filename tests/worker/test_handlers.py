"""The registry, what it refuses, and how a payload becomes arguments."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tests.worker.attempts import claimed
from tickr import retry
from tickr.api import submission
from tickr.api.problems import Problem
from tickr.jobs import MAX_ATTEMPTS, MAX_TIMEOUT_S
from tickr.worker.arguments import BadPayload
from tickr.worker.endings import GiveUp, RetryLater, Snooze
from tickr.worker.handlers import Jobs
from tickr.worker.view import Job


class Unknown:
    """A type that no JSON can be made into."""


class Point(msgspec.Struct):
    x: int
    y: int = 0


@dataclasses.dataclass
class Size:
    width: int


def at_top(n: int) -> int:
    return n


def bind(function: Callable[..., Any], payload: str) -> dict[str, Any]:
    jobs = Jobs()
    assert jobs.handler("t")(function) is function
    handler = jobs.get("t")
    assert handler is not None
    return handler.arguments.bind(payload)


def takes(url: str, width: int = 200) -> None: ...


def takes_job(job: Job, url: str) -> None: ...


def takes_other_name(me: Job) -> None: ...


def takes_unannotated(job, url, count=1): ...  # type: ignore[no-untyped-def]


def takes_keyword_only(*, url: str) -> None: ...


def takes_from(from_: str) -> None: ...


def takes_rest(url: str, **rest: int) -> None: ...


def takes_types(when: datetime, where: Point, size: Size | None = None, tags: list[str] = ["a"]) -> None: ...  # noqa: B006


def takes_nothing() -> None: ...


@pytest.mark.parametrize(
    ("function", "payload", "expected"),
    [
        (takes, '{"url": "u"}', {"url": "u"}),
        (takes, '{"url": "u", "width": 5}', {"url": "u", "width": 5}),
        (takes_job, '{"url": "u"}', {"url": "u"}),
        (takes_unannotated, '{"url": [1], "count": null}', {"url": [1], "count": None}),
        (takes_keyword_only, '{"url": "u"}', {"url": "u"}),
        (takes_from, '{"from": "me"}', {"from_": "me"}),
        (takes_rest, '{"url": "u", "a": 1, "b": 2}', {"url": "u", "a": 1, "b": 2}),
        (
            takes_types,
            '{"when": "2026-01-02T03:04:05Z", "where": {"x": 1}, "size": {"width": 3}}',
            {"when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "where": Point(1), "size": Size(3)},
        ),
        (takes_nothing, "{}", {}),
        # A handler that takes the job alone reads its payload itself, whatever it is.
        (takes_other_name, "[1, 2]", {}),
        (takes_other_name, '{"any": "key"}', {}),
    ],
)
def test_payload_keys_become_arguments(function: Callable[..., Any], payload: str, expected: dict[str, Any]) -> None:
    assert bind(function, payload) == expected


@pytest.mark.parametrize(
    ("function", "payload", "said"),
    [
        (takes, "{}", "url"),
        (takes, '{"url": 5}', "$.url"),
        (takes, '{"url": "u", "width": "5"}', "$.width"),
        (takes, '{"url": "u", "colour": "red"}', "colour"),
        (takes, '{"url": "u", "width": null}', "$.width"),
        (takes, "[]", "object"),
        (takes, "null", "object"),
        (takes_nothing, '{"a": 1}', "a"),
        (takes_from, '{"from_": "me"}', "from"),
        (takes_rest, '{"url": "u", "a": "x"}', "$.a"),
        (takes_unannotated, '{"job": 1, "url": 1}', "job"),
        (takes_types, '{"when": "yesterday", "where": {"x": 1}}', "$.when"),
        (takes_types, '{"when": "2026-01-02T03:04:05Z", "where": {"x": "1"}}', "$.where.x"),
    ],
)
def test_payload_that_does_not_fit_is_named(function: Callable[..., Any], payload: str, said: str) -> None:
    with pytest.raises(BadPayload) as caught:
        bind(function, payload)
    assert said in str(caught.value)


def test_rest_cannot_take_the_handlers_own_names() -> None:
    def handler(job: Job, from_: str = "", **rest: Any) -> None: ...

    for payload in ('{"job": 1}', '{"from_": "x"}'):
        with pytest.raises(BadPayload, match="own"):
            bind(handler, payload)


def test_deep_payload_is_a_bad_payload() -> None:
    def handler(tree: Any) -> None: ...

    with pytest.raises(BadPayload):
        bind(handler, '{"tree": ' + "[" * 50_000 + "]" * 50_000 + "}")


def positional_only(a: int, /) -> None: ...
def star_args(*a: int) -> None: ...
def unknown_type(a: Unknown) -> None: ...
def unknown_inside(a: dict[str, list[Unknown]]) -> None: ...
def impossible_union(a: list[int] | set[int]) -> None: ...
def job_of_other_type(job: int) -> None: ...
def job_behind(a: int, me: Job) -> None: ...
def unresolved(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
async def is_async() -> None: ...
async def generates() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "options", "said"),
    [
        (positional_only, {}, "`a`"),
        (star_args, {}, "`a`"),
        (unknown_type, {}, "`a`"),
        (unknown_inside, {}, "`a`"),
        (impossible_union, {}, "`a`"),
        (job_of_other_type, {}, "`job`"),
        (job_behind, {}, "first"),
        (unresolved, {}, "Nowhere"),
        (generates, {}, "generator"),
        (is_async, {"run_in": "thread"}, "async"),
        (is_async, {"run_in": "process"}, "async"),
        (at_top, {"run_in": "cloud"}, "cloud"),
        (lambda: None, {"run_in": "process"}, "module"),
        ("no function", {}, "called"),
        (at_top, {"backoff": 10}, "backoff takes"),
        (at_top, {"give_up_on": (ValueError, "KeyError")}, "exception classes"),
        (at_top, {"give_up_on": (KeyboardInterrupt,)}, "exception classes"),
    ],
)
def test_what_could_never_run_is_refused_when_registered(function: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(TypeError, match="handler 't'") as caught:
        Jobs().handler("t", **options)(function)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("type", "options"),
    [
        ("", {}),
        ("a b", {}),
        ("-a", {}),
        ("a" * 129, {}),
        ("a\n", {}),
        ("t", {"timeout": 0}),
        ("t", {"timeout": float("nan")}),
        ("t", {"timeout": 30 * 86_400 + 1}),
        ("t", {"timeout": "30"}),
        ("t", {"max_attempts": 0}),
        ("t", {"max_attempts": 1_000_001}),
        ("t", {"max_attempts": 2.5}),
        ("t", {"max_attempts": True}),
        ("t", {"backoff": retry.Backoff(factor=0.5)}),
    ],
)
def test_bad_names_and_numbers_are_refused(type: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Jobs().handler(type, **options)(at_top)


def test_a_decorator_without_parentheses_says_what_to_write() -> None:
    with pytest.raises(TypeError, match=r'write @jobs\.handler\("at_top"\)'):
        Jobs().handler(at_top)  # type: ignore[call-overload, arg-type, unused-ignore]


def test_what_a_submission_may_say_a_handler_may_too() -> None:
    jobs = Jobs()
    jobs.handler("t", timeout=MAX_TIMEOUT_S, max_attempts=MAX_ATTEMPTS)(at_top)
    handler = jobs.get("t")
    assert handler is not None
    for field, most in (("timeout", handler.timeout), ("max_attempts", handler.max_attempts)):
        body = b'{"type":"t","%s":%d}'
        assert most is not None
        submission.read(body % (field.encode(), most), now=0, defaults=jobs.get)
        with pytest.raises(Problem):
            submission.read(body % (field.encode(), most + 1), now=0, defaults=jobs.get)


def test_a_type_has_one_handler() -> None:
    jobs, other = Jobs(), Jobs()
    jobs.handler("a")(at_top)
    with pytest.raises(ValueError, match="'a' already has"):
        jobs.handler("a")(takes)
    other.handler("b")(takes)
    other.handler("a")(takes)
    with pytest.raises(ValueError, match="'a' already has"):
        jobs.include(other)
    assert list(jobs) == ["a"], "nothing was taken over"


def test_one_function_may_run_jobs_of_two_types() -> None:
    jobs = Jobs()
    jobs.handler("new-name", timeout=2)(jobs.handler("old-name", timeout=1)(at_top))
    old, new = jobs.get("old-name"), jobs.get("new-name")
    assert old
    assert new
    assert (old.function, new.function, old.timeout, new.timeout) == (at_top, at_top, 1, 2)


def test_a_handler_stays_the_function_that_it_was() -> None:
    jobs = Jobs()

    @jobs.handler("double")
    def double(n: int) -> int:
        return 2 * n

    assert double(21) == 42


def test_registries_merge() -> None:
    jobs, other = Jobs(), Jobs()
    jobs.handler("b/c:d.e-f_g")(at_top)
    other.handler("a", timeout=3, max_attempts=7, backoff=retry.Backoff(kind="constant"))(takes)
    jobs.include(other)
    assert list(jobs) == ["a", "b/c:d.e-f_g"]
    assert jobs.types == {"a", "b/c:d.e-f_g"}
    assert len(jobs) == 2
    assert "a" in jobs
    assert jobs.get("nothing") is None
    handler = jobs.get("a")
    assert handler is not None
    assert (handler.timeout, handler.max_attempts, handler.backoff) == (3, 7, retry.Backoff(kind="constant"))


def test_where_handlers_run() -> None:
    class Callable:
        async def __call__(self, a: int) -> None: ...

    jobs = Jobs()
    jobs.handler("loop")(is_async)
    jobs.handler("callable")(Callable())
    jobs.handler("thread")(at_top)
    jobs.handler("process", run_in="process")(at_top)
    assert {type: jobs.get(type).place for type in jobs} == {  # type: ignore[union-attr]
        "loop": "loop",
        "callable": "loop",
        "thread": "thread",
        "process": "process",
    }


def test_job_view() -> None:
    record = claimed("t", {"a": [1]}, labels='{"team": "x"}', created_at=1_700_000_000_000_001, run_at=1, priority=2)
    job = Job(record)
    for view in (job, pickle.loads(pickle.dumps(job))):
        assert (view.id, view.type, view.queue, view.priority) == (record.id, "t", "default", 2)
        assert (view.attempt, view.max_attempts, view.fence) == (1, 3, 1)
        assert view.payload == {"a": [1]}
        assert view.payload is view.payload
        assert view.labels == {"team": "x"}
        assert view.created_at == datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
        assert view.run_at == datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    assert Job(claimed("t")).labels == {}
    with pytest.raises(AttributeError):
        job.attempt = 5  # type: ignore[misc]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e12])
def test_retry_later_takes_a_sane_delay(seconds: float) -> None:
    with pytest.raises(ValueError):
        RetryLater(seconds)
    with pytest.raises(ValueError):
        Snooze(seconds)


def test_nothing_is_put_off_for_no_time_at_all() -> None:
    with pytest.raises(ValueError, match=r"Snooze takes 0\.1 to "):
        Snooze(0)


def test_what_handlers_raise_says_why() -> None:
    assert str(GiveUp("no such account")) == "no such account"
    assert str(RetryLater(3, "rate limited")) == "rate limited"


def test_where_to_and_for_how_long_is_looked_at_when_it_is_raised() -> None:
    with pytest.raises(ValueError, match="a queue is held up for 2678400 seconds at most"):
        RetryLater(32 * 86_400, hold_queue=True)
    with pytest.raises(ValueError, match="'no queue' is not the name of a queue"):
        RetryLater(1, queue="no queue")
    with pytest.raises(ValueError, match="a whole number from 0 to 9, not 10"):
        Snooze(1, priority=10)
    later = pickle.loads(pickle.dumps(RetryLater(2, "slowly", queue="slow", priority=0, hold_queue=True)))
    assert (later.queue, later.priority, later.hold_us, str(later)) == ("slow", 0, 2_000_000, "slowly")
    assert Snooze(1).hold_us == 0
