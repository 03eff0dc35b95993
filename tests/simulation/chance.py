"""Everything random follows from the seed, and nothing but the seed decides: for one ``trio.run`` inside the block.

trio shuffles the tasks that can run; the seed decides how (as pytest-trio does it under Hypothesis). The product's
jitter and the ids it makes follow from it too. What a real process has beside its trio tasks is left out: the watchdog,
which is a thread; the built-in handlers, which do I/O; and looking up what never changes, which takes time.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import structlog
import trio
import uuid_utils

from tickr import lease
from tickr.store import memory_feed
from tickr.worker import builtin, worker

VERSION = "simulated"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Not for two runs at once, nor beside another one in the same process."""
    numbers = itertools.count(1)
    state = random.getstate()
    trio._core._run._r.seed(seed)
    random.seed(seed)

    def next_id() -> str:
        return f"01000000-0000-7000-8000-{next(numbers):012d}"

    replaced: list[tuple[Any, str, Any]] = [
        (trio._core._run, "_ALLOW_DETERMINISTIC_SCHEDULING", True),
        (uuid_utils, "uuid7", next_id),
        (memory_feed, "fresh_history", lambda: f"{next(numbers):012x}"),
        (worker, "watch", lambda *_args, **_options: nullcontext()),
        (builtin, "register", lambda *_args, **_options: None),
        (lease, "version", lambda _name: VERSION),
        (os, "getpid", lambda: 1),
        (socket, "gethostname", lambda: "here"),
        (lease, "describe_process", lambda: ""),
    ]
    with ExitStack() as undo:
        undo.callback(random.setstate, state)
        for place, name, value in replaced:
            undo.enter_context(patch.object(place, name, value))
        yield


@contextmanager
def logged(processor: Any, level: int) -> Iterator[None]:
    """Have ``processor`` see what the product logs from ``level`` on; nothing is written anywhere."""
    before = structlog.get_config()
    structlog.configure(processors=[processor], wrapper_class=structlog.make_filtering_bound_logger(level))
    try:
        yield
    finally:
        structlog.configure(**before)
