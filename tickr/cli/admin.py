"""What an operator does with a store: migrate it, and have everything round it looked over."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec
import trio

from tickr.cli import examine, exits, progress, screen, settings
from tickr.store.contract import Check
from tickr.store.open import open_store
from tickr.store.versions import SchemaState, schema_state


@click.command()
@click.option("--check", is_flag=True, help="Only say what would be done; exit 1 if there is something.")
@click.option(
    "--new-history",
    is_flag=True,
    help="After restoring a backup: begin a new history of events, so that no old cursor is taken for one of it.",
)
@settings.json_flag("Print a JSON object.")
@settings.setting_flags("store")
def migrate(check: bool, new_history: bool, as_json: bool, **flags: Any) -> None:
    """Bring the store's schema up to this program's.

    \b
    tickr migrate --check
    tickr migrate --store mysql://tickr:secret@db/tickr

    `tickr serve` does so by itself for an empty database, and refuses one that is older or newer. Stop every Tickr
    on the database first, and make a backup.
    """
    if check and new_history:
        raise click.UsageError("--check changes nothing, --new-history does: give one of them.")
    config = settings.load_or_exit(flags)
    with exits.plainly():
        before = trio.run(schema_state, config.store)
        if before.lacking and not check:
            with progress.working(f"Migrating from schema {before.have} to {before.want}"):
                trio.run(_migrate, config.store)
        histories = trio.run(_begin_history, config.store) if new_history and config.store != "memory:" else None
    if as_json:
        steps = [{"version": step.version, "name": step.name} for step in before.lacking]
        told: dict[str, object] = {"schema": before.have, "wanted": before.want, "steps": steps, "done": not check}
        told["history"] = None if histories is None else histories[1]
        click.echo(msgspec.json.encode(told))
    elif not (check and before.lacking):
        click.echo(_said(config.store, before))
        if histories:
            old, new = histories
            click.echo(f"The history of events is {new} from now on; cursors of {old} are refused.")
    if check and before.lacking:
        found = f"is at schema {before.have}" if before.have else "is empty"
        raise exits.Exit(f"The store {found}, this program needs {before.want}. To do: {_steps(before)}.")


def _said(store: str, before: SchemaState) -> str:
    if store == "memory:":
        return "A memory: store has no schema; there is nothing to do."
    if not before.lacking:
        return f"The store is at schema {before.have}, which is this program's. There is nothing to do."
    return f"The store went from schema {before.have} to {before.want}: {_steps(before)}."


def _steps(before: SchemaState) -> str:
    return ", ".join(f"{step.version} ({step.name})" for step in before.lacking)


async def _migrate(store: str) -> None:
    async with open_store(store, migrate=True):
        pass


async def _begin_history(store: str) -> tuple[str, str]:
    """Return the history that was, and the one from now on."""
    async with open_store(store) as opened:
        old = (await opened.feed_state()).history
        return old, await opened.new_history(old)


@click.command()
@settings.json_flag("Print a JSON array of the checks.")
@settings.setting_flags()
def doctor(as_json: bool, **flags: Any) -> None:
    """Look for what is wrong with the store, the index and this machine; exit 1 if something is.

    \b
    tickr doctor --config tickr.toml

    Looks with the settings that `tickr serve` would have here. Nothing is changed, and Tickr may be running.
    """
    config = settings.load_or_exit(flags)
    with exits.plainly():
        checks = trio.run(examine.everything, config)
    if as_json:
        click.echo(msgspec.json.encode([check._asdict() for check in checks]))
    else:
        screen.console().print(screen.check_list(checks))
        click.echo(f"\n{_verdict(checks)}")
    sys.exit(exits.REFUSED if any(check.level == "fail" for check in checks) else 0)


def _verdict(checks: list[Check]) -> str:
    failing, doubtful = (sum(check.level == level for check in checks) for level in ("fail", "warn"))
    if failing:
        return f"{failing} of {len(checks)} checks failed."
    return f"Nothing is wrong; {doubtful} to look at." if doubtful else "Nothing is wrong."
