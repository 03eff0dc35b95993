"""Searches in payloads: what a path leads to, when a value is the same, and where a text is found."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickr.payload_search import MAX_PATH_LENGTH, MAX_STEPS, MAX_VALUE_LENGTH, is_part, is_path, is_value, searcher

BIG = "123456789012345678901234567890"


def has(payload: str, path: str, *values: str) -> bool:
    return searcher([(path, value) for value in values], ())(payload)


@pytest.mark.parametrize(
    ("payload", "path", "value"),
    [
        ('{"customer": 7}', "customer", "7"),
        ('{"customer": "7"}', "customer", "7"),
        ('{"customer": "7"}', "customer", '"7"'),
        ('{"customer": 7.0}', "customer", "7"),
        ('{"customer": 7e0}', "customer", " 7.00 "),
        ('{"price": 1.10}', "price", "1.1"),
        (f'{{"n": {BIG}}}', "n", BIG),
        ('{"n": 1e400}', "n", "10e399"),
        ('{"n": 1e99999999999999999999}', "n", "1e99999999999999999999"),
        ('{"n": -0}', "n", "0"),
        ('{"a": {"b": {"c": true}}}', "a.b.c", "true"),
        ('{"a": {"b": null}}', "a.b", "null"),
        ('{"a": "null"}', "a", "null"),
        ('{"a": [ {"b": "x"} , {"b":\n"y"}]}', "a.1.b", "y"),
        ('{"a": {"1": "y"}}', "a.1", "y"),
        ('["x", "y"]', "1", "y"),
        ('{"a": "gr\\u00fc\\u00dfe \\"x\\""}', "a", 'grüße "x"'),
        ('{"gr\\u00fc\\u00dfe": 1}', "grüße", "1"),
        ('{"a": ""}', "a", ""),
        ('{"a": "[1]"}', "a", "[1]"),
    ],
)
def test_what_is_there_is_found(payload: str, path: str, value: str) -> None:
    assert has(payload, path, value)


@pytest.mark.parametrize(
    ("payload", "path", "value"),
    [
        ('{"customer": 7}', "customer", '"7"'),
        ('{"customer": 70}', "customer", "7"),
        (f'{{"n": {BIG}}}', "n", BIG[:-1] + "1"),
        ('{"n": 9007199254740993}', "n", "9007199254740992"),
        ('{"n": 0.1}', "n", "0.1000000000000000055511151231257827"),
        ('{"a": true}', "a", "True"),
        ('{"a": true}', "a", "1"),
        ('{"a": null}', "b", "null"),
        ('{"a": {"b": 1}}', "a", '{"b": 1}'),
        ('{"a": [1]}', "a", "[1]"),
        ('{"a": [1]}', "a.1", "1"),
        ('{"a": [1]}', "a.-1", "1"),
        ('{"a": [1]}', "a.²", "1"),
        ('{"a": [1]}', "a.999999999999999999999", "1"),
        ('{"a": "text"}', "a.0", "t"),
        ('{"a": 1}', "a.b", "1"),
        ('"text"', "a", "text"),
        ("7", "0", "7"),
        ('{"a": 1', "a", "1"),
        ('{"a": [1,]}', "a.0", "1"),
    ],
)
def test_what_is_not_there_is_not(payload: str, path: str, value: str) -> None:
    assert not has(payload, path, value)


def test_of_one_path_any_value_will_do_and_all_paths_have_to() -> None:
    payload = '{"a": 1, "b": "x"}'
    assert has(payload, "a", "0", "1")
    assert searcher([("a", "1"), ("b", "x")], ())(payload)
    assert not searcher([("a", "1"), ("b", "y")], ())(payload)
    assert not searcher([("a", "1")], ["z"])(payload)


@pytest.mark.parametrize(
    ("payload", "parts", "found"),
    [
        ('{"to": "Anna@example.com"}', ["anna"], False),
        ('{"to": "Anna@example.com"}', ["Anna@", "example"], True),
        ('{"to": "Anna@example.com"}', ["Anna@", "nobody"], False),
        ('{"to": 12345}', ["234"], True),
        ('{"to": 1}', ["to"], True),
        ('{"a": "gr\\u00fc\\u00dfe"}', ["grüße"], True),
        ('{"a": "\\ud83d\\ude00"}', ["😀"], True),
        ('{"a": "C:\\\\temp", "b": "x\\ny"}', ["C:\\temp", "x\ny"], True),
        ('{"a": "say \\"hi\\""}', ['say "hi"'], True),
        ('{"a": "\\u00e4", "b": 1.10}', ["1.10"], True),
    ],
)
def test_a_text_is_looked_for_in_the_whole_of_it(payload: str, parts: list[str], found: bool) -> None:
    assert searcher((), parts)(payload) is found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.text(max_size=5),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text("ab0.", max_size=3), some, max_size=3),
    max_leaves=8,
)


@given(JSON, st.lists(st.sampled_from(["a", "b", "0", "1", "ab"]), min_size=1, max_size=3), JSON, st.booleans())
def test_it_is_as_python_sees_it(value: Any, steps: list[str], wanted: Any, ascii_: bool) -> None:
    at = value
    for step in steps:
        if isinstance(at, dict) and step in at:
            at = at[step]
        elif isinstance(at, list) and step.isdecimal() and int(step) < len(at):
            at = at[int(step)]
        else:
            at = Missing
    said = json.dumps(wanted)
    same = not isinstance(at, dict | list) and (type(at), at) == (type(wanted), wanted)
    assert has(json.dumps(value, ensure_ascii=ascii_), ".".join(steps), said) is (same or at == said)


class Missing: ...


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_numbers_are_the_same_by_value(one: Decimal, other: Decimal) -> None:
    assert has(f'{{"n": {one}}}', "n", str(other)) is (one == other)


def test_what_can_be_asked_for_is_bounded() -> None:
    assert is_path(".".join(["a"] * MAX_STEPS))
    assert not any(map(is_path, ("", ".", "a.", ".a", "a..b", "a" * (MAX_PATH_LENGTH + 1), "a." * MAX_STEPS + "a")))
    assert is_value("x" * MAX_VALUE_LENGTH)
    assert is_value("")
    assert not any(map(is_value, ("x" * (MAX_VALUE_LENGTH + 1), "\udcff")))
    assert not is_part("")
