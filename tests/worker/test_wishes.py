"""Unique keys by payload, and what of a handler's wishes is refused when it is registered."""

from __future__ import annotations

from typing import Any

import pytest

import tickr
from tickr.keys import MAX_KEY_LENGTH
from tickr.worker.handlers import Jobs
from tickr.worker.wishes import Unique


async def handler(**_: Any) -> None: ...


@pytest.mark.parametrize(
    ("by", "payload", "key"),
    [
        ((), '{"a":1}', "t"),
        ((), "[]", "t"),
        (None, '{"b": 2,\n "a": 1}', 't:{"a":1,"b":2}'),
        (None, "{}", "t:{}"),
        (None, "[1, 2]", "t:[1,2]"),
        (("a",), '{"b": 2, "a": "x"}', 't:{"a":"x"}'),
        (("a",), '{"b": 2}', 't:{"a":null}'),
        (("b", "a"), '{"a": {"z": 1, "y": 2}, "b": 2}', 't:{"a":{"y":2,"z":1},"b":2}'),
        (("a",), '"text"', 't:"text"'),
    ],
)
def test_a_key_is_the_type_and_what_counts_of_the_payload(by: tuple[str, ...] | None, payload: str, key: str) -> None:
    assert Unique(by=by).key_of("t", payload) == key


def test_a_long_key_is_made_into_a_hash_of_its_own() -> None:
    unique = Unique(by=("a",))
    keys = [unique.key_of("t", f'{{"a": "{"x" * length}"}}') for length in (200, 300, 301)]
    assert [key.startswith("t#") for key in keys] == [False, True, True]
    assert len(set(keys)) == 3
    assert all(len(unique.key_of("t" * 128, f'{{"a": "{"x" * n}"}}')) <= MAX_KEY_LENGTH for n in range(90, 140))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"by": ["a"]}, TypeError, "by as a tuple of payload keys"),
        ({"by": "a"}, TypeError, "by as a tuple of payload keys"),
        ({"by": (1,)}, TypeError, "by as a tuple of payload keys"),
        ({"until": 0}, ValueError, 'until as "final", "started" or seconds above 0, at most 365 days'),
        ({"until": 366 * 86_400}, ValueError, 'until as "final", "started" or seconds above 0'),
        ({"until": True}, ValueError, 'until as "final", "started" or seconds above 0'),
        ({"until": float("nan")}, ValueError, 'until as "final", "started" or seconds above 0'),
        ({"until": "ended"}, ValueError, 'until as "final", "started" or seconds above 0'),
        ({"on_conflict": "keep"}, ValueError, "on_conflict as one of return, reject, replace"),
    ],
)
def test_what_could_not_be_used_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tickr.Unique(**options)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"queue": "no blanks"}, ValueError, "'no blanks' is not the name of a queue"),
        ({"queue": 5}, ValueError, "5 is not the name of a queue"),
        ({"priority": 10}, ValueError, "priority must be a whole number from 0 to 9"),
        ({"priority": True}, ValueError, "priority must be a whole number from 0 to 9"),
        ({"unique": "customer"}, TypeError, "unique takes a tickr.Unique, not 'customer'"),
    ],
)
def test_a_handler_says_what_is_wrong_with_its_wishes(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"handler 't': {message}"):
        Jobs().handler("t", **options)(handler)
