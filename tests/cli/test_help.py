"""What the commands say of themselves: each has an example, and each example is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.every import commands
from tests.cli.test_jobs_commands import ABSENT, Tickr, server, tickr
from tickr.cli import COMMANDS, GROUPS, exits

__all__ = ["server", "tickr"]

EXAMPLE = re.compile(r'^ *(?:eval "\$\()?(tickr .*?)(?:\)".*| {2,}.*| > .*)?$', re.MULTILINE)
"""A line of a help text that is typed; what follows two spaces is said about it."""
NOT_RUN = {
    "serve": "serves until it is stopped; the pages of the documentation start it in these ways",
    "demo": "takes its time; it has tests of its own",
    "debug": "needs a handler that waits",
    "watch": "goes on for ever",
    "top --view": "needs a terminal",
    "migrate --store": "needs a database by that name",
}
"""Beginnings of the examples that are only looked at, and why."""
EXIT_CODES = {exits.NOT_FOUND, 0}
"""What the examples may end with: the job or node that is meant may not be there."""


def examples() -> list[str]:
    paragraphs = [part for _, command in commands() for part in (command.help or "").split("\n\n")]
    return [line for part in paragraphs if part.lstrip(" ").startswith("\b") for line in EXAMPLE.findall(part)]


def test_every_command_has_an_example_of_its_own() -> None:
    given = examples()
    lacking = [words for words, _ in commands() if not any(f"{one} ".startswith(f"tickr {words} ") for one in given)]
    assert lacking == []


def test_the_commands_are_grouped_by_what_people_do() -> None:
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted({*named} & {*COMMANDS}), "each once, and none that is not there"


def is_run(line: str) -> bool:
    return not line.startswith(tuple(f"tickr {words}" for words in NOT_RUN))


@pytest.mark.slow
def test_every_example_does_what_it_says(tickr: Tickr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TICKR_PORT", "0")
    (tmp_path / "mail.json").write_text('{"to": "a@example.com"}')
    (tmp_path / "mended.json").write_text("{}")
    (tmp_path / "tickr.toml").write_text(f'store = "sqlite:///{tmp_path}/t.db"\n')
    key = tickr("keys", "new").stdout.strip()
    variables = {"TICKR_CONFIG": "tickr.toml", "TICKR_ENCRYPTION_KEYS": key, "TICKR_SIGNING_KEYS": key}
    tickr("migrate", **variables)
    for line in filter(is_run, examples()):
        _, *words = shlex.split(line.replace("ID", ABSENT))
        refused = ended(tickr, words, variables)
        assert refused is None, f"{line}\n{refused}"


def ended(tickr: Tickr, words: list[str], variables: dict[str, str]) -> str | None:
    """Run a command, with yes to all it asks. Returns: None if it ended as it may, else what it has said."""
    for code in sorted(EXIT_CODES):
        try:
            tickr(*words, code=code, stdin="y\n" * 3, **variables)
        except AssertionError as other:
            said = str(other)
        else:
            return None
    return said
