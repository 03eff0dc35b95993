"""``tickr demo``: a Tickr of its own on a temporary file, a handful of jobs, and what happens to them as it happens.

What is shown is the feed, which has every event from the first, so the demo also proves what it says: it exits 1 if a
job does not end as it should, or not in time.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import NamedTuple, Protocol

import click
import structlog
import trio
from rich.live import Live
from rich.table import Table
from rich.text import Text

import tickr
from tickr.cli import exits, screen
from tickr.cli.remote import Remote
from tickr.config import Config
from tickr.events import Event
from tickr.feed.feed import EARLIEST
from tickr.feed.selection import EVERYTHING
from tickr.handle import Handle
from tickr.jobs import FINAL
from tickr.service import serve

LIMIT_S = 25.0
"""How long the jobs may take in all, in seconds; they need about 8."""

VERBS = {
    "started": "runs",
    "succeeded": "succeeds",
    "retrying": "fails",
    "failed": "fails for good",
    "cancelled": "is stopped",
    "released": "is handed back",
}


class Scene(NamedTuple):
    """One job of the demo: what a person is told of it, how it is submitted, and the state it must end in."""

    title: str
    type: str
    ends: str
    payload: Mapping[str, object] = MappingProxyType({})
    options: Mapping[str, object] = MappingProxyType({})


SCENES = (
    Scene("a greeting, at once", "greet", "succeeded", {"name": "you"}),
    Scene("work of 2 seconds", "work", "succeeded", {"seconds": 2}),
    Scene("a reminder, in 3 seconds", "greet", "succeeded", {"name": "later"}, {"delay": 3}),
    Scene("another, in 6 seconds", "greet", "succeeded", {"name": "even later"}, {"delay": 6}),
    Scene("fails twice, then works", "flaky", "succeeded", {}, {"backoff": {"kind": "linear", "base": 1, "jitter": 0}}),
    Scene(
        "fails at every try", "broken", "failed", {}, {"max_attempts": 2, "backoff": {"kind": "constant", "base": 2}}
    ),
    Scene("sees that it is hopeless", "hopeless", "failed"),
    Scene("takes too long", "work", "failed", {"seconds": 60}, {"timeout": 1.5, "max_attempts": 1}),
    Scene("is cancelled meanwhile", "work", "cancelled", {"seconds": 60}),
)
CANCELLED_AFTER_S = 4.0


jobs = tickr.Jobs()


@jobs.handler("greet")
async def greet(job: tickr.Job, name: str) -> str:
    return f"Hello {name}!"


@jobs.handler("work")
async def work(job: tickr.Job, seconds: float) -> None:
    await trio.sleep(seconds)


@jobs.handler("flaky")
async def flaky(job: tickr.Job) -> str:
    if job.attempt < 3:
        raise ConnectionError("nobody answers")
    return f"worked at try {job.attempt}"


@jobs.handler("broken")
async def broken(job: tickr.Job) -> None:
    raise RuntimeError("this one has a bug")


@jobs.handler("hopeless")
async def hopeless(job: tickr.Job) -> None:
    raise tickr.GiveUp("no try will ever work")


class Stage(Protocol):
    """Where the audience looks."""

    def show(self, scene: int, event: Event) -> None:
        """Something happened to the job of ``SCENES[scene]``."""
        ...

    def draw(self) -> None: ...


@click.command()
def demo() -> None:
    """Watch a few jobs run: at once, later, failing, tried again, cancelled. Takes about 8 seconds.

    \b
    tickr demo

    Tickr runs inside this command on a temporary file; nothing is left behind.
    """
    # The table is the point here; what the log would say of jobs that fail on purpose is in it.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory(prefix="tickr-demo-") as folder, exits.plainly():
        wrong = trio.run(_perform, f"sqlite:///{folder}/demo.db")
    if wrong:
        raise exits.Exit("\n  ".join(["Not everything went as it should:", *wrong]))
    click.echo(
        f"\n{len(SCENES)} jobs, and each ended as it should, the failing ones included.\n"
        "Run your own with `tickr serve`."
    )


async def _perform(store: str) -> list[str]:
    """Run the demo and return what went wrong."""
    config = Config(store=store, port=0, workers=8, grace=1)
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Handle]) -> None:
            await serve(jobs, config=config, task_status=task_status)

        handle: Handle = await nursery.start(run)
        click.echo(f"A Tickr of its own, on {handle.url} for the moment:\n")
        with _stage() as stage:
            wrong = await _play(handle, stage)
        handle.stop()
    return wrong


async def _play(handle: Handle, stage: Stage) -> list[str]:
    ids = [(await handle.submit(scene.type, dict(scene.payload), **scene.options)).id for scene in SCENES]
    places = {job_id: place for place, job_id in enumerate(ids)}
    ends: dict[int, str] = {}
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_later, handle, ids)
        with trio.move_on_after(LIMIT_S):
            async with handle.feed.subscribe(EVERYTHING, after=EARLIEST) as feed:
                while len(ends) < len(SCENES):
                    for told in (await feed.receive()).events:
                        assert isinstance(told.event, Event), "there is nothing here but jobs"
                        place = places[told.event.job]
                        stage.show(place, told.event)
                        if told.event.state in FINAL:
                            ends[place] = told.event.state
                    stage.draw()
        nursery.cancel_scope.cancel()
    return [
        f"{scene.title}: {ends.get(place, 'did not end')}, not {scene.ends}"
        for place, scene in enumerate(SCENES)
        if ends.get(place) != scene.ends
    ]


async def _cancel_later(handle: Handle, ids: list[str]) -> None:
    await trio.sleep(CANCELLED_AFTER_S)
    with Remote(handle.url) as remote:
        for job_id, scene in zip(ids, SCENES, strict=True):
            if scene.ends == "cancelled":
                await trio.to_thread.run_sync(remote.cancel, job_id)


# -- what is seen ----------------------------------------------------------------------------------------------------


@contextmanager
def _stage() -> Iterator[Stage]:
    """Give a live table on a terminal, plain lines elsewhere."""
    console = screen.console()
    if not console.is_terminal or console.is_dumb_terminal:
        yield _Lines()
        return
    with Live(console=console, auto_refresh=False) as live:
        yield _Table(live)


class _Lines:
    """One line for each event."""

    def __init__(self) -> None:
        self._began: int | None = None

    def show(self, scene: int, event: Event) -> None:
        self._began = event.time if self._began is None else self._began
        why = f": {event.error.message}" if event.error and event.state != "running" else ""
        click.echo(f"{(event.time - self._began) / 1e6:5.1f} s  {SCENES[scene].title:24} {event.state}{why}")

    def draw(self) -> None:
        sys.stdout.flush()


class _Table:
    """One row for each job: what it is, its state, its story so far."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._states = ["" for _ in SCENES]
        self._stories: list[list[str]] = [[] for _ in SCENES]

    def show(self, scene: int, event: Event) -> None:
        self._states[scene] = str(event.state)
        verb = "waits" if event.what == "created" and event.state == "scheduled" else VERBS.get(event.what)
        if verb:
            self._stories[scene].append(verb)

    def draw(self) -> None:
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> Table:

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
        for header, width in (("JOB", 24), ("STATE", 9), ("WHAT HAPPENS", None)):
            table.add_column(header, width=width)
        for scene, state, story in zip(SCENES, self._states, self._stories, strict=True):
            table.add_row(scene.title, screen.state(state), Text(", ".join(story), "dim"))
        return table
