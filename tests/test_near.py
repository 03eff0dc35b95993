"""Which name may have been meant."""

from __future__ import annotations

import pytest

from tickr.near import MOST, did_you_mean, near


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("reprot", "report"),
        ("Report", "report"),
        ("defualt", "default"),
        ("xyz", None),
        ("", None),
        ("nightlies", None),
    ],
)
def test_the_nearest_is_found_or_none(typed: str, meant: str | None) -> None:
    assert near(typed, ["report", "default", "mail", "http"]) == meant


def test_it_is_said_as_a_sentence() -> None:
    assert did_you_mean("reprot", ["report"]) == ' Did you mean "report"?'
    assert did_you_mean("reprot", []) == ""


def test_so_many_names_are_compared_and_no_more() -> None:
    seen = []

    def names() -> object:
        for number in range(100_000):
            seen.append(number)
            yield f"{number:064}"

    near("0" * 64, names())  # type: ignore[arg-type]  # an iterator
    assert len(seen) <= MOST + 1
