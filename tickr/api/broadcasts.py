"""``POST /broadcasts``: one job for each live node that handles its type, to be run by that very node.

Each job waits in the queue of its node (``names.queue_of_node``), into which nobody else looks and from which nobody
else may claim. A node that is gone leaves its jobs to the reaper, which cancels them. What a broadcast's jobs are
called follows from its id and the nodes': so the same broadcast again is the same jobs.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import uuid_utils
from msgspec import UNSET
from quart import Response, request

from tickr.api import incoming, submission, wire
from tickr.api.context import Context
from tickr.api.jobs import ANSWERED_WITHIN_S
from tickr.api.problems import Fault, Problem, invalid
from tickr.api.submission import RULES, Submission, read_record
from tickr.jobs import NewJob
from tickr.names import queue_of_node
from tickr.scopes import Scope
from tickr.store.contract import MAX_BATCH, Node
from tickr.store.orders import REMOTE

if TYPE_CHECKING:
    from tickr.api.app import Edge

MAX_NODES = MAX_BATCH
"""To more nodes nothing is broadcast: its jobs are stored in one transaction."""
NOT_OF_BROADCASTS = ("queue", "limit_key", "unique", "depends_on", "sequence")
"""What a job of a broadcast cannot have: its place is its node."""


class Broadcast(msgspec.Struct, frozen=True):
    """Its id, and its jobs, by the ids of their nodes; none if no live node handles the type."""

    id: str
    items: list[wire.JobDocument]


def add_routes(app: Edge, context: Context) -> None:
    async def broadcast() -> Response:
        call = await incoming.call_of(request)
        said = read_record(incoming.json_body(call), Submission, RULES)
        faults = [
            Fault(f"/{name}", "cannot be said of a broadcast: each of its jobs is for one node")
            for name in NOT_OF_BROADCASTS
            if getattr(said, name) is not UNSET
        ]
        if faults:
            raise invalid(faults)
        now = context.store.now_us()
        new = submission.checked(said, now=now, defaults=context.defaults, trace=incoming.trace(call.headers))
        id_ = said.id.lower() if said.id is not UNSET else str(uuid_utils.uuid7())
        jobs = _jobs(new, id_, await context.store.nodes())
        answers = await context.intake.submit_many(jobs, atomic=True, within_s=ANSWERED_WITHIN_S) if jobs else []
        stored = [one[0] for one in answers if not isinstance(one, Exception)]
        # What was due at once is ready, though the clock as estimated here may be a little behind the store's.
        now = max([context.store.now_us(), *(job.created_at for job in stored)])
        documents = [wire.job_document(job, now) for job in stored]
        return wire.json_response(wire.encode(Broadcast(id_, documents)), 201)

    app.add_call("POST", "/broadcasts", "broadcast", broadcast, Scope.JOBS_WRITE)


def _jobs(new: NewJob, id_: str, nodes: Sequence[Node]) -> list[NewJob]:
    """Return a job like ``new`` for each of ``nodes`` that is for it. Raises: Problem (409): they are too many."""
    meant = [node.id for node in nodes if new.type in node.types and REMOTE not in node.roles and not node.stopping]
    if len(meant) > MAX_NODES:
        raise Problem(409, "too_many_nodes", f"{len(meant)} nodes handle the type, and {MAX_NODES} may.")
    extras = msgspec.structs.replace(new.extras, unique=None)  # which its handler may wish for
    return [
        msgspec.structs.replace(
            new,
            id=str(uuid.uuid5(uuid.UUID(id_), node_id)),
            chosen_id=True,
            queue=queue_of_node(node_id),
            wish=None,
            extras=extras,
        )
        for node_id in sorted(meant)
    ]
