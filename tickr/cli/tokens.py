"""``tickr token``: who may do what. Asks a running Tickr; the first token may be put into the store instead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import click
import msgspec
import trio
from rich.text import Text

from tickr import tokens, values
from tickr.cli import exits, screen, settings, submission
from tickr.cli.exits import Exit
from tickr.cli.groups import ListingGroup
from tickr.cli.jobs import asking, remote_at
from tickr.cli.remote import Remote
from tickr.cli.submission import Read
from tickr.scopes import ROLES, Scope
from tickr.store.contract import us_of
from tickr.store.open import open_store
from tickr.tokens import MAX_LIFE_S, Make, Token

EXPIRES = Read(lambda word: math.inf if word == "never" else values.seconds_between(1, MAX_LIFE_S)(word), "duration")
GRACE = Read(values.seconds, "duration")
OPEN = (
    "This Tickr asks nobody for a token, as it listens on this machine alone: who reaches it may do everything. "
    "Start it with --require-token."
)


class RemoteToken(msgspec.Struct, frozen=True):
    """The parts of a token's document that a person reads."""

    id: str
    name: str
    prefix: str
    scopes: Sequence[str]
    state: str
    created_at: str
    created_by: str
    expires_at: str | None = None
    last_used_at: str | None = None
    revoked_at: str | None = None
    old_until: str | None = None
    token: str | None = None


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]


class _Who(msgspec.Struct, frozen=True):
    asked: bool


@click.group(cls=ListingGroup)
def token() -> None:
    """Make, list, rotate and revoke tokens. A TOKEN is called by its name or its id. Alone it lists them.

    \b
    Scopes: jobs:read, jobs:write, jobs:run, queues:admin, events:read,
    metrics:read; and admin, which is all of them.
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([scope.value for scope in Scope]),
    metavar="SCOPE",
    help="What its owner may do; may be repeated.",
)
@click.option("--role", type=click.Choice(list(ROLES)), help="The scopes of a role; with --scope, these as well.")
@click.option(
    "--expires", type=EXPIRES, default="90d", metavar="DURATION", help="How long it is good: 90d, never. [90d]"
)
@click.option("--direct", is_flag=True, help="Put it into the store, whether or not a Tickr runs there: the first one.")
@settings.setting_flags("store")
@asking
def create(
    name: str,
    scopes: Sequence[str],
    role: str | None,
    expires: float,
    direct: bool,
    url: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Make a token and print it, once: nobody can read it again.

    \b
    tickr token create ci --scope jobs:write --expires 90d
    tickr token create anna --role viewer
    tickr token create root --role admin --direct --store sqlite:///tickr.db
    """
    wanted = {Scope(word) for word in scopes} | set(ROLES[role] if role else ())
    if not wanted:
        raise click.UsageError("Say what its owner may do: --scope or --role.")
    if direct or flags.get("store"):
        _say_new(_put(name, wanted, expires, flags), as_json=as_json)
        click.echo("A Tickr on this store asks for tokens if it has TICKR_TOKEN or --require-token.", err=True)
        return
    said = {"name": name, "scopes": sorted(wanted), "expires_in": None if expires == math.inf else expires}
    with remote_at(url) as remote:
        _say_new(_asked(remote, "POST", "/tokens", said), as_json=as_json)
        if not remote.asked("GET", "/whoami", _Who)[0].asked:
            click.echo(OPEN, err=True)


def _put(name: str, scopes: set[Scope], expires_s: float, flags: dict[str, Any]) -> tuple[RemoteToken, bytes]:
    """Put a token into the store itself. Raises: Exit."""
    if not tokens.is_name(name):
        raise click.BadParameter(f"{name!r} {tokens.NAME_RULE}", param_hint="NAME")
    config = settings.load_or_exit(flags)
    if config.store == "memory:":
        raise Exit("A memory: store is that of one process; ask it over HTTP.", exits.MISUSED)

    async def put() -> tuple[Token, str]:
        async with open_store(config.store) as store:
            lives_us = None if expires_s == math.inf else us_of(expires_s)
            made, text = tokens.made(
                name, scopes, now=store.now_us(), by="tickr token --direct", expires_in_us=lives_us
            )
            return await store.change_token(Make(made)), text

    with exits.plainly():
        made, text = trio.run(put)
    from tickr.api.tokens import token_document  # not before: it brings the whole API

    raw = msgspec.json.encode(token_document(made, made.created_at, text))
    return msgspec.json.decode(raw, type=RemoteToken), raw


def _asked(remote: Remote, method: str, path: str, said: dict[str, Any] | None = None) -> tuple[RemoteToken, bytes]:
    return remote.asked(method, path, RemoteToken, body=submission.body(said) if said is not None else None)


def _say_new(made: tuple[RemoteToken, bytes], *, as_json: bool) -> None:
    """Print a token's text alone on stdout, so that it can go into a file or a variable; the rest to the person."""
    one, raw = made
    if as_json:
        click.echo(raw)
        return
    until = f"until {one.expires_at}" if one.expires_at else "for ever"
    click.echo(f"Token {one.name} ({', '.join(one.scopes)}) is good {until}. It is not told again:", err=True)
    click.echo(one.token)


@token.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are revoked or expired.")
@asking
def list_(every: bool, url: str | None, as_json: bool) -> None:
    """List the tokens that are good, newest first.

    \b
    tickr token list
    tickr token list --all
    """
    with remote_at(url) as remote:
        found = [one for one in _all(remote) if every or one[0].state == "good"]
    if as_json:
        for _, raw in found:
            click.echo(raw)
        return
    if not found:
        click.echo("No tokens." if every else "No tokens that are good.", err=True)
        return
    table = screen.plain_table("NAME", "ID", "STATE", "SCOPES", "EXPIRES", "LAST USED", "BY")
    for one, _ in found:
        table.add_row(*map(Text, _cells(one)))
    screen.console().print(table)


def _cells(one: RemoteToken) -> list[str]:
    now = datetime.now(UTC)
    expires = screen.relative(one.expires_at, now) if one.expires_at else "never"
    used = screen.relative(one.last_used_at, now) if one.last_used_at else "never"
    words = [one.name, one.id, one.state, " ".join(one.scopes), expires, used, one.created_by]
    return [screen.harmless(word) for word in words]


@token.command()
@click.argument("name", metavar="TOKEN")
@asking
def show(name: str, url: str | None, as_json: bool) -> None:
    """Show a TOKEN, but not its secret, which nobody has.

    \b
    tickr token show anna
    """
    with remote_at(url) as remote:
        one, raw = _named(remote, name)
    if as_json:
        click.echo(raw)
        return
    for title, value in _facts(one):
        click.echo(f"{title:10} {screen.harmless(value)}")


def _facts(one: RemoteToken) -> list[tuple[str, str]]:
    now = datetime.now(UTC)
    facts = [("token", one.name), ("begins", one.prefix), ("state", one.state), ("scopes", " ".join(one.scopes))]
    instants = {
        "created": one.created_at,
        "expires": one.expires_at,
        "last used": one.last_used_at,
        "revoked": one.revoked_at,
        "old until": one.old_until,
    }
    facts += [(title, screen.absolute(at, now)) for title, at in instants.items() if at]
    return [*facts, ("by", one.created_by)]


@token.command()
@click.argument("name", metavar="TOKEN")
@asking
def revoke(name: str, url: str | None, as_json: bool) -> None:
    """Have a TOKEN be good no longer: at once where it is asked, within 5 seconds on every node.

    \b
    tickr token revoke ci
    """
    with remote_at(url) as remote:
        one, raw = _asked(remote, "DELETE", f"/tokens/{_id_of(remote, name)}")
    click.echo(raw if as_json else f"Token {one.name} is revoked.")


@token.command()
@click.argument("name", metavar="TOKEN")
@click.option("--grace", type=GRACE, default="1h", metavar="DURATION", help="How long the old one stays good. [1h]")
@asking
def rotate(name: str, grace: float, url: str | None, as_json: bool) -> None:
    """Give a TOKEN another secret and print it, once. The old one stays good for a while.

    \b
    tickr token rotate anna
    tickr token rotate anna --grace 1d
    """
    with remote_at(url) as remote:
        made = _asked(remote, "POST", f"/tokens/{_id_of(remote, name)}/rotate", {"grace": grace})
    _say_new(made, as_json=as_json)
    if not as_json and made[0].old_until:
        click.echo(f"The one that it had is good until {made[0].old_until}.", err=True)


def _all(remote: Remote) -> list[tuple[RemoteToken, bytes]]:
    page, _ = remote.asked("GET", "/tokens", _Page)
    return [(remote.read(raw, RemoteToken), bytes(raw)) for raw in page.items]


def _id_of(remote: Remote, name: str) -> str:
    return quote(_named(remote, name)[0].id, safe="")


def _named(remote: Remote, name: str) -> tuple[RemoteToken, bytes]:
    """Return the token of that id, or the good one of that name, or the newest of it. Raises: Exit."""
    found = [made for made in _all(remote) if name in (made[0].id, made[0].name)]
    if not found:
        raise Exit(f"There is no token {screen.harmless(name)}; `tickr token list --all` shows them.", exits.NOT_FOUND)
    return max(found, key=lambda made: (made[0].id == name, made[0].state == "good"))  # the first of equals
