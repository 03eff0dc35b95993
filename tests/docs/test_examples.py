"""Every example on every page is run, and prints what the page shows.

A page is followed from its top in one folder by one ``Reader``: files are written, commands run, Tickr started and
stopped as the page says. What cannot be run here is marked in the page, and listed here with its reason.
"""

from __future__ import annotations

import ast
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Awaitable, Callable
from pathlib import Path

import click
import pytest
import trio

from tests.conftest import do_without
from tests.docs.comparing import Names
from tests.docs.pages import PAGES, ROOT, TASKS, Block, Command, blocks, commands, name_of
from tests.docs.reader import SERVES, Reader, reading
from tests.remote import javascript
from tests.waiting import eventually
from tickr import configuring
from tickr.cli import main

WITHIN_S = 20.0
"""How long a look at a job may have to be repeated until it shows what the page shows, in seconds."""

NOT_RUN = {
    ("README.md", "needs Docker, or servers of your own; docs/operations.md runs the second one"),
    ("docs/handlers.md", "a prompt, in another terminal"),
    ("docs/nodes.md", "it ends by itself, which a server on these pages does not"),
    ("docs/operations.md", "needs Docker"),
    ("docs/operations.md", "three processes that end with Ctrl-C, two of them without an API to ask"),
    ("docs/operations.md", "needs a certificate"),
    ("docs/operations.md", "needs sentinels"),
    ("docs/operations.md", "needs the client programs of MySQL"),
    ("docs/production.md", "needs Docker"),
    ("docs/production.md", "needs Kubernetes"),
    ("docs/production.md", "three machines; tests/deploy/test_three_nodes.py runs the scripts"),
    ("docs/tutorial.md", "installs Tickr, which is there already"),
}
"""The blocks that are not executed: page and reason."""

LANGUAGES = {"console", "python", "javascript", "toml", "json", "text", "ini", "sql", "yaml"}
ILLUSTRATIVE = {"text", "ini", "sql", "yaml"}
"""Diagrams, and files of other programs."""

PAGES_MYSQL = "mysql://tickr:secret@127.0.0.1:3306/tickr"
PAGES_REDIS = "redis://127.0.0.1:6379/0"

LOOKS = re.compile(
    r"^(?:curl(?!.* (?:-d|-X|--data|--json)\b)|tickr (?:show|list|doctor|stats)|cat|tail|grep)\b", re.DOTALL
)
"""Commands that change nothing, and may be repeated until what they show has come about."""

pages = pytest.mark.parametrize("page", PAGES, ids=name_of)


def has_examples(page: Path) -> bool:
    return any(block.language in ("console", "python") for block in blocks(page.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if has_examples(page) and page not in TASKS], ids=name_of)
async def test_the_examples_of_a_page_do_what_it_shows(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await follow_page(page, tmp_path, request)


async def follow_page(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Do all that ``page`` says, in ``tmp_path``. Raises: AssertionError, with the first place that is not as shown."""
    found = run_blocks(page)
    text = "\n".join(block.text for block in found)
    words = {}
    if PAGES_MYSQL in text:
        words[PAGES_MYSQL] = request.getfixturevalue("mysql_url")
    if PAGES_REDIS in text:
        words[PAGES_REDIS] = request.getfixturevalue("redis_url")
    if re.search(r"^\$ node ", text, re.MULTILINE) and (missing := javascript.missing()):
        do_without(missing)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "clients").symlink_to(ROOT / "clients")
    (tmp_path / "page.py").write_text(program(found))
    names = Names()
    async with reading(tmp_path, words) as reader:
        assert await reader.run("python -W error page.py && rm page.py") == ""
        for block in found:
            if block.file is not None:
                reader.write(block.file, block.text)
            elif block.language == "console":
                for command in commands(block):
                    await follow(reader, command, names, name_of(page))


def run_blocks(page: Path) -> list[Block]:
    return [block for block in blocks(page.read_text()) if block.not_run is None]


async def follow(reader: Reader, command: Command, names: Names, page: str) -> None:
    """Do what ``command`` says and compare. Raises: AssertionError, with the place on the page."""
    words = names.in_command(command.words)
    if SERVES.search(words):
        await reader.serve(words)

        async def printed() -> str:
            return reader.said()

        # A Tickr on its way prints on, so no more is asked of it than what the page shows.
        shown = command.shown and f"…\n{command.shown}\n…"
        fault = await _repeated(printed, shown, names) if shown else None
    elif command.shown and LOOKS.search(words):
        fault = await _repeated(lambda: reader.run(words), command.shown, names)
    else:
        fault = names.mismatch(command.shown, await reader.run(words))
    if fault is not None:
        raise AssertionError(f"{page}:{command.line}: $ {words}\n{fault}")


async def _repeated(look: Callable[[], Awaitable[str]], shown: str, names: Names) -> str | None:
    fault: str | None = "it printed nothing in all that time"

    async def as_shown() -> bool:
        nonlocal fault
        fault = names.mismatch(shown, await look())
        return fault is None

    try:
        await eventually(as_shown, within_s=WITHIN_S)
    except trio.TooSlowError:
        return fault
    return None


def program(found: list[Block]) -> str:
    """Return the Python blocks that are no files as one program, each on the lines that it has on its page."""
    lines: list[str] = []
    for block in found:
        if block.language == "python" and block.file is None:
            lines += [""] * (block.line - 1 - len(lines)) + block.text.split("\n")
    return "\n".join(lines) + "\n"


# -- what is not run is at least read ---------------------------------------------------------------------------------


@pages
def test_every_block_says_what_it_is(page: Path) -> None:
    for block in blocks(page.read_text()):
        place = f"{name_of(page)}:{block.line}"
        assert block.language in LANGUAGES, f"{place}: {block.language!r} is none of {', '.join(sorted(LANGUAGES))}"
        assert block.not_run is None or block.language in ("console", "python"), f"{place}: it would not be run anyway"


def test_few_blocks_are_not_run_and_each_says_why() -> None:
    marked = {(name_of(page), block.not_run) for page in PAGES for block in blocks(page.read_text()) if block.not_run}
    assert marked == NOT_RUN


@pages
def test_python_and_json_are_at_least_that(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.language == "python":
            ast.parse(block.text)
        elif block.language == "json":
            json.loads(block.text)


@pages
def test_toml_is_a_configuration(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.language == "toml":
            settings = tomllib.loads(block.text)
            configuring.read({name: configuring.Given(value, name) for name, value in settings.items()})


@pages
def test_every_tickr_command_on_a_page_exists(page: Path) -> None:
    text = page.read_text()
    shown = [
        line
        for block in blocks(text)
        if block.language in ("console", "ini", "yaml")
        for line in block.text.split("\n")
    ]
    inline = re.findall(r"`(tickr [^`]+)`", text)
    for words in [
        *inline,
        *(found[1] for line in shown if (found := re.search(r"(?:^\$ |=\S*/)(tickr .*?)(?: &| \\|$)", line))),
    ]:
        command_exists(words)


def command_exists(words: str) -> None:
    """Raise if ``words`` is no command line of Tickr's: no such command, or no such flag."""
    _, name, *rest = shlex.split(words.partition(" 2>")[0].partition(" |")[0])
    with click.Context(main) as context:
        command = main.get_command(context, name)
        if isinstance(command, click.Group) and rest:
            command, rest = command.get_command(context, rest[0]), rest[1:]
        assert command is not None, words
        while isinstance(command, click.Group) and rest and (inner := command.get_command(context, rest[0])):
            command, rest = inner, rest[1:]
        flags = {flag for one in command.params for flag in [*one.opts, *one.secondary_opts]} | {"--help", "-h"}
        assert {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)} <= flags, words


def test_make_run_is_tickr_serve() -> None:
    recipe = (ROOT / "Makefile").read_text().partition("\nrun:")[2].partition("\n\n")[0]
    assert recipe.rstrip().endswith("exec $(VENV)/bin/tickr serve $(ARGS)")
