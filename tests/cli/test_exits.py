"""Errors that an operator can do something about become one sentence; bugs keep their traceback."""

from __future__ import annotations

from collections.abc import Callable

import click
import pytest

from tickr.cli.exits import MISUSED, REFUSED, Exit, of_config, plainly
from tickr.errors import ConfigError, SchemaMismatch, StoreUnavailable


def ended_by(error: BaseException) -> Exit:
    with pytest.raises(Exit) as ended, plainly():
        raise error
    return ended.value


@pytest.mark.parametrize(
    "wrap", [lambda e: e, lambda e: ExceptionGroup("a", [e]), lambda e: ExceptionGroup("a", [ExceptionGroup("b", [e])])]
)
def test_known_errors_end_in_a_sentence(wrap: Callable[[Exception], Exception]) -> None:
    for error in (StoreUnavailable("The store is away."), SchemaMismatch("Run it."), OSError("Disk full.")):
        exit_ = ended_by(wrap(error))
        assert (exit_.message, exit_.exit_code) == (str(error), REFUSED)


def test_a_fault_found_while_starting_is_no_misuse() -> None:
    assert ended_by(ConfigError(["Port 80 is taken."])).exit_code == REFUSED


def test_a_bug_goes_on_with_its_traceback() -> None:
    with pytest.raises(KeyError), plainly():
        raise KeyError("x")
    with pytest.raises(ExceptionGroup), plainly():
        raise ExceptionGroup("a", [StoreUnavailable("x"), KeyError("y")])


def test_ctrl_c_in_a_nursery_is_an_abort() -> None:
    with pytest.raises(click.Abort), plainly():
        raise BaseExceptionGroup("a", [KeyboardInterrupt()])


def test_faults_of_a_configuration_are_a_list() -> None:
    one, two = of_config(ConfigError(["a is b"])), of_config(ConfigError(["a is b", "c is d"]))
    assert (one.message, one.exit_code) == ("a is b", MISUSED)
    assert (two.message, two.exit_code) == ("2 settings cannot be used:\n  a is b\n  c is d", MISUSED)
