"""``tickr inbox``: the jobs that were refused out of the table into which other programs insert them.

Asks the store itself, as ``tickr doctor`` does: whoever inserts rows is at home there. Tickr may be running or not; a
row that is retried is taken by the next node that looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import click
import msgspec
import trio

from tickr.cli import exits, screen, settings
from tickr.cli.groups import ListingGroup
from tickr.instants import rfc3339
from tickr.store.contract import RefusedRow, Store
from tickr.store.open import open_store

Answer = TypeVar("Answer")

MOST = 1_000
"""How many rows are listed at most."""


@click.group(cls=ListingGroup)
def inbox() -> None:
    """Look at jobs that were refused in the inbox, retry or delete them. Alone it lists them."""


@inbox.command("list")
@click.option("--limit", type=click.IntRange(1, MOST), default=100, help="How many at most; 100 if not given.")
@settings.json_flag("Print a JSON object for each row.")
@settings.setting_flags("store")
def list_(limit: int, as_json: bool, **flags: Any) -> None:
    """List the rows that were refused, the latest first: number, when, and why.

    \b
    tickr inbox list --limit 10
    """
    found = _ask(flags, lambda store: store.inbox_refused(limit))
    for row in found:
        click.echo(_document(row) if as_json else _line(row))
    if not found and not as_json:
        click.echo("No row has been refused.", err=True)


@inbox.command()
@click.argument("row", type=int)
@settings.json_flag("Print a JSON object.")
@settings.setting_flags("store")
def retry(row: int, as_json: bool, **flags: Any) -> None:
    """Have the refused ROW taken again, as after an UPDATE has mended it, or the job that held its key has ended.

    \b
    tickr inbox retry 42
    """
    if not _ask(flags, lambda store: store.retry_inbox(row)):
        raise _no_such(row)
    click.echo(msgspec.json.encode({"row": row, "retried": True}) if as_json else f"Row {row} will be taken again.")


@inbox.command()
@click.argument("row", type=int)
@settings.json_flag("Print a JSON object.")
@settings.setting_flags("store")
def delete(row: int, as_json: bool, **flags: Any) -> None:
    """Delete the refused ROW.

    \b
    tickr inbox delete 42
    """
    if not _ask(flags, lambda store: store.drop_inbox(row)):
        raise _no_such(row)
    click.echo(msgspec.json.encode({"row": row, "deleted": True}) if as_json else f"Row {row} is deleted.")


def _ask(flags: dict[str, Any], question: Callable[[Store], Awaitable[Answer]]) -> Answer:
    config = settings.load_or_exit(flags)
    if config.store == "memory:":
        raise exits.Exit("A memory: store has no inbox.", exits.MISUSED)

    async def ask() -> Answer:
        async with open_store(config.store) as store:
            return await question(store)

    with exits.plainly():
        return trio.run(ask)
    raise AssertionError("plainly lets nothing pass")


def _no_such(row: int) -> exits.Exit:
    return exits.Exit(f"There is no refused row {row}; tickr inbox lists those there are.", exits.NOT_FOUND)


def _line(row: RefusedRow) -> str:
    return screen.harmless(f"{row.seq}  {rfc3339(row.refused_at)}  {row.reason}\n    {row.job}")


def _document(row: RefusedRow) -> bytes:
    said = row._asdict() | {"refused_at": rfc3339(row.refused_at)}
    return msgspec.json.encode({"row": said.pop("seq"), **said})
