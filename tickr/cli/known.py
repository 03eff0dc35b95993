"""What may follow on the command line, for a shell that completes it: fixed words, and names that the server knows.

A server is asked for its names as the command itself would ask it, and given ``WITHIN_S``; where it does not answer in
that time, or says no, there is nothing to complete, and nothing is said.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import click
import msgspec
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from tickr.cli.remote import Remote

WITHIN_S = 0.3
"""How long a server may take with its answer, in seconds."""
NEWEST = 30
"""So many of the newest jobs or operations are offered."""

Names = Iterable[tuple[str, str]]
"""Names, each with a word about what it is."""
Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


class _Named(msgspec.Struct, frozen=True):
    name: str


class _Listed(msgspec.Struct, frozen=True):
    """A job or an operation."""

    id: str
    state: str
    type: str = ""
    action: str = ""


class _Node(msgspec.Struct, frozen=True):
    id: str
    name: str
    pid: int | None = None
    types: list[str] = []


class _NamedPage(msgspec.Struct, frozen=True):
    items: list[_Named]


class _ListedPage(msgspec.Struct, frozen=True):
    items: list[_Listed]


class _Fleet(msgspec.Struct, frozen=True):
    items: list[_Node]


def fixed(words: Iterable[str]) -> Complete:
    """Complete one of ``words``."""
    known = [*words]
    return lambda ctx, param, begun: [CompletionItem(word) for word in known if word.startswith(begun)]


def files(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
    """Have the shell complete the name of a file."""
    return [CompletionItem(begun, type="file")]


def _asking(look: Callable[[Remote], Names]) -> Complete:
    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        found = _in_time(look, ctx.params.get("url"))
        return [CompletionItem(name, help=about or None) for name, about in found.items() if name.startswith(begun)]

    return complete


def _in_time(look: Callable[[Remote], Names], url: str | None) -> Mapping[str, str]:
    """Return what the server answers within ``WITHIN_S``, or nothing."""
    from tickr.cli.exits import Exit
    from tickr.cli.jobs import remote_at

    try:
        remote = remote_at(url)
    except Exit:
        return {}
    found: dict[str, str] = {}

    def ask() -> None:
        try:
            with remote:
                answer = dict(look(remote))
        except Exit:
            return
        found.update(answer)

    # A time-out of each read would let an answer drip for ever; whoever has pressed Tab waits for none of it. The time
    # is the server's: what this program needs before it can ask is not taken off, on a busy machine that is most of it.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(WITHIN_S)
    return {} if asking.is_alive() else found


def _named(path: str) -> Callable[[Remote], Names]:
    return lambda remote: ((one.name, "") for one in remote.asked("GET", path, _NamedPage)[0].items)


def _listed(path: str) -> Callable[[Remote], Names]:
    def look(remote: Remote) -> Names:
        page, _ = remote.asked("GET", f"{path}limit={NEWEST}", _ListedPage)
        return ((one.id, f"{one.type or one.action} {one.state}") for one in page.items)

    return look


def _fleet(remote: Remote) -> list[_Node]:
    return remote.asked("GET", "/nodes", _Fleet)[0].items


def _node_names(remote: Remote) -> Names:
    return ((one.id, one.name if one.pid is None else f"{one.name}:{one.pid}") for one in _fleet(remote))


def types_of(remote: Remote) -> list[str]:
    """Return the types that live nodes handle. Raises: Exit."""
    return sorted({name for node in _fleet(remote) for name in node.types})


queues = _asking(_named("/queues"))
schedules = _asking(_named("/schedules?limit=200"))
types = _asking(lambda remote: ((name, "") for name in types_of(remote)))
nodes = _asking(_node_names)
jobs = _asking(_listed("/jobs?"))
failed_jobs = _asking(_listed("/jobs?state=failed&"))
operations = _asking(_listed("/operations?"))
