"""``tickr nodes``: which nodes there are, what each runs, what an operator tells them. Asks any of them over HTTP."""

from __future__ import annotations

from collections.abc import Sequence

import click

from tickr.cli import known, node_screen, screen
from tickr.cli.groups import ListingGroup
from tickr.cli.jobs import asking, each, remote_at
from tickr.cli.remote_nodes import NodeAnswer, RemoteNodes


@click.group(cls=ListingGroup)
def nodes() -> None:
    """Show nodes and what they run; have them take nothing new, stop them. Alone it lists them.

    A NODE is called by its id, the end of its id, or HOST:PID, as the list shows them; "self" is the one that answers.
    """


@nodes.command("list")
@asking
def list_(url: str | None, as_json: bool) -> None:
    """List all nodes: how they are, and what they run. The one marked with * has answered.

    \b
    tickr nodes list --json
    """
    with remote_at(url) as remote:
        fleet = RemoteNodes(remote).all()
    if as_json:
        for one in fleet.nodes:
            click.echo(one.raw)
        return
    console = screen.console()
    console.print(node_screen.node_list(fleet, width=console.width))
    if fleet.lost:
        click.echo(f"{fleet.lost} jobs ran on nodes that are gone; they are taken back in a moment.", err=True)


@nodes.command()
@click.argument("node", shell_complete=known.nodes)
@asking
def show(node: str, url: str | None, as_json: bool) -> None:
    """Show a NODE and the jobs that it runs.

    \b
    tickr nodes show self
    """
    with remote_at(url) as remote:
        answer = RemoteNodes(remote).get(node)
    if as_json:
        click.echo(answer.raw)
    else:
        screen.console().print(*node_screen.whole(answer.node), sep="\n")


@nodes.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=known.nodes)
@asking
def quiet(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Have nodes take nothing new, and stay. What they run goes on.

    \b
    tickr nodes quiet self
    """
    _tell("quiet", names, url, as_json=as_json)


@nodes.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=known.nodes)
@asking
def resume(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Have quiet nodes take work again.

    \b
    tickr nodes resume self
    """
    _tell("resume", names, url, as_json=as_json)


@nodes.command()
@click.argument("names", nargs=-1, required=True, metavar="NODE...", shell_complete=known.nodes)
@asking
def stop(names: Sequence[str], url: str | None, as_json: bool) -> None:
    """Stop nodes gracefully, as SIGTERM does. What started them may start them again.

    \b
    tickr nodes stop web-1:4711
    """
    _tell("stop", names, url, as_json=as_json)


@nodes.command()
@click.argument("node", shell_complete=known.nodes)
@click.argument("number", type=int)
@asking
def workers(node: str, number: int, url: str | None, as_json: bool) -> None:
    """Have a NODE run NUMBER jobs at once, until it is started again.

    \b
    tickr nodes workers self 20
    """
    with remote_at(url) as remote:
        click.echo(_said(RemoteNodes(remote).change(node, number), as_json=as_json))


def _tell(order: str, names: Sequence[str], url: str | None, *, as_json: bool) -> None:
    with remote_at(url) as remote:
        each(names, lambda name: _said(RemoteNodes(remote).tell(name, order), as_json=as_json))


def _said(answer: NodeAnswer, *, as_json: bool) -> bytes | str:
    return answer.raw if as_json else node_screen.line(answer.node).plain
