"""What is said on stderr where what was typed is taken, and yet most likely not what was meant.

A hint costs a question more to the server, and only where nothing was found or a job waits. Where that question is not
answered, there is no hint. With ``--json`` there are none: programs ask ``tickr explain``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import click
import msgspec

from tickr.cli import known, screen
from tickr.cli.exits import Exit
from tickr.cli.remote import Remote
from tickr.cli.remote_records import RemoteJob
from tickr.near import did_you_mean

_is_text = re.compile(r"Expected `(\w+)(?: \| \w+)*`, got `str` - at `\$\.(\w+)`").search
_KINDS = {"int": "number", "float": "number", "bool": "boolean", "array": "list", "object": "object"}


def say(*sentences: str) -> None:
    for sentence in sentences:
        click.echo(screen.harmless(sentence), err=True)


def of_job(remote: Remote, job: RemoteJob) -> list[str]:
    """Return what keeps ``job``, just handed in, from running that whoever did so may not know."""
    if job.state == "scheduled":  # who will be there then, nobody knows
        return of_names(remote, types=[job.type], queues=[job.queue])
    if job.state != "ready":
        return []
    try:
        notice = remote.job(job.id).job.notice
    except Exit:
        return []
    return [notice] if notice else []


def of_payload(job: RemoteJob) -> list[str]:
    """Return how ``tickr submit`` is told what ``job`` has failed for: text, where its handler wants a number, say."""
    if job.error is None or job.error.kind != "bad_payload" or not (wrong := _is_text(job.error.message)):
        return []
    kind, name = wrong[1], wrong[2]
    text = _member(bytes(job.payload), name)
    if kind not in _KINDS or not isinstance(text, str) or isinstance(_member(_object(name, text), name), str | None):
        return []
    return [f"{name}={text} is text for tickr submit; {name}:={text} is a {_KINDS[kind]}."]


def _object(name: str, text: str) -> bytes:
    return b"{%s:%s}" % (msgspec.json.encode(name), text.encode(errors="replace"))


def _member(json: bytes, name: str) -> Any:
    try:
        return msgspec.json.decode(json, type=dict[str, Any]).get(name)
    except (msgspec.MsgspecError, RecursionError):
        return None


def of_filters(remote: Remote, filters: Mapping[str, Any]) -> list[str]:
    """Return which types and queues were most likely meant with those of the flags ``filters`` that nobody knows."""
    return of_names(remote, types=filters.get("type", ()), queues=filters.get("queue", ()))


def of_names(remote: Remote, *, types: Iterable[str] = (), queues: Iterable[str] = ()) -> list[str]:
    found: list[str] = []
    try:
        if types := [*types]:
            found += _unknown("type", types, known.types_of(remote))
        if queues := [*queues]:
            found += _unknown("queue", queues, [one.name for one, _ in remote.queues()])
    except Exit:
        pass
    return found


def _unknown(what: str, names: Iterable[str], there: list[str]) -> list[str]:
    meant = ((name, did_you_mean(name, there)) for name in names if name not in there)
    who = "handled by no live node" if what == "type" else "not there"
    return [f'The {what} "{name}" is {who}.{hint}' for name, hint in meant if hint]
