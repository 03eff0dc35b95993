"""What stores answer about encryption keys: which job needs which, who has them. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from tickr.extras import Signed
from tickr.job_log import LogPart
from tickr.jobs import Attempt, Job, State
from tickr.store.node_answers import REMOTE, Node


class KeyUse(NamedTuple):
    """What a job is encrypted with: the id of the key, None for a plain job; and its signatures, if it is signed."""

    id: str
    key: str | None
    state: State
    signed: Signed | None = None


class KeyUses(NamedTuple):
    """What ``Store.key_uses`` found, and the id after which to go on; None at the end."""

    found: list[KeyUse]
    after: str | None


class Resealed(NamedTuple):
    """A job with its texts encrypted anew, as it was read otherwise; its attempts that tell errors; what it kept."""

    job: Job
    attempts: Sequence[Attempt]
    checkpoint: str | None = None
    log: Sequence[LogPart] = ()


def keys_for(node: Node, nodes: Iterable[Node]) -> Collection[str]:
    """Return the ids of the keys with which jobs are opened for ``node``: its own; for a remote worker those of any."""
    if REMOTE not in node.roles:
        return node.keys
    return {key for one in nodes if "api" in one.roles for key in one.keys}
