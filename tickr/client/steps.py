"""What the client wants done in the world, as values; so that everything else is written once for both faces.

A ``Steps`` is a generator: it yields what is to be done next and is sent what came of it. ``blocking.py`` and
``asynchronous.py`` do these few things in their own ways and know nothing else. Closing the generator is cancelling:
its ``finally`` blocks put everything in order, and yield nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Generator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

Value = TypeVar("Value")

JSON = {"Content-Type": "application/json"}


class Request(NamedTuple):
    """One HTTP request; ``path`` begins at the server's URL. ``query``: values may be lists of values."""

    method: str
    path: str
    body: bytes | None = None
    query: Mapping[str, Any] = {}
    headers: Mapping[str, str] = {}


class Reply(NamedTuple):
    """An answer that came whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Lost(NamedTuple):
    """No answer came, or not all of it. ``sent``: the request may have arrived, so it may have been done.

    ``hurried``: it had hardly any time, so this says less about the server than what was lost before it.
    """

    reason: str
    sent: bool
    hurried: bool = False


class Signal(Protocol):
    """Wakes one waiter. Set by anybody, cleared by the waiter before it looks at what it waits for."""

    def set(self) -> None: ...

    def clear(self) -> None: ...


class Send(NamedTuple):
    """Send ``request`` and wait for the answer, no longer than ``within_s`` seconds → ``Reply`` or ``Lost``."""

    request: Request
    within_s: float


class Pause(NamedTuple):
    """Wait so many seconds; 0 lets others have their turn."""

    seconds: float


class Until(NamedTuple):
    """Wait until ``signal`` is set, no longer than ``within_s`` seconds."""

    signal: Signal
    within_s: float


Step = Send | Pause | Until
Steps = Generator[Step, Any, Value]


class Run(Protocol):
    """Does the steps, and returns what they return: ``Client`` has one for all that may be asked."""

    def __call__(self, steps: Steps[Value], /) -> Value: ...


class AsyncRun(Protocol):
    """The same of ``AsyncClient``."""

    def __call__(self, steps: Steps[Value], /) -> Awaitable[Value]: ...


def send(request: Request, within_s: float) -> Steps[Reply | Lost]:
    answer = yield Send(request, within_s)
    assert isinstance(answer, Reply | Lost)
    return answer


def pause(seconds: float) -> Steps[None]:
    yield Pause(seconds)


def until(signal: Signal, within_s: float) -> Steps[None]:
    yield Until(signal, max(0.0, within_s))
