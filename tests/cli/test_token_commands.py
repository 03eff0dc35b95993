"""``tickr token`` and ``tickr audit``, as a person types them, against a real Tickr."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.processes import TickrProcess
from tickr.cli import exits, main
from tickr.tokens import parts_of

pytestmark = pytest.mark.slow


def run(*words: str, token: str | None = None, url: str | None = None) -> Result:
    return CliRunner().invoke(main, list(words), env={"TICKR_TOKEN": token, "TICKR_URL": url, "TICKR_STORE": None})


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TickrProcess, str]]:
    """A Tickr that asks for tokens, with the first of them put into its store before it was there."""
    store = f"sqlite:///{tmp_path_factory.mktemp('store') / 'jobs.db'}"
    first = run("token", "create", "root", "--role", "admin", "--store", store)
    assert first.exit_code == 0, first.output
    with TickrProcess(store=store, arguments=["--require-token"]) as node:
        yield node, first.stdout.strip()


def test_the_first_token_lets_in_and_makes_others(closed: tuple[TickrProcess, str]) -> None:
    node, root = closed
    refused = run("list", url=node.url)
    assert refused.exit_code == exits.NOT_ALLOWED
    assert "A bearer token is needed" in refused.stderr
    made = run("token", "create", "ci", "--scope", "jobs:write", "--expires", "1h", token=root, url=node.url)
    assert made.exit_code == 0, made.output
    text = made.stdout.strip()
    assert parts_of(text)
    assert "Token ci (jobs:write) is good until" in made.stderr
    assert "asks nobody" not in made.stderr
    assert run("submit", "report", token=text, url=node.url).exit_code == 0
    denied = run("list", token=text, url=node.url)
    assert (denied.exit_code, denied.stderr) == (
        exits.NOT_ALLOWED,
        "Error: This needs the scope jobs:read; the token ci has jobs:write.\n",
    )
    rotated = run("token", "rotate", "ci", "--grace", "0", token=root, url=node.url).stdout.strip()
    assert [run("submit", "report", token=one, url=node.url).exit_code for one in (text, rotated)] == [
        exits.NOT_ALLOWED,
        0,
    ]
    assert "ci" in run("token", "list", token=root, url=node.url).stdout
    assert run("token", "revoke", "ci", token=root, url=node.url).stdout == "Token ci is revoked.\n"
    assert "ci" not in run("token", "list", token=root, url=node.url).stdout
    told = [
        json.loads(line)
        for line in run("token", "list", "--all", "--json", token=root, url=node.url).stdout.splitlines()
    ]
    assert [(one["name"], one["state"]) for one in told] == [("ci", "revoked"), ("root", "good")]
    assert text not in str(told)
    shown = run("token", "show", "root", token=root, url=node.url).stdout
    assert "by         tickr token --direct" in shown
    assert root not in shown


def test_the_audit_shows_who_changed_what(closed: tuple[TickrProcess, str]) -> None:
    node, root = closed
    for _ in range(2):
        assert run("queue", "pause", "mail", token=root, url=node.url).exit_code == 0
    told = run("audit", "--subject", "mail", "--limit", "1", token=root, url=node.url).stdout.splitlines()
    assert len(told) == 2
    assert told[1].split()[-5:] == ["root", "127.0.0.1", "pause_queue", "mail", "200"]
    assert run("queue", "pause", "mail\n2 s ago  anna\x1b[2J", token=root, url=node.url).exit_code != 0
    told = run("audit", "--limit", "1", token=root, url=node.url).stdout.splitlines()
    assert [line.split()[-7:] for line in told[1:]] == [["pause_queue", "mail", "2", "s", "ago", r"anna\x1b[2J", "400"]]
    as_json = run("audit", "--who", "root", "--json", token=root, url=node.url).stdout.splitlines()
    assert {json.loads(line)["who"] for line in as_json} == {"root"}
    assert run("audit", "--who", "nobody", "--json", token=root, url=node.url).stdout == ""
    assert run("audit", "--who", "nobody", token=root, url=node.url).stderr == "No such changes.\n"


def test_an_id_goes_before_a_name_that_is_written_like_it(closed: tuple[TickrProcess, str]) -> None:
    node, root = closed
    mine = parts_of(run("token", "create", "mine", "--role", "viewer", token=root, url=node.url).stdout.strip())
    assert mine
    assert run("token", "create", mine[0], "--role", "viewer", token=root, url=node.url).exit_code == 0
    assert run("token", "revoke", mine[0], token=root, url=node.url).stdout == "Token mine is revoked.\n"


def test_where_nobody_is_asked_it_says_so() -> None:
    with TickrProcess() as node:
        assert run("token", "list", url=node.url).stderr == "No tokens that are good.\n"
        made = run("token", "create", "anna", "--role", "viewer", "--expires", "never", url=node.url)
        assert "is good for ever" in made.stderr
        assert "This Tickr asks nobody for a token" in made.stderr
        assert "--require-token" in made.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["create", "x"], 2, "Say what its owner may do"),
        (["create", "x", "--scope", "jobs"], 2, "'jobs' is not one of 'jobs:read'"),
        (["create", "x", "--role", "viewer", "--expires", "soon"], 2, "must be"),
        (["create", "a b", "--role", "viewer", "--store", "sqlite:///{}/x.db"], 2, "letters, digits"),
        (["create", "x", "--role", "viewer", "--store", "memory:"], 2, "that of one process"),
    ],
)
def test_what_can_not_be_a_token_is_told(words: list[str], code: int, told: str, tmp_path: Path) -> None:
    result = run("token", *(word.format(tmp_path) for word in words))
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr


def test_a_token_of_the_store_is_nothing_to_start_a_tickr_with(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'jobs.db'}"
    made = run("token", "create", "anna", "--role", "viewer", "--store", store).stdout.strip()
    result = run("serve", "--store", store, token=made)
    assert result.exit_code == 2
    assert "would let its owner do everything" in result.stderr
    assert made not in result.output
    assert run("token", "create", "anna", "--role", "viewer", "--store", store).exit_code == exits.REFUSED


def test_a_token_out_of_a_file_may_end_in_a_newline_and_none_is_shown(closed: tuple[TickrProcess, str]) -> None:
    node, root = closed
    assert run("list", token=f"{root}\n", url=node.url).exit_code == 0
    for odd in (f"{root}\nx", f"{root}\u00e9", f"{root} {root}"):
        result = run("list", token=odd, url=node.url)
        assert (result.exit_code, result.stderr) == (
            exits.MISUSED,
            "Error: The token in TICKR_TOKEN must be printable ASCII without spaces.\n",
        )
