"""One list, cut over jobs: each gets so many of its items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Unpack

from tickr.client.records import NewJob, TemplateOptions


def chunks(
    type: str, items: Iterable[Any], *, size: int, name: str = "items", **options: Unpack[TemplateOptions]
) -> Iterator[NewJob]:
    """Yield jobs whose payload is ``{name: [up to size of items]}``, for ``submit_many``; together they have all items.

    ``items`` are read as the jobs are taken, so there may be any number. ``options`` are those of each job.
    Raises: ValueError: ``size`` is less than 1.
    """
    if size < 1:
        raise ValueError(f"size must be 1 or more, not {size}")
    return _cut(type, iter(items), size, name, options)


def _cut(type: str, items: Iterator[Any], size: int, name: str, options: TemplateOptions) -> Iterator[NewJob]:
    while some := list(islice(items, size)):
        yield NewJob(type=type, payload={name: some}, **options)
