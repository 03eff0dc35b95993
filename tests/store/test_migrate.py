"""Which steps are run on which database, and how a script is taken apart."""

from __future__ import annotations

import pytest

from tickr.errors import ConfigError, SchemaMismatch
from tickr.store import migrate
from tickr.store.migrate import Migration, migrations, pending, split
from tickr.store.open import open_store


@pytest.fixture
def three_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that knows schema 3."""
    steps = [Migration(number, f"step{number}", (f"statement {number}",)) for number in (1, 2, 3)]
    monkeypatch.setattr(migrate, "migrations", lambda dialect: steps)


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("asked", [False, True])
def test_an_empty_database_gets_everything_without_being_asked(asked: bool) -> None:
    assert [step.version for step in pending("sqlite", (), asked=asked)] == [1, 2, 3]


@pytest.mark.usefixtures("three_steps")
def test_an_older_database_is_migrated_only_when_asked() -> None:
    with pytest.raises(SchemaMismatch, match=r"at schema 1, this program needs 3: run `tickr migrate`"):
        pending("sqlite", [1], asked=False)
    assert [step.version for step in pending("sqlite", [1], asked=True)] == [2, 3]


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("asked", [False, True])
def test_a_newer_database_is_never_touched(asked: bool) -> None:
    with pytest.raises(SchemaMismatch, match=r"at schema 4, this program knows 3"):
        pending("sqlite", [1, 2, 3, 4], asked=asked)


@pytest.mark.usefixtures("three_steps")
@pytest.mark.parametrize("asked", [False, True])
def test_the_right_schema_needs_nothing(asked: bool) -> None:
    assert pending("sqlite", [1, 2, 3], asked=asked) == []


def test_another_programs_tables_are_left_alone() -> None:
    with pytest.raises(SchemaMismatch, match="recipes"):
        pending("sqlite", (), asked=True, other_tables=["recipes"])


@pytest.mark.parametrize("dialect", ["sqlite", "mysql"])
def test_the_scripts_have_rising_numbers_and_are_not_empty(dialect: str) -> None:
    steps = migrations(dialect)
    numbers = [step.version for step in steps]
    assert numbers[0] == 1
    assert numbers == sorted(set(numbers))
    assert all(step.name and step.statements for step in steps)


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("", []),
        (" ; ;\n;", []),
        ("a;b", ["a", "b"]),
        ("a 'x;''y;' b; c", ["a 'x;''y;' b", "c"]),
        ('a ";" `;` ; b', ['a ";" `;`', "b"]),
        ("-- no; not here\na -- nor; here\n; /* nor;\nhere */ b", ["a", "b"]),
        ("a '-- text; /* text */' b", ["a '-- text; /* text */' b"]),
        ("a/**/b", ["a b"]),
    ],
)
def test_a_script_is_split_at_its_semicolons_only(script: str, statements: list[str]) -> None:
    assert split(script) == statements


@pytest.mark.parametrize("url", ["postgres://x/y", "", "tickr.db", "memoryx:"])
async def test_a_url_of_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="none of sqlite"):
        async with open_store(url):
            pass
