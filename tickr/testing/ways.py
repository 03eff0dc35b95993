"""Ways: how to begin a test in virtual time.

``running(jobs)`` goes over a test function, or into a program that runs on trio with a virtual clock; ``run`` is for
everything else. What they have in common: nodes that live (``life.py``), an order of tasks that follows from ``seed``,
and an error that comes out as it was raised, not in a group.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

import structlog
import trio
from trio.testing import MockClock

from tickr.config import Config
from tickr.configuring import Given, read
from tickr.errors import ConfigError
from tickr.surroundings import Surroundings
from tickr.testing.app import App
from tickr.testing.life import LONGEST_S, Life
from tickr.testing.order import in_order
from tickr.testing.recorded import RecordedJobs
from tickr.testing.unfinished import NotSucceeded, Unfinished
from tickr.worker import builtin
from tickr.worker.failures import cause
from tickr.worker.handlers import Jobs

Answer = TypeVar("Answer")

START = datetime(2030, 1, 1, tzinfo=UTC)
"""The instant at which tests begin that name none: a Tuesday."""
SETTINGS = (
    *("workers", "grace", "lease", "events_keep", "keep_succeeded", "keep_failed"),
    *("max_result", "process_jobs", "process_memory", "smtp", "http_allow_private", "encryption_keys"),
    *("compress_above", "signing_keys", "signed_only"),
)
"""Settings of Tickr that mean something here."""
LEASE_S = 86_400.0
"""The node is alone: a heartbeat every eight hours will do."""
STRETCH = 86_400.0
"""Its safety nets look once a day."""
BLOCKED_S = 15.0
"""A handler may block the event loop for as long as with the lease that nodes have by default, in real seconds."""

_taken: trio.lowlevel.RunVar[bool] = trio.lowlevel.RunVar("tickr.testing.running", False)


class running:
    """A Tickr with the handlers of ``jobs``, alone with a store in memory, in virtual time.

    As a decorator it makes an async test into a plain function that runs on a trio of its own, with a virtual clock;
    the test's parameter ``app`` is the ``App``. As an async context manager it needs a trio that has such a clock.

    Args:
      start: the instant at which it begins.
      seed: what the order of tasks that could run at once follows from, and the jitter.
      jitter: whether back-offs have the jitter that they have in earnest; without it they are exact.
      real_within: how long, in seconds of real time, virtual time may stand still before the test is taken to hang.
      settings: of Tickr, as ``tickr.serve`` takes them: ``workers``, ``grace``, ``lease``, ``keep_succeeded`` …
    Raises: ConfigError: a setting is wrong, or means nothing here. TypeError, ValueError: another argument is.
    """

    def __init__(
        self,
        jobs: Jobs,
        *,
        start: datetime = START,
        seed: int = 0,
        jitter: bool = False,
        real_within: float = 30.0,
        **settings: Any,
    ) -> None:
        if not isinstance(jobs, Jobs):
            raise TypeError(
                f"jobs must be a tickr.Jobs, the object that handlers are registered with, not {jobs!r:.100}"
            )
        if start.tzinfo is None:
            raise ValueError(
                f"start has no time zone, so nobody knows when that is; give {start!r} tzinfo=datetime.UTC"
            )
        self._jobs = jobs
        self._config = _config(settings)
        self._begin = partial(
            _begun, start=start, seed=seed, jitter=jitter, real_within=real_within, config=self._config
        )
        self._opened: AbstractAsyncContextManager[App] | None = None

    async def __aenter__(self) -> App:
        if self._opened is not None:
            raise RuntimeError("this was entered before; make another one with running(jobs)")
        self._opened = self._begin(self._jobs)
        return await self._opened.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> bool | None:
        assert self._opened is not None
        return await self._opened.__aexit__(kind, error, at)

    def __call__(self, test: Callable[..., Awaitable[Answer]]) -> Callable[..., Answer]:
        """Return a plain function that runs ``test``. It takes what that takes, but for ``app``."""
        if not inspect.iscoroutinefunction(test):
            raise TypeError(f"@running(jobs) goes over an async function, and {test!r} is none")
        signature = inspect.signature(test)
        if "app" not in signature.parameters:
            raise TypeError(f"{test.__qualname__} must take a parameter `app`, which is what @running(jobs) gives it")

        @functools.wraps(test)
        def run_test(*args: Any, **kwargs: Any) -> Answer:
            return self._run(lambda app: test(*args, app=app, **kwargs))

        others = [one for name, one in signature.parameters.items() if name != "app"]
        run_test.__signature__ = signature.replace(parameters=others)  # type: ignore[attr-defined]  # for pytest
        return run_test

    def _run(self, scenario: Callable[[App], Awaitable[Answer]]) -> Answer:
        async def main() -> Answer:
            async with self._begin(self._jobs) as app:
                return await scenario(app)
            raise AssertionError("an error goes on")

        try:
            return trio.run(main, clock=MockClock())
        except trio.TrioInternalError as broken:
            if isinstance(torn := broken.__cause__, Unfinished):  # see ``VirtualTime.abort_if_stuck``
                raise torn from torn.__cause__
            raise


def run(jobs: Jobs, scenario: Callable[[App], Awaitable[Answer]], **options: Any) -> Answer:
    """Run ``scenario(app)`` on a trio of its own with a virtual clock, and return what it returns.

    Args: those of ``running``. Raises: what ``scenario`` raises, and what ``running`` does.
    """
    return running(jobs, **options)._run(scenario)


def _config(settings: dict[str, Any]) -> Config:
    for name in settings:
        if name in Config.__struct_fields__ and name not in SETTINGS:
            raise ConfigError([f"{name} means nothing in tickr.testing; it takes {', '.join(SETTINGS)}"])
    base = Config(
        store="memory:",
        index="heap:",
        roles=("scheduler", "worker"),
        lease=LEASE_S,
        events_keep=LONGEST_S,
        keep_succeeded=math.inf,
        keep_failed=math.inf,
    )
    return read({name: Given(value, name) for name, value in settings.items()}, base)


@asynccontextmanager
async def _begun(
    given: Jobs, *, start: datetime, seed: int, jitter: bool, real_within: float, config: Config
) -> AsyncIterator[App]:
    handlers = Jobs()
    handlers.include(given)
    builtin.register(handlers, http_allow_private=config.http_allow_private, smtp=config.smtp)
    chance = random.Random(seed).random if jitter else _even
    surroundings = Surroundings(stretch=STRETCH, chance=chance, blocked_s=BLOCKED_S)
    life = Life(config, surroundings, start, real_within, alone=lambda: app.is_waited_for)
    app = App(life, handlers.types)
    life.left = app.told_left
    jobs = RecordedJobs(handlers, app.note_run)
    with _alone_in_this_trio(), ExitStack() as changes, life.time:
        for change in (in_order(seed), _quiet(), life.crashes):
            changes.enter_context(change)
        async with _living(life, app, jobs, undo=changes.close):
            yield app
        life.crashes.check()


@asynccontextmanager
async def _living(life: Life, app: App, jobs: Jobs, undo: Callable[[], None]) -> AsyncIterator[None]:
    """A block with a node that lives. An error of it goes on as it is; with it, one of the node's.

    Args:
      undo: called before trio's loop is broken, as nobody will tidy up then.
    """
    failed: BaseException | None = None

    def torn() -> Unfinished:
        undo()
        error = life.cannot_end()
        error.__cause__ = failed
        return error

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.guard)
            nursery.start_soon(life.keep_up, jobs)
            await life.settled()
            try:
                yield
            except BaseException as error:
                if nursery.cancel_scope.cancel_called:  # by the end of the node, or by the guard
                    raise
                failed = error
                if not isinstance(error, trio.Cancelled | Unfinished | NotSucceeded):
                    error.add_note(app.story)
            finally:
                life.time.abort_if_stuck(torn)
            nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise cause(group) from None
    if failed is not None:
        raise failed


def _even() -> float:
    """No chance: the delay without its jitter."""
    return 0.5


@contextmanager
def _alone_in_this_trio() -> Iterator[None]:
    if _taken.get():
        raise RuntimeError("one Tickr at a time: clock and failpoints are shared; put all handlers into one tickr.Jobs")
    _taken.set(True)
    try:
        yield
    finally:
        _taken.set(False)


@contextmanager
def _quiet() -> Iterator[None]:
    """Log errors alone, unless the program has set up its log: thousands of lines cost more than all the jobs."""
    with ExitStack() as undo:
        if not structlog.is_configured():
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
            undo.callback(structlog.reset_defaults)
        yield
