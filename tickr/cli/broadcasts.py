"""``tickr broadcast``: a job for each node that handles its type. Asks a running Tickr over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import click
import msgspec
import uuid_utils
from msgspec import Raw

from tickr.cli import known, screen, submission
from tickr.cli.jobs import DURATION, asking, remote_at
from tickr.cli.remote_records import RemoteJob


class _Broadcast(msgspec.Struct, frozen=True):
    id: str
    items: list[Raw]


@click.command()
@click.argument("type", shell_complete=known.types)
@click.argument("payload", nargs=-1)
@click.option("--priority", type=int, metavar="0-9", help="Lower runs first; 5 if not given.")
@click.option("--expires-in", type=DURATION, metavar="DURATION", help="Not started so long from now or later.")
@click.option("--max-attempts", type=int, metavar="NUMBER", help="How often each is tried in all.")
@click.option("--timeout", type=DURATION, metavar="DURATION", help="How long one attempt may take.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated.")
@click.option("--id", "broadcast_id", metavar="UUID", help="An id of your own; the same again is the same jobs.")
@asking
def broadcast(
    type: str,
    payload: Sequence[str],
    labels: Sequence[str],
    broadcast_id: str | None,
    url: str | None,
    as_json: bool,
    **fields: object,
) -> None:
    """Hand in a job of TYPE for every node that handles it, each to be run by that very node.

    PAYLOAD is what it is for submit. Printed are a line for each job, and with whom it waits.

    \b
    tickr broadcast clear_cache
    tickr broadcast reload name=prices --expires-in 1m
    """
    chosen = broadcast_id or str(uuid_utils.uuid7())
    fields |= {"type": type, "payload": submission.payload(payload), "labels": submission.labels(labels), "id": chosen}
    with remote_at(url) as remote:
        found, raw = remote.asked("POST", "/broadcasts", _Broadcast, body=submission.body(fields))
        if as_json:
            click.echo(raw)
            return
        for one in found.items:
            job = remote.read(one, RemoteJob)
            screen.console().print(screen.line(job), f"for node {job.queue.removeprefix('@')}", sep="  ")
    if not found.items:
        click.echo(f"No live node handles the type {type}: there is nobody to tell.", err=True)
