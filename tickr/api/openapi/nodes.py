"""What is said of the calls about nodes, and of those of remote workers."""

from __future__ import annotations

from tickr.api import lease_request, leases, nodes, wire
from tickr.api.openapi.about import About, Answer, Body, Group

NO_NODE = {404: ("node_not_found",)}
OBEYED = (
    Answer(200, "The node is so already.", nodes.NodeDocument),
    Answer(202, "The node hears of it, and obeys within about a second.", nodes.NodeDocument),
)
ORDERED = {**NO_NODE, 409: ("takes_no_orders",)}
ID = "00000000-0000-4000-8000-000000000000"

NODES = Group(
    "Nodes",
    "See who is there and what runs; quiet nodes, stop them, give them more workers.",
    "nodes.md",
    {
        "nodes": About("List nodes", (Answer(200, "Live nodes, and the leases of remote workers.", nodes.Fleet),)),
        "node": About("Look at a node", (Answer(200, "The node.", nodes.NodeDocument),), problems=NO_NODE),
        "change_node": About(
            "Run more or fewer jobs at once",
            OBEYED,
            body=Body(nodes.SlotsBody, {"twenty": {"slots": 20}}),
            problems=ORDERED,
        ),
        "quiet_node": About("Have a node take no more jobs", OBEYED, problems=ORDERED),
        "resume_node": About("Have a node take jobs again", OBEYED, problems=ORDERED),
        "stop_node": About("Stop a node", OBEYED, "It ends what it runs, and then itself.", problems=ORDERED),
        "stacks_of_node": About(
            "Where its handlers stand",
            (Answer(200, "What runs on the node that answers, and where.", wire.Items[nodes.StackDocument]),),
            problems={**NO_NODE, 409: ("not_this_node",)},
        ),
    },
)

NO_LEASE = {410: ("lease_lost",)}
REPORTED = (Answer(200, "What became of each job.", wire.Items[leases.SettledDocument]),)

LEASES = Group(
    "Remote workers",
    "Run jobs in any language: take them under a lease, keep them, say how they ended.",
    "remote-workers.md",
    {
        "lease": About(
            "Ask for jobs",
            (
                Answer(201, "A new lease, with jobs under it.", leases.LeaseDocument, ("Location",)),
                Answer(200, "Jobs under the lease that was named.", leases.LeaseDocument),
            ),
            "Waits up to `wait` seconds for work. Whoever asks again under a lease says what it holds, which is a "
            "heartbeat as well.",
            body=Body(lease_request.PollBody, {"two at most": {"types": ["report"], "max": 2, "wait": 0}}),
            problems={**NO_LEASE, 409: ("lease_mismatch",)},
        ),
        "heartbeat": About(
            "Keep jobs",
            (Answer(200, "What goes on, and what is to be stopped.", leases.LeaseDocument),),
            body=Body(lease_request.HeartbeatBody, {"nothing held": {"jobs": []}}),
            problems=NO_LEASE,
        ),
        "complete": About(
            "Report successes",
            REPORTED,
            body=Body(lease_request.CompleteBody, {"one": {"jobs": [{"id": ID, "fence": 1, "result": {"sent": 3}}]}}),
            problems={**NO_LEASE, 503: ("cannot_decrypt",)},
        ),
        "fail": About(
            "Report other ends",
            REPORTED,
            "What failed is tried again, or not; what is handed back is run by somebody else.",
            body=Body(
                lease_request.FailBody,
                {
                    "try again": {
                        "jobs": [{"id": ID, "fence": 1, "error": {"message": "no route to host"}, "retry_in": 30}]
                    }
                },
            ),
            problems={**NO_LEASE, 503: ("cannot_decrypt",)},
        ),
        "end_lease": About(
            "Give a lease back",
            (Answer(200, "The jobs that were handed back with it.", leases.ReleasedDocument),),
            problems=NO_LEASE,
        ),
    },
)
