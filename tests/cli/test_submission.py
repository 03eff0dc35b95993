"""The words of ``tickr submit`` → the body of the request."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from tickr.cli import submission


def payload(*words: str) -> str | None:
    raw = submission.payload(words)
    return None if raw is None else bytes(raw).decode()


def test_no_words_are_no_payload() -> None:
    assert payload() is None


@pytest.mark.parametrize(
    "text", ['{"a": 1}', " [1,2] ", '"text"', "12345678901234567890123", "1.10", "null", '{"b":1,"a":2}']
)
def test_json_is_taken_exactly_as_it_is(text: str) -> None:
    assert payload(text) == text


def test_pairs_are_text_and_json() -> None:
    assert payload("title=Hello", "n:=1.10", "list:=[1, 2]", "empty=", "eq=a=b:=c", "x.y-z=1", "to=@me") == (
        '{"title":"Hello","n":1.10,"list":[1, 2],"empty":"","eq":"a=b:=c","x.y-z":"1","to":"@me"}'
    )


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a" : 1}\n')
    assert payload(f"@{tmp_path}/p.json") == '{"a" : 1}\n'


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hello"], "not JSON"),
        (["hello"], "key=text, or in quotes of its own: '\"text\"'"),
        (["a=1", "b"], "'b' is neither"),
        (["{}", "a=1"], "'{}' is neither"),
        (["a=1", "a=2"], "a is given twice"),
        (["a:=x"], "a:=x is not JSON"),
        (["NaN"], "not JSON"),
        (["[" * 100_000], "not JSON"),
        (["@/no/such/file"], "/no/such/file cannot be read: No such file"),
        (["\udcff"], "not JSON"),
        (["a=\udcff"], "not valid UTF-8"),
    ],
)
def test_what_is_no_payload_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(click.BadParameter) as refused:
        payload(*words)
    assert told in refused.value.message


def test_the_body_holds_what_was_given_alone() -> None:
    fields = {
        "type": "t",
        "payload": submission.payload(["1.10"]),
        "queue": None,
        "priority": 0,
        "delay": 0.0,
        "labels": {},
    }
    assert submission.body(fields) == b'{"type":"t","payload":1.10,"priority":0,"delay":0.0}'


def test_labels() -> None:
    assert submission.labels(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1"):
        with pytest.raises(click.BadParameter, match="is not like name=value"):
            submission.labels([wrong])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("exponential", {"kind": "exponential"}),
        ("constant:5", {"kind": "constant", "base": 5}),
        ("linear:1m", {"kind": "linear", "base": 60}),
        (
            "exponential:base=10s,factor=2,cap=1h,jitter=0.1",
            {"kind": "exponential", "base": 10, "factor": 2, "cap": 3600, "jitter": 0.1},
        ),
        ("exponential:10,cap=1h", {"kind": "exponential", "base": 10, "cap": 3600}),
    ],
)
def test_back_off(text: str, meant: object) -> None:
    assert submission.backoff(text) == meant


@pytest.mark.parametrize(
    "text", ["", "quick", "constant:x", "constant:base=", "constant:1,2", "linear:kind=1", "linear:,"]
)
def test_what_is_no_back_off_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^must be"):
        submission.backoff(text)


def test_instants_become_utc() -> None:
    assert submission.instant("2030-01-31T12:00:00Z") == "2030-01-31T12:00:00Z"
    assert submission.instant("2030-01-31T12:00:00.5+02:00") == "2030-01-31T10:00:00.500000Z"
    local = datetime(2030, 1, 31, 12).astimezone()
    assert datetime.fromisoformat(submission.instant("2030-01-31 12:00")) - local == timedelta(0)
    assert datetime.fromisoformat(submission.instant("2030-01-31 12:00")).tzinfo == UTC


def test_what_is_no_instant_is_refused() -> None:
    for text in ("tomorrow", "", "12:00", "2030-02-31T00:00:00Z"):
        with pytest.raises(ValueError, match=r"^must be an instant"):
            submission.instant(text)


def test_the_body_is_json() -> None:
    assert json.loads(submission.body({"type": 'a"b', "labels": {"ü": "\n"}})) == {"type": 'a"b', "labels": {"ü": "\n"}}
