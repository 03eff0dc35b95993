"""``tickr keys``: make a key, see which ones encrypt what, and give jobs another one.

Works on the store itself, with the settings that ``tickr serve`` would have here; nodes may be running.
``resealing.py`` and ``resigning.py`` go through the store; here is what the operator says, and is told.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec
import trio

from tickr.cli import exits, progress, resealing, resigning, screen, settings
from tickr.cli.resealing import Done, Use
from tickr.envelopes import is_key_name, name_of, new_key, told


@click.group(invoke_without_command=True)
@click.pass_context
def keys(context: click.Context) -> None:
    """Make keys that encrypt and sign, see which are in use, and give jobs another one."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@keys.command("new")
@click.argument("name", default="main")
@settings.json_flag("Print a JSON object.")
def new(name: str, as_json: bool) -> None:
    """Print a new key called NAME, as TICKR_ENCRYPTION_KEYS or TICKR_SIGNING_KEYS takes it; it is stored nowhere.

    \b
    tickr keys new 2030-01
    """
    if not is_key_name(name):
        raise click.UsageError("a key's name is 1 to 32 letters, digits or _ -, beginning with a letter or digit")
    made = f"{name}:{new_key()}"
    click.echo(msgspec.json.encode({"name": name, "key": made}) if as_json else made)


@keys.command("list")
@settings.json_flag("Print a JSON array.")
@settings.setting_flags("store")
def list_(as_json: bool, **flags: Any) -> None:
    """Show how many jobs and schedules are encrypted with which key. One that nothing needs may go.

    \b
    tickr keys list
    """
    config = settings.load_or_exit(flags)
    with exits.plainly():
        found = trio.run(resealing.uses, config)
    if as_json:
        click.echo(msgspec.json.encode([_document(use) for use in found]))
    else:
        screen.console().print(_table(found))


@keys.command()
@settings.json_flag("Print a JSON object.")
@settings.setting_flags("store")
def reencrypt(as_json: bool, **flags: Any) -> None:
    """Encrypt every job and schedule that has another key with the first one, and tell which keys may go.

    \b
    tickr keys reencrypt --config tickr.toml

    Goes in small steps and rests as long as each has taken, so that the nodes hardly notice; broken off, it goes on
    where it was when it is started again. What runs just then is left as it is, and so are events, until they are
    deleted (--events-keep). Plain jobs stay plain. Exits with 1 if something still needs another key.
    """
    config = settings.load_or_exit(flags)
    with exits.plainly(), progress.working("Encrypting with the first key"):
        done = trio.run(resealing.reseal, config, lambda trouble: click.echo(trouble, err=True))
        found = trio.run(resealing.uses, config)
    old = [use for use in found if use.key is not None and not use.first]
    if as_json:
        click.echo(msgspec.json.encode({**done._asdict(), "others": [_document(use) for use in old]}))
    else:
        click.echo(_said(done))
        for use in old:
            click.echo(_verdict(use, config.events_keep, config.idempotency_keep))
    if any(use.needed or use.encrypts for use in old):
        sys.exit(exits.REFUSED)


@keys.command()
@settings.json_flag("Print a JSON object.")
@settings.setting_flags("store")
def resign(as_json: bool, **flags: Any) -> None:
    """Sign every job and schedule that is signed with another key with the first one, as `reencrypt` encrypts.

    \b
    tickr keys resign --config tickr.toml

    What is signed otherwise than it is now is told, and left as it is. Exits with 1 if jobs ran just then.
    """
    config = settings.load_or_exit(flags)
    with exits.plainly(), progress.working("Signing with the first key"):
        done = trio.run(resigning.resign, config, lambda trouble: click.echo(trouble, err=True))
    if as_json:
        click.echo(msgspec.json.encode(done._asdict()))
    else:
        click.echo(f"Signed with the first key: {done.jobs:,} jobs, {done.schedules:,} schedules.")
        click.echo(_rest(done))
    if done.left:
        sys.exit(exits.REFUSED)


def _rest(done: resigning.Signed) -> str:
    if done.left:
        return f"{done.left:,} jobs ran, or moved, just then; run this again later."
    return "Nothing needs another key any more that is to be run, if all nodes sign with the first one."


def _said(done: Done) -> str:
    return f"Encrypted with the first key: {done.jobs:,} jobs, {done.schedules:,} schedules."


def _verdict(use: Use, events_keep_s: float, idempotency_keep_s: float) -> str:
    """Say whether a key may go, and if not, what to do."""
    assert use.key is not None
    who = told(use.key).capitalize()
    if use.encrypts:
        nodes = "1 node encrypts" if use.encrypts == 1 else f"{use.encrypts} nodes encrypt"
        return f"{who}: {nodes} with it still; give them TICKR_ENCRYPTION_KEYS as it is here, then run this again."
    if use.needed and not use.here:
        return f"{who}: {use.needed:,} jobs or schedules need it, and it is not here; add it, then run this again."
    if use.needed:
        return (
            f"{who}: {use.needed:,} jobs or schedules need it still, as those that ran just now; run this again later."
        )
    kept = max(events_keep_s, idempotency_keep_s)
    return (
        f"{who}: no job and no schedule needs it any more. Take it out of TICKR_ENCRYPTION_KEYS; in {kept / 3600:g} h, "
        "if what events of that time tell shall be readable until then, and idempotency keys known again."
    )


def _document(use: Use) -> dict[str, object]:
    name = None if use.key is None else name_of(use.key)
    return {"name": name, **use._asdict()}


def _table(found: Sequence[Use]) -> object:
    table = screen.plain_table("KEY", "TO RUN", "ENDED", "SCHEDULES", "NODES", "HERE")
    for use in found:
        here = "encrypts" if use.first else "decrypts" if use.here else "" if use.key is None else "missing"
        name = "none, plain" if use.key is None else f"{name_of(use.key)} ({use.key.rpartition('.')[2]})"
        counts = (str(count) for count in (use.to_run, use.ended, use.schedules))
        table.add_row(name, *counts, "" if use.key is None else str(use.nodes), here)
    return table
