"""From flags, variables and a file to a ``Config``: flag > ``TICKR_…`` variable > TOML file > default.

Only fetches raw values and notes where each comes from; what they mean is ``tickr.config``'s. All faults of all sources
are told together. The flags are made from the settings themselves, so a new setting has its flag at once.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import click

from tickr import failpoints, trust
from tickr.cli import known
from tickr.cli.exits import of_config
from tickr.config import LOG_FORMATS, LOG_LEVELS, ROLES, SETTINGS, Config
from tickr.configuring import Given, read
from tickr.errors import ConfigError
from tickr.redis_link.address import parse_redis_url
from tickr.setting import Setting
from tickr.store import mysql_address
from tickr.worker.builtin.email import read_server

CONFIG_VARIABLE = "TICKR_CONFIG"
OTHER_VARIABLES = (CONFIG_VARIABLE, failpoints.VARIABLE, "TICKR_URL", trust.VARIABLE)
"""Variables of ours that are no settings of a node."""

CLOSER_LOOKS: Mapping[str, tuple[tuple[str, ...], Callable[[str], object]]] = {
    "store": (("mysql://", "mariadb://"), mysql_address.parse),
    "index": (("redis://", "rediss://", "redis+sentinel://", "rediss+sentinel://"), parse_redis_url),
    "smtp": (("smtp://", "smtps://"), read_server),
}
"""Settings whose URLs are read once more by those who use them, by how such a URL begins."""

CHOICES = {"roles": ROLES, "log_level": LOG_LEVELS, "log_format": LOG_FORMATS}
"""What a shell completes a setting's flag with."""

Command = TypeVar("Command", bound=Callable[..., object])


def setting_flags(*names: str) -> Callable[[Command], Command]:
    """Give a command ``--config`` and a flag for each of the settings ``names``; without names, for all that have one.

    The command takes them as ``**flags`` and hands them to ``load``.
    """
    chosen = [setting for name, setting in SETTINGS.items() if setting.flag and (not names or name in names)]

    def decorate(command: Command) -> Command:
        help_ = f"TOML file with settings; flags and variables win over it. [{CONFIG_VARIABLE}]"
        command = click.option("--config", metavar="FILE", shell_complete=known.files, help=help_)(command)
        for setting in reversed(chosen):
            command = _flag(setting)(command)
        return command

    return decorate


def json_flag(help_: str) -> Callable[[Command], Command]:
    """Give a command ``--json``, as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=help_)


def _flag(setting: Setting) -> Callable[[Command], Command]:
    note = setting.variable if setting.default in (None, False) else f"{setting.variable}; {setting.shown_default}"
    help_ = f"{setting.help} [{note}]"
    if setting.default is True:
        both = f"{setting.flag}/--no-{str(setting.flag).removeprefix('--')}"
        return click.option(both, setting.name, default=None, help=help_)
    if isinstance(setting.default, bool):
        return click.option(str(setting.flag), setting.name, is_flag=True, default=None, help=help_)
    complete = known.files if setting.metavar == "FILE" else known.fixed(CHOICES.get(setting.name, ()))
    return click.option(
        str(setting.flag), setting.name, metavar=setting.metavar, default=None, shell_complete=complete, help=help_
    )


def load(flags: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration that ``flags`` (of ``setting_flags``), ``environ`` and the file ask for.

    Args:
      environ: the variables; None for those of this process. An empty variable is as good as none.
    Raises: ConfigError: with every fault of every source.
    """
    environ = os.environ if environ is None else environ
    given: dict[str, Given] = {}
    faults: list[str] = []
    path = flags.get("config") or environ.get(CONFIG_VARIABLE)
    if path:
        try:
            given |= {name: Given(value, f"{path}: {name}") for name, value in _file(path).items()}
        except ConfigError as error:
            faults += error.faults
    for name, setting in SETTINGS.items():
        if value := environ.get(setting.variable):
            given[name] = Given(value, setting.variable)
    given |= {name: Given(value, str(SETTINGS[name].flag)) for name, value in flags.items() if _said(name, value)}
    for name, found in _address_faults(given).items():
        # The closer look has said it all about these.
        del given[name]
        faults += found
        if name == "store":
            given.pop("processes", None)  # how many there may be depends on the store, about which all has been said
    try:
        config = read(given)
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    if faults:
        raise ConfigError(faults)
    return config


def load_or_exit(flags: Mapping[str, Any]) -> Config:
    """Return what ``load`` does. Raises: Exit: with every fault."""
    try:
        return load(flags)
    except ConfigError as error:
        raise of_config(error) from None


def arm_failpoints_or_exit() -> list[str]:
    """Arm what ``TICKR_FAILPOINTS`` names and return the names. Raises: Exit: with every fault."""
    try:
        actions = failpoints.parse(os.environ.get(failpoints.VARIABLE, ""))
    except ConfigError as error:
        raise of_config(error) from None
    failpoints.arm(actions)
    return list(actions)


def _said(name: str, value: object) -> bool:
    return name in SETTINGS and value is not None


def _file(path: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror or error}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path} is not TOML: {error}"]) from None


def _address_faults(given: Mapping[str, Given]) -> dict[str, list[str]]:
    """Return by setting what those who use the URLs find wrong with them; they look closer than ``read`` does."""
    faults: dict[str, list[str]] = {}
    for name, (schemes, look) in CLOSER_LOOKS.items():
        if name in given and str(given[name].value).startswith(schemes):
            try:
                look(str(given[name].value))
            except ConfigError as error:
                faults[name] = [fault.replace(f"{name}:", f"{given[name].origin}:", 1) for fault in error.faults]
            except ValueError:
                continue  # no URL at all; ``read`` says so
    return faults


def stray_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Return a sentence for each variable that looks like a setting misspelt; nothing is refused for it."""
    known = [*(setting.variable for setting in SETTINGS.values()), *OTHER_VARIABLES]
    sentences = []
    for name in os.environ if environ is None else environ:
        if name.startswith("TICKR_") and name not in known and (near := get_close_matches(name, known, 1, 0.85)):
            sentences.append(f"{name} is not a setting; did you mean {near[0]}?")
    return sentences
