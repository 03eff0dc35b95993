"""Configuring: what an operator has given → a configuration that is good, or all that is wrong with it. Pure: no I/O.

Each value is read by its own setting (``config.py``). Then it is looked at what is good by itself and not together.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from tickr.config import SETTINGS, Config
from tickr.errors import ConfigError
from tickr.setting import Given as Given  # whoever calls ``read`` needs it
from tickr.setting import Setting


def read(raw: Mapping[str, Given], base: Config | None = None) -> Config:
    """Return the configuration that ``raw`` (name of a setting → its value) asks for; the rest is as in ``base``.

    Args:
      base: checked already; None for the defaults.
    Raises: ConfigError: with one sentence for each fault; secrets and URLs are not repeated in them.
    """
    good: dict[str, Any] = {}
    faults = []
    for name, given in raw.items():
        setting = SETTINGS.get(name)
        if setting is None:
            faults.append(f"{given.origin} is not a setting of Tickr's{_nearest(name)}")
            continue
        if given.value is None and setting.default is None:
            good[name] = None
            continue
        try:
            good[name] = setting.read(given.value)
        except ValueError as wrong:
            faults.append(f"{given.origin} {wrong}{_repeated(setting, given.value)}")
    config = msgspec.structs.replace(base or Config(), **good)
    for one in _TOGETHER:
        if one.names & good.keys() and not one.names & (raw.keys() - good.keys()) and (fault := one.fault(config)):
            name, sentence = fault
            faults.append(f"{raw[name].origin if name in raw else name} {sentence}")
    if faults:
        raise ConfigError(faults)
    return config


def _nearest(name: str) -> str:
    near = get_close_matches(name, SETTINGS, n=1, cutoff=0.75)
    return f"; did you mean {near[0]}?" if near else ""


def _repeated(setting: Setting, value: object) -> str:
    return "" if setting.may_be_secret else f", not {reprlib.repr(value)}"


# -- together ---------------------------------------------------------------------------------------------------------

Fault = tuple[str, str]
"""The setting to be named, and what is wrong with it beside the others."""


class _Together(NamedTuple):
    """Settings that have to fit each other; where one of them cannot be read nothing more is said."""

    names: frozenset[str]
    fault: Callable[[Config], Fault | None]


def _is_open_to_all(config: Config) -> Fault | None:
    if not config.exposed:
        return None
    return "host", (
        f"is {config.host}, which others can reach, and nothing asks them who they are: "
        "set TICKR_TOKEN, ask for tokens of the store with --require-token, or allow everybody everything with "
        "--insecure"
    )


def _has_one_port_for_two(config: Config) -> Fault | None:
    if "api" not in config.roles or not config.port or config.metrics_port != config.port:
        return None
    return "metrics_port", "is the port of the API, which answers /metrics anyway: leave it out, or take another"


def _has_a_store_for_one_process(config: Config) -> Fault | None:
    if config.processes.most == 1:
        return None
    instead = 'use a store of MySQL or MariaDB, or one process: its handlers with run_in="process" use more processors'
    if config.store.startswith("sqlite:"):
        why = "SQLite lets one process write at a time, and the others would only wait for it"
    elif config.store == "memory:":
        why = "memory: is in one process, and the others would know nothing of its jobs"
    else:
        return None
    return "processes", f"is {config.processes}, but {why}; {instead}"


def _scales_without_jobs(config: Config) -> Fault | None:
    if config.processes.least == config.processes.most or "worker" in config.roles:
        return None
    return "processes", f"is {config.processes}, which goes by the jobs that wait, and without the role worker none run"


def _orders_queues_of_others(config: Config) -> Fault | None:
    names = [name for name, _ in config.queue_order or () if config.queues and name not in dict(config.queues)]
    if not names:
        return None
    return "queue_order", f"names {', '.join(names)}, of which this node takes no jobs; add it to --queues"


def _has_half_of_tls(config: Config) -> Fault | None:
    if (config.tls_cert is None) == (config.tls_key is None):
        return None
    one, other = ("tls_key", "tls-cert") if config.tls_cert is None else ("tls_cert", "tls-key")
    return one, f"is given without --{other}: HTTPS needs both files"


def _can_run_nothing(config: Config) -> Fault | None:
    if not config.signed_only or config.signing_keys is not None:
        return None
    return "signed_only", "has nothing run but what is signed, and there is no key: set TICKR_SIGNING_KEYS"


_TOGETHER = (
    _Together(frozenset({"host", "token", "require_token", "insecure", "roles", "metrics_port"}), _is_open_to_all),
    _Together(frozenset({"port", "metrics_port", "roles"}), _has_one_port_for_two),
    _Together(frozenset({"processes", "store"}), _has_a_store_for_one_process),
    _Together(frozenset({"processes", "roles"}), _scales_without_jobs),
    _Together(frozenset({"queues", "queue_order"}), _orders_queues_of_others),
    _Together(frozenset({"tls_cert", "tls_key"}), _has_half_of_tls),
    _Together(frozenset({"signing_keys", "signed_only"}), _can_run_nothing),
)
