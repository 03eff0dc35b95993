"""All peers, Tickr first, in the order of the tables."""

from __future__ import annotations

from bench.peers.arq.adapter import PEER as ARQ
from bench.peers.bullmq.adapter import PEER as BULLMQ
from bench.peers.celery.adapter import PEER as CELERY
from bench.peers.contract import Peer
from bench.peers.dramatiq.adapter import PEER as DRAMATIQ
from bench.peers.graphile_worker.adapter import PEER as GRAPHILE_WORKER
from bench.peers.procrastinate.adapter import PEER as PROCRASTINATE
from bench.peers.rq.adapter import PEER as RQ
from bench.peers.streaq.adapter import PEER as STREAQ
from bench.peers.taskiq.adapter import PEER as TASKIQ
from bench.peers.tickr.adapter import ON_SQLITE as TICKR_ON_SQLITE
from bench.peers.tickr.adapter import PEER as TICKR

REFERENCES = (TICKR, TICKR_ON_SQLITE)
"""Those whom the others are compared with; they take part whoever else does."""
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        *REFERENCES,
        GRAPHILE_WORKER,
        BULLMQ,
        TASKIQ,
        DRAMATIQ,
        STREAQ,
        ARQ,
        CELERY,
        RQ,
        PROCRASTINATE,
    )
}
