"""What an operator does with a store: migrate it, and have everything round it looked over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tickr.cli.settings import setting_flags

if TYPE_CHECKING:
    from tickr.config import Config


@click.command()
@click.option("--check", is_flag=True, help="Only say what would be done; exit 1 if there is something.")
@setting_flags("store")
def migrate(check: bool, **flags: Any) -> None:
    """Bring the store's schema up to this program's.

    `tickr serve` does so by itself for an empty database, and refuses one that is older or newer. Stop every Tickr
    on the database first, and make a backup.
    """
    import trio

    from tickr.cli import exits

    config = _config(flags)
    with exits.plainly():
        click.echo(trio.run(_migrate, config.store, check))


async def _migrate(store: str, check: bool) -> str:
    from tickr.cli.exits import Exit
    from tickr.store.open import open_store
    from tickr.store.versions import schema_state

    if store == "memory:":
        return "A memory: store has no schema; there is nothing to do."
    before = await schema_state(store)
    if not before.lacking:
        return f"The store is at schema {before.have}, which is this program's. There is nothing to do."
    steps = ", ".join(f"{step.version} ({step.name})" for step in before.lacking)
    if check:
        found = f"is at schema {before.have}" if before.have else "is empty"
        raise Exit(f"The store {found}, this program needs {before.want}. To do: {steps}.")
    async with open_store(store, migrate=True):
        return f"The store went from schema {before.have} to {before.want}: {steps}."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array of the checks.")
@setting_flags("store", "index")
def doctor(as_json: bool, **flags: Any) -> None:
    """Look for what is wrong with the store, the index and this machine; exit 1 if something is.

    Looks with the settings that `tickr serve` would have here. Nothing is changed, and Tickr may be running.
    """
    import sys

    import trio

    from tickr.cli import examine, exits

    config = _config(flags)
    with exits.plainly():
        checks = trio.run(examine.everything, config)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode([check._asdict() for check in checks]))
    else:
        from tickr.cli import screen

        screen.console().print(screen.check_list(checks))
    sys.exit(exits.REFUSED if any(check.level == "fail" for check in checks) else 0)


def _config(flags: dict[str, Any]) -> Config:
    from tickr.cli import exits, settings
    from tickr.errors import ConfigError

    try:
        return settings.load(flags)
    except ConfigError as error:
        raise exits.of_config(error) from None
