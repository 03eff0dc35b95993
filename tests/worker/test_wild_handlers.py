"""Handlers that raise what they should not and leave open what they should close: none takes the node down."""

from __future__ import annotations

import contextvars
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from tests.worker.attempts import claimed, outcome_of, running_pool
from tickr.worker.handlers import Jobs


async def a_coroutine() -> None: ...


class Nasty(Exception):
    def __str__(self) -> str:
        raise SystemExit("from __str__")


class Huge(Exception):
    def __str__(self) -> str:
        return "line\n" * 1_000_000 + "\ud800"


def deep(n: int) -> int:
    return deep(n + 1)


async def raise_system_exit() -> None:
    sys.exit(3)


async def raise_keyboard_interrupt() -> None:
    raise KeyboardInterrupt


async def raise_generator_exit() -> None:
    raise GeneratorExit


async def raise_stop_iteration() -> None:
    next(iter(()))


async def raise_stop_async_iteration() -> None:
    raise StopAsyncIteration


async def raise_memory_error() -> None:
    raise MemoryError


async def raise_recursion_error() -> None:
    deep(0)


async def raise_nasty() -> None:
    raise Nasty


async def raise_huge() -> None:
    raise Huge


async def raise_huge_group() -> None:
    raise BaseExceptionGroup("many", [ValueError(f"{n}" * 1_000) for n in range(1_000)])


async def crash_in_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(raise_system_exit)
        nursery.start_soon(raise_generator_exit)


async def _stray_cancelled() -> trio.Cancelled:
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            await trio.lowlevel.checkpoint()
        except trio.Cancelled as cancelled:
            return cancelled
    raise AssertionError


async def raise_stray_cancelled() -> None:
    raise await _stray_cancelled()


async def raise_group_with_cancelled() -> None:
    raise BaseExceptionGroup("mixed", [await _stray_cancelled(), ValueError("and this")])


def plain_system_exit() -> None:
    sys.exit(3)


def plain_recursion() -> None:
    deep(0)


@pytest.mark.parametrize(
    "function",
    [
        raise_system_exit,
        raise_keyboard_interrupt,
        raise_generator_exit,
        raise_stop_iteration,
        raise_stop_async_iteration,
        raise_memory_error,
        raise_recursion_error,
        raise_nasty,
        raise_huge,
        raise_huge_group,
        crash_in_nursery,
        raise_stray_cancelled,
        raise_group_with_cancelled,
        plain_system_exit,
        plain_recursion,
    ],
    ids=lambda function: function.__name__,
)
async def test_nothing_a_handler_raises_takes_the_node_down(function: Any) -> None:
    jobs = Jobs()
    jobs.handler("wild")(function)
    jobs.handler("tame")(a_coroutine)
    async with running_pool(jobs, slots=1) as bench:
        outcome = await bench.run(claimed("wild"))
        assert outcome.kind == "retried"
        failure = outcome.failure
        assert failure is not None
        assert failure.kind == "exception"
        assert len(failure.message.encode()) <= 4 * 1024
        assert "\n" not in failure.message
        assert len((failure.traceback or "").encode()) <= 16 * 1024
        assert (await bench.run(claimed("tame"))).kind == "succeeded"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ExceptionGroup("two", [ValueError("first"), ExceptionGroup("inner", [KeyError("second")])]),
            "ExceptionGroup: two (2 sub-exceptions): ValueError: first; KeyError: 'second'",
        ),
        (
            ExceptionGroup("many", [ValueError(f"{n}") for n in range(1, 10)]),
            "ExceptionGroup: many (9 sub-exceptions): ValueError: 1; ValueError: 2; ValueError: 3; ...",
        ),
        (ExceptionGroup("one", [ValueError("alone")]), "ValueError: alone"),
    ],
)
async def test_a_group_names_its_first_errors(error: Exception, message: str) -> None:
    async def handler() -> None:
        raise error

    outcome = await outcome_of(handler)
    assert outcome.failure is not None
    assert outcome.failure.message == message


@pytest.mark.filterwarnings("ignore:.*was garbage collected")
async def test_scopes_and_nurseries_left_open_harm_no_other_job() -> None:
    async def ticks() -> AsyncIterator[int]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            while True:
                yield 1

    async def leaves_nursery() -> str:
        keep.append(ticks())
        async for _ in keep[0]:
            break
        return "done"

    async def leaves_scope() -> str:
        trio.move_on_after(0.001).__enter__()  # would hit whatever runs in this task next
        return "done"

    keep: list[AsyncIterator[int]] = []
    jobs = Jobs()
    jobs.handler("nursery")(leaves_nursery)
    jobs.handler("scope")(leaves_scope)
    jobs.handler("tame")(a_coroutine)
    async with running_pool(jobs, slots=1) as bench:
        for type in ("nursery", "tame", "scope", "tame"):
            assert (await bench.run(claimed(type))).kind == "succeeded"


async def test_what_a_handler_sets_in_its_context_is_its_own() -> None:
    variable = contextvars.ContextVar("variable", default="clean")

    async def handler() -> str:
        before = variable.get()
        variable.set("dirty")
        return before

    jobs = Jobs()
    jobs.handler("t")(handler)
    async with running_pool(jobs, slots=1) as bench:
        for _ in range(3):
            assert (await bench.run(claimed("t"))).result == '"clean"'
