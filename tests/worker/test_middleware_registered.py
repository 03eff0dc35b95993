"""Middleware is registered: for which handlers it counts, in which order, and what is refused at once."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.worker.wrapped import noting
from tickr.worker.handlers import Jobs
from tickr.worker.middleware import Middleware
from tickr.worker.view import Job

A, B, C, D = (noting([], name) for name in "abcd")


async def a_coroutine() -> None: ...


def chain(jobs: Jobs, type: str) -> tuple[Middleware, ...]:
    handler = jobs.get(type)
    assert handler is not None
    return handler.middleware


def test_it_counts_for_all_handlers_registered_before_or_after() -> None:
    jobs = Jobs()
    jobs.handler("before")(a_coroutine)
    assert chain(jobs, "before") == ()
    assert jobs.middleware(A) is A
    jobs.handler("between", middleware=[C, D])(a_coroutine)
    jobs.middleware(B)
    jobs.handler("after")(a_coroutine)
    assert chain(jobs, "before") == chain(jobs, "after") == (A, B)
    assert chain(jobs, "between") == (A, B, C, D)


def test_what_is_included_keeps_its_own_inside() -> None:
    inner, outer = Jobs(), Jobs()
    inner.middleware(C)
    inner.handler("in", middleware=[D])(a_coroutine)
    outer.handler("out")(a_coroutine)
    outer.middleware(A)
    outer.include(inner)
    outer.middleware(B)
    assert chain(outer, "in") == (A, B, C, D)
    assert chain(outer, "out") == (A, B)
    assert chain(inner, "in") == (C, D), "where it came from it stays as it was"
    inner.middleware(A)
    assert chain(outer, "in") == (A, B, C, D), "what is registered there later is not for here"


def test_one_that_is_in_both_runs_once_in_the_outer_place() -> None:
    for order in (("include", "middleware"), ("middleware", "include")):
        inner, outer = Jobs(), Jobs()
        for one in (C, A):
            inner.middleware(one)
        inner.handler("in", middleware=[D])(a_coroutine)
        for step in order:
            _ = outer.include(inner) if step == "include" else outer.middleware(A)
        assert chain(outer, "in") == (A, C, D)


def test_a_copy_goes_its_own_way() -> None:
    jobs = Jobs()
    jobs.middleware(A)
    jobs.handler("t")(a_coroutine)
    copied = jobs.copy()
    copied.middleware(B)
    copied.handler("more")(a_coroutine)
    jobs.middleware(C)
    assert (chain(copied, "t"), chain(copied, "more")) == ((A, B), (A, B))
    assert (chain(jobs, "t"), list(jobs)) == ((A, C), ["t"])


class Good:
    def __init__(self, job: Job) -> None: ...
    async def __aenter__(self) -> None: ...
    async def __aexit__(self, *error: object) -> None: ...


class Maker:
    def __call__(self, job: Job) -> Good:
        return Good(job)


def plain_function(job: Job) -> Good:
    return Good(job)


def with_option(option: int, job: Job) -> Good:
    return Good(job)


@pytest.mark.parametrize(
    "one", [A, Good, Maker(), plain_function, functools.partial(with_option, 7), lambda _: Good(_)]
)
def test_whatever_makes_a_context_manager_of_a_job_is_one(one: Any) -> None:
    jobs = Jobs()
    jobs.middleware(one)
    jobs.handler("t", middleware=[one])(a_coroutine)
    assert chain(jobs, "t") == (one,)


async def bare(job: Job) -> AsyncIterator[None]:
    yield


async def coroutine(job: Job) -> None: ...


@contextlib.contextmanager
def not_async(job: Job) -> Iterator[None]:
    yield


def bare_not_async(job: Job) -> Iterator[None]:
    yield


class HalfManager:
    def __init__(self, job: Job) -> None: ...
    async def __aenter__(self) -> None: ...


class Instance(Good):
    def __init__(self) -> None: ...


@contextlib.asynccontextmanager
async def takes_nothing() -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def takes_more(job: Job, more: int) -> AsyncIterator[None]:
    yield


@contextlib.asynccontextmanager
async def takes_by_name(*, job: Job) -> AsyncIterator[None]:
    yield


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (bare, "bare is no middleware: it is a bare generator; put @contextlib.asynccontextmanager right above it"),
        (coroutine, "it is a coroutine function; a middleware yields"),
        (not_async, "it is not async; make it `async def`"),
        (bare_not_async, "it is not async; make it `async def`"),
        (HalfManager, "lack __aenter__ or __aexit__"),
        (Instance(), "it can not be called; a middleware takes the job and returns an async context manager"),
        (takes_nothing, "it can not be called with the job alone: too many positional arguments"),
        (takes_more, "it can not be called with the job alone: missing a required argument: 'more'"),
        (takes_by_name, "it can not be called with the job alone: too many positional arguments"),
        (None, "None is no middleware: it can not be called"),
    ],
)
def test_what_is_none_is_refused_with_what_would_be_right(one: Any, said: str) -> None:
    jobs = Jobs()
    with pytest.raises(TypeError) as refused:
        jobs.middleware(one)
    assert said in str(refused.value)
    with pytest.raises(TypeError) as refused:
        jobs.handler("t", middleware=[A, one])(a_coroutine)
    assert said in str(refused.value)
    assert list(jobs) == []


def test_the_same_twice_is_a_mistake() -> None:
    jobs = Jobs()
    jobs.middleware(A)
    with pytest.raises(ValueError, match="registered as middleware already"):
        jobs.middleware(A)
    jobs.middleware(B)
