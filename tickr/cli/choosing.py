"""Which jobs a command is about, and what it shall change about them: flags → the words of the API.

The flags are those of ``tickr list`` and of ``tickr retry --all`` and ``tickr cancel --all``, so that what was listed
is what is retried. What a value may be is the server's to judge.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import click
import msgspec
from msgspec import Raw

from tickr import values
from tickr.cli import known, submission
from tickr.cli.submission import Read
from tickr.jobs import State

Command = TypeVar("Command", bound=Callable[..., object])


def ago(text: str) -> str:
    """Return the instant that ``text`` is, or that lies so long back. Raises: ValueError, with what would be right."""
    try:
        return submission.instant(text)
    except ValueError:
        pass
    try:
        before_s = values.seconds(text)
    except ValueError:
        raise ValueError("must be an instant like 2030-01-31T12:00:00Z, or how long ago: 90s, 2h, 7d") from None
    return datetime.fromtimestamp(max(0.0, time.time() - before_s), UTC).isoformat().replace("+00:00", "Z")


def _where(text: str) -> tuple[str, str]:
    """Raises: ValueError, with what would be right."""
    path, equals, value = text.partition("=")
    if not path or not equals:
        raise ValueError("must be like customer=42 or order.id=abc")
    return path, value


def _id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError("must be the id of a job, a UUID") from None


_WHEN = Read(ago, "when")
_WHERE = Read(_where, "where")
_ID = Read(_id, "id")
_NAMES = {"contains": "payload~"}
_STATE = Read(submission.state, "state")


def with_filters(command: Command) -> Command:
    """Give a command the flags that choose jobs."""
    for option in reversed(
        (
            click.option(
                "--state",
                type=_STATE,
                metavar="STATE",
                shell_complete=known.fixed(State),
                help="In this state; may be repeated.",
                multiple=True,
            ),
            click.option(
                "--type",
                metavar="TYPE",
                shell_complete=known.types,
                help="Of this type; may be repeated.",
                multiple=True,
            ),
            click.option(
                "--queue",
                metavar="NAME",
                shell_complete=known.queues,
                help="In this queue; may be repeated.",
                multiple=True,
            ),
            click.option("--label", metavar="NAME[=VALUE]", help="With all these labels.", multiple=True),
            click.option(
                "--error", metavar="KIND", help="Whose error is of this kind: exception, timeout …", multiple=True
            ),
            click.option("--schedule", metavar="NAME", help="Made by this schedule; may be repeated.", multiple=True),
            click.option("--parent", type=_ID, metavar="ID", help="Submitted by the handler of this job."),
            click.option(
                "--where", type=_WHERE, metavar="PATH=VALUE", help="With this value in its payload.", multiple=True
            ),
            click.option("--contains", metavar="TEXT", help="With this text in its payload.", multiple=True),
            click.option("--created-after", type=_WHEN, metavar="WHEN", help="An instant, or how long ago: 2h, 7d."),
            click.option("--created-before", type=_WHEN, metavar="WHEN", help="Earlier than then."),
            click.option("--finished-after", type=_WHEN, metavar="WHEN", help="Ended then or later."),
            click.option("--finished-before", type=_WHEN, metavar="WHEN", help="Ended earlier than then."),
        )
    ):
        command = option(command)
    return command


def query(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given, by the names of the API in a query."""
    return _given(filters) | {f"payload.{path}": values for path, values in _paths(filters).items()}


def body(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the flags that were given, by the names of the API in a body."""
    paths = _paths(filters)
    return _given(filters) | ({"payload": paths} if paths else {})


def _given(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {_NAMES.get(name, name): wanted for name, wanted in filters.items() if wanted and name != "where"}


def _paths(filters: Mapping[str, Any]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path, value in filters.get("where", ()):
        found.setdefault(path, []).append(value)
    return found


def flags(filters: Mapping[str, Any]) -> str:
    """Return what was given as flags, for a sentence."""
    return ", ".join(f"--{name.replace('_', '-')}" for name, wanted in filters.items() if wanted)


# -- what is to be different ------------------------------------------------------------------------------------------


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _payload(text: str) -> Raw | None:
    return submission.payload([text])


def _object(text: str) -> Raw:
    try:
        msgspec.json.decode(text, type=dict[str, str])
    except msgspec.MsgspecError:
        raise ValueError('must be an object of texts, like {"customer": "42"}') from None
    return Raw(text.encode())


def _end(text: str) -> str | Raw:
    return Raw(b"null") if text == "never" else submission.instant(text)


_FIELDS: dict[str, Callable[[str], object]] = {
    "payload": _payload,
    "queue": str,
    "priority": _whole,
    "max_attempts": _whole,
    "timeout": values.seconds,
    "backoff": submission.backoff,
    "labels": _object,
    "limit_key": str,
    "delay": values.seconds,
    "run_at": submission.instant,
    "expires_in": values.seconds,
    "expires_at": _end,
}


def _change(text: str) -> tuple[str, object]:
    """Return the field and the value in ``field=value``. Raises: ValueError, with what would be right."""
    name, equals, value = text.partition("=")
    name = name.replace("-", "_")
    if not equals or name not in _FIELDS:
        raise ValueError(f"must be FIELD=VALUE, the field one of {', '.join(_FIELDS)}")
    try:
        return name, _FIELDS[name](value)
    except ValueError as wrong:
        raise ValueError(f"{name} {wrong}") from None


CHANGE = Read(_change, "change")


def changes(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Return what is to be different. Raises: click.BadParameter."""
    found: dict[str, object] = {}
    for name, value in pairs:
        if name in found:
            raise click.BadParameter(f"{name} is set twice.")
        found[name] = value
    return found
