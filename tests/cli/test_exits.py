"""Errors that an operator can do something about become one sentence; bugs keep their traceback."""

from __future__ import annotations

from collections.abc import Callable

import click
import msgspec
import pytest
from click.testing import CliRunner

from tests.docs.pages import ROOT, code, table
from tickr.cli import exits, main
from tickr.cli.exits import MISUSED, REFUSED, UNREACHABLE, Exit, leaving, of_config, plainly
from tickr.errors import ConfigError, SchemaMismatch, StoreUnavailable


def ended_by(error: BaseException) -> Exit:
    with pytest.raises(Exit) as ended, plainly():
        raise error
    return ended.value


@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: ExceptionGroup("a", [e]), lambda e: ExceptionGroup("a", [ExceptionGroup("b", [e])])]
)
def test_known_errors_end_in_a_sentence(wrap: Callable[[Exception], Exception]) -> None:
    away = StoreUnavailable("The store is away.")
    for error, ends in ((away, UNREACHABLE), (SchemaMismatch("Run it."), REFUSED), (OSError("Disk full."), REFUSED)):
        exit_ = ended_by(wrap(error))
        assert (exit_.message, exit_.exit_code) == (str(error), ends)


def test_a_fault_found_while_starting_is_no_misuse() -> None:
    assert ended_by(ConfigError(["Port 80 is taken."])).exit_code == REFUSED


def test_a_bug_goes_on_with_its_traceback() -> None:
    with pytest.raises(KeyError), plainly():
        raise KeyError("x")
    with pytest.raises(ExceptionGroup), plainly():
        raise ExceptionGroup("a", [StoreUnavailable("x"), KeyError("y")])


def test_ctrl_c_in_a_nursery_is_ctrl_c() -> None:
    with pytest.raises(KeyboardInterrupt), plainly():
        raise BaseExceptionGroup("a", [KeyboardInterrupt()])


def test_faults_of_a_configuration_are_a_list() -> None:
    one, two = of_config(ConfigError(["a is b"])), of_config(ConfigError(["a is b", "c is d"]))
    assert (one.message, one.exit_code) == ("a is b", MISUSED)
    assert (two.message, two.exit_code) == ("2 settings cannot be used:\n  a is b\n  c is d", MISUSED)


# -- the codes --------------------------------------------------------------------------------------------------------


def test_every_exit_code_has_a_name_and_stands_in_the_documentation() -> None:
    numbers = {value for name, value in vars(exits).items() if name.isupper() and isinstance(value, int)}
    assert {*exits.NAMES} == {0, *numbers}
    rows = table((ROOT / "docs/operations.md").read_text(), "exit code", "name")
    assert {int(row[0].strip("`")): code(row[1])[0] for row in rows} == exits.NAMES


@pytest.mark.parametrize(
    ("status", "ends"),
    [(400, 2), (401, 9), (403, 9), (404, 7), (405, 1), (409, 8), (410, 7), (412, 8), (422, 2), (429, 3), (500, 1)],
)
def test_what_the_server_answers_has_its_exit_code(status: int, ends: int) -> None:
    assert exits.of_status(status) == ends


def ended(error: BaseException, *, as_json: bool = False) -> int:
    with pytest.raises(SystemExit) as left, leaving(as_json=as_json):
        raise error
    assert isinstance(left.value.code, int)
    return left.value.code


def interrupted() -> click.Abort:
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise click.Abort from None
    except click.Abort as abort:
        return abort


def test_ctrl_c_is_another_code_than_a_no(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(click.Abort()) == REFUSED
    assert capsys.readouterr().err == "Error: Nothing was done.\n"
    assert ended(interrupted()) == 130


def test_with_json_a_problem_is_a_document(capsys: pytest.CaptureFixture[str]) -> None:
    theirs = b'{"type":"about:blank","status":404,"code":"job_not_found","detail":"There is no job 42.","job_id":"42"}'
    assert ended(Exit("There is no job 42.", 7, problem=theirs), as_json=True) == 7
    told = msgspec.json.decode(capsys.readouterr().err, type=dict[str, object])
    assert told == {**msgspec.json.decode(theirs), "exit_code": 7}
    assert ended(Exit("No Tickr answers.", UNREACHABLE), as_json=True) == UNREACHABLE
    told = msgspec.json.decode(capsys.readouterr().err, type=dict[str, object])
    assert (told["code"], told["detail"], told["exit_code"]) == ("unavailable", "No Tickr answers.", 3)
    assert ended(Exit("", 4), as_json=True) == 4
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("words", [["submt"], ["list", "--limt", "3"], ["submit"], ["list", "--state", "faild"]])
def test_wrong_usage_is_a_document_too(words: list[str]) -> None:
    plain = CliRunner().invoke(main, words)
    done = CliRunner().invoke(main, [*words, "--json"])
    assert (plain.exit_code, done.exit_code, done.stdout) == (2, 2, "")
    told = msgspec.json.decode(done.stderr, type=dict[str, object])
    assert told["code"] == "usage"
    assert str(told["detail"]) in plain.stderr
