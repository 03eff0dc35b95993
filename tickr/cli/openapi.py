"""``tickr openapi``: the description of the API on stdout, as ``docs/openapi.json`` has it. It needs no Tickr."""

from __future__ import annotations

import click
import msgspec
import trio

from tickr.announce import Announcer
from tickr.api.app import Edge, create_app
from tickr.api.context import Context, Scraped
from tickr.api.description import described
from tickr.bell import LocalBell
from tickr.config import Config
from tickr.feed.feed import Feed
from tickr.index.heap import HeapIndex
from tickr.intake import Intake
from tickr.lease import Lease
from tickr.orders import Orders
from tickr.own_node import OwnNode
from tickr.remote.leases import leases_on
from tickr.store.contract import Node
from tickr.store.memory import MemoryStore
from tickr.timetable import Timetable


@click.command()
def openapi() -> None:
    """Print the description of the API, in OpenAPI 3.1.

    A Tickr that runs gives the same at /openapi.json, and shows it at /docs.

    \b
    tickr openapi > openapi.json
    """
    click.echo(pretty(unserved()), nl=False)


def pretty(app: Edge) -> bytes:
    """Return the description of ``app`` to be read by people, and compared line by line."""
    return msgspec.json.format(msgspec.json.encode(described(app)), indent=2) + b"\n"


def unserved() -> Edge:
    """Return an application, nothing of which runs: all that is asked of it is which calls it has."""
    config, stopping = Config(store="memory:"), trio.Event()
    store, index, bell = MemoryStore(), HeapIndex(), LocalBell()
    announcer, feed = Announcer(store, index, bell), Feed(store, bell)
    node = Node(id="", host="", pid=0, version="")
    return create_app(
        Context(
            intake=Intake(store, bell, announcer),
            orders=Orders(store, bell),
            own=OwnNode(Lease(store, node, lease_s=config.lease), None, stopping.set),
            timetable=Timetable(store, bell, announcer),
            leases=leases_on(
                *(store, index, bell, feed, announcer),
                lease_s=config.lease,
                max_result_bytes=config.max_result,
                stopping=stopping,
            ),
            store=store,
            index=index,
            feed=feed,
            config=config,
            stopping=stopping,
            metrics=_nothing,
        )
    )


async def _nothing(_accepted: str) -> Scraped:
    return Scraped("text/plain", b"")
