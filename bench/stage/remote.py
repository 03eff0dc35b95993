"""A process that answers questions over a pipe: load generators and watchers, so that no node is charged for them."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

ANSWER_WITHIN_S = 120.0
LOOK_S = 1.0
"""Pause between two looks whether an answer can still come."""


def orders(pipe: Connection) -> Iterator[Any]:
    """Yield what a process is told over ``pipe`` to do, until ``"stop"`` or until nobody is there any more."""
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        if order == "stop":
            return
        yield order


class Remote:
    """One process. A context manager: leaving it stops the process.

    Args:
      target: run in the process with its end of the pipe and ``arguments``; returns when the pipe breaks.
    """

    def __init__(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.name = name
        self.pipe, theirs = spawn.Pipe()
        self.process = spawn.Process(target=target, args=(theirs, *arguments), name=name, daemon=True)
        self.process.start()
        theirs.close()

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def ask(self, *question: Any, within_s: float = ANSWER_WITHIN_S) -> Any:
        self.tell(*question)
        return self.answer(within_s=within_s)

    def tell(self, *question: Any) -> None:
        """Ask, and fetch the answer later."""
        try:
            self.pipe.send(question[0] if len(question) == 1 else question)
        except OSError:
            raise RuntimeError(f"{self.name} has ended: see above") from None

    def answer(self, within_s: float = ANSWER_WITHIN_S, *, while_: Callable[[], bool] = lambda: True) -> Any:
        """Return what it says next. Raises: RuntimeError: nothing, or it has ended, or ``while_`` is no longer true."""
        deadline = time.monotonic() + within_s
        while not self.pipe.poll(max(0.0, min(LOOK_S, deadline - time.monotonic()))):
            if time.monotonic() >= deadline or not while_():
                raise RuntimeError(f"{self.name} said nothing within {within_s:g} s, or what it waits for has ended")
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            raise RuntimeError(f"{self.name} has ended: see above") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.pipe.close()
        if kind is not None:
            self.process.terminate()  # it may be in the middle of something long
        self.process.join(15)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(15)
        self.process.close()
