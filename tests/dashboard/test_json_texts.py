"""JSON as it is typed and shown: where it is wrong is found to the column, and putting it in lines changes no value."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.dashboard.conftest import Board

pytestmark = pytest.mark.slow

WRONG = [
    ("", 1, 1),
    ('{"a": 1,\n "b": }', 2, 7),
    ("[1, 2", 1, 6),
    ("[1,]", 1, 4),
    ('{"a" 1}', 1, 6),
    ("{a: 1}", 1, 2),
    ('{"a": 1,}', 1, 9),
    ('[1,\n\n  "x\ny"]', 3, 3),
    ("[1]]", 1, 4),
    ("01", 1, 1),
    ('["\\x"]', 1, 2),
    ("[NaN]", 1, 2),
]
RIGHT = [
    '{"a": [1.0, -0.10, 1E2, 12345678901234567890, {}, [], "{[,:]}", "\\u00e9\\\\\\""], "b": null}',
    " true ",
    '"x"',
    "-1e-7",
]


def told(board: Board, expression: str, texts: list[str]) -> list[Any]:
    board.open("#/jobs")
    script = (
        f"async (texts) => {{ const of = await import('./source.mjs'); return texts.map((text) => {expression}); }}"
    )
    return list(board.page.evaluate(script, texts))


def test_the_place_of_a_fault_is_told(shared_board: Board) -> None:
    found = told(shared_board, "of.wrong(text).message", [text for text, _, _ in WRONG])
    for (text, line, column), message in zip(WRONG, found, strict=True):
        assert message.startswith(f"is no JSON in line {line}, column {column}: "), (text, message)
    assert told(shared_board, "of.wrong(text)", RIGHT) == [None] * len(RIGHT)


def test_whatever_is_broken_about_a_text_its_place_is_inside(shared_board: Board) -> None:
    chance = random.Random(7)
    broken = []
    for _ in range(400):
        text = list(RIGHT[0])
        for _ in range(chance.randint(1, 3)):
            text[chance.randrange(len(text))] = chance.choice('{}[]",:1x\\e-. ')
        broken.append("".join(text))
    for text, fault in zip(broken, told(shared_board, "of.wrong(text)", broken), strict=True):
        assert (fault is None) is is_json(text), text
        if fault is not None:
            assert 0 <= fault["at"] <= len(text)
            assert "expected" in fault["message"] or "it ends" in fault["message"], (text, fault)


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_lines_are_the_same_json(shared_board: Board) -> None:
    texts = [*RIGHT, json.dumps({"\u202e": ["\u2028", {"deep": [[[1]]]}]}, ensure_ascii=False)]
    for text, shown, same in zip(
        texts,
        told(shared_board, "of.indented(text)", texts),
        told(shared_board, "of.same(text, of.indented(text))", texts),
        strict=True,
    ):
        assert json.loads(shown, parse_float=str, parse_int=str) == json.loads(text, parse_float=str, parse_int=str)
        assert same
        assert "\u202e" not in shown
    assert told(shared_board, "of.same(text, '1')", ["1.0", " 1 ", "10"]) == [False, True, False]
