"""What JSON can say of a program's values, and where the rest is."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from tickr.encoding import MAX_DEPTH, Unencodable, encode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [None, 1.5, "x"]}, b'{"a":[null,1.5,"x"]}'),
        ({"a": msgspec.Raw(b"[null]"), "b": None}, b'{"a":[null],"b":null}'),
        (datetime(2030, 1, 1, tzinfo=UTC), b'"2030-01-01T00:00:00Z"'),
    ],
)
def test_what_json_can_say(value: Any, text: bytes) -> None:
    assert encode(value) == text


def nested(depth: int) -> list[Any]:
    value: list[Any] = [math.nan]
    for _ in range(depth):
        value = [value]
    return value


class Odd:
    pass


@pytest.mark.parametrize(
    ("value", "pointer", "why"),
    [
        (math.nan, "", "is nan"),
        ({"a/b": [1, {"~": math.inf}]}, "/a~1b/1/~0", "is inf"),
        ({"a": msgspec.Raw(b"null"), "b": -math.inf}, "/b", "is -inf"),
        ({"a": "\ud800"}, "/a", "surrogate"),
        ({"a": {"\udfff": 1}}, "/a", "has a key that holds half of a surrogate"),
        ([1, Odd()], "/1", "cannot be written"),
        (nested(MAX_DEPTH + 1), "", "nested deeper"),
    ],
)
def test_what_it_cannot_is_pointed_at(value: Any, pointer: str, why: str) -> None:
    with pytest.raises(Unencodable) as caught:
        encode(value)
    assert caught.value.pointer == pointer
    assert why in caught.value.detail


def test_a_value_that_holds_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(Unencodable, match="holds itself"):
        encode(endless)
