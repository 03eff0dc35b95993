"""Names: what those of job types, queues and limit keys look like. Pure.

The patterns are part of what the API promises; whoever reads a name from outside holds it to them.
"""

from __future__ import annotations

import re

TYPE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,127}"
"""What the name of a job type looks like, whole; ``is_type`` asks it."""
LIMIT_KEY_PATTERN = r"[!-~]{1,128}"
"""What a limit key looks like, whole: printable ASCII without spaces."""
QUEUE_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
"""What the name of a queue looks like, whole; ``is_queue`` asks it."""

_is_type = re.compile(TYPE_PATTERN).fullmatch
_is_queue = re.compile(QUEUE_PATTERN).fullmatch

_OF_NODE = "@"
"""What the queue of a node begins with, and no name from outside does."""


def queue_of_node(node_id: str) -> str:
    """Return the queue whose jobs that node alone may run; nobody submits to it by name."""
    return _OF_NODE + node_id


def node_of_queue(queue: str) -> str | None:
    """Return which node alone may run the jobs of ``queue``; None: any may, as in all queues that have a real name."""
    return queue[1:] if queue.startswith(_OF_NODE) else None


def may_run(node_id: str, queue: str) -> bool:
    """Whether a node may run jobs of ``queue``."""
    return queue[0] != _OF_NODE or queue[1:] == node_id


def is_type(name: str) -> bool:
    return _is_type(name) is not None


def is_queue(name: str) -> bool:
    return _is_queue(name) is not None
