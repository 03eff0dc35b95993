"""Own: what the parts of this process say of themselves now. It reads their meters and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tickr.batching import Batcher
from tickr.feed.feed import Feed
from tickr.index.contract import Index
from tickr.intake import Intake
from tickr.lease import Lease
from tickr.meters import Requests
from tickr.metrics import process
from tickr.metrics.jobs import Tallied
from tickr.metrics.snapshot import Labels, Snapshot, Value, of_histogram
from tickr.scheduler.audit import Audit
from tickr.store.contract import Store
from tickr.worker.worker import Worker


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a process that count. ``worker`` and ``audit`` are None where it has not that role."""

    store: Store
    index: Index
    lease: Lease
    intake: Intake
    feed: Feed
    requests: Requests
    worker: Worker | None
    audit: Audit | None
    tallied: Tallied
    is_stopping: Callable[[], bool]


def snapshot(parts: Parts) -> Snapshot:
    """Return all that this process can say without asking anybody."""
    return {
        **parts.tallied.snapshot(),
        **_of_node(parts),
        **_of_store(parts.store),
        **_of_index(parts.index, parts.audit),
        **_of_lines(_lines(parts)),
        **(_of_worker(parts.worker) if parts.worker else {}),
        **_of_feed(parts.feed),
        **_of_requests(parts.requests),
        **process.snapshot(),
    }


def _of_node(parts: Parts) -> Snapshot:
    about = parts.lease.about
    info: Snapshot = {"tickr_node_info": {(about.version, ",".join(about.roles)): 1.0}}
    return info | _plain(
        tickr_node_processes=1,
        tickr_node_stopping=parts.is_stopping(),
        tickr_node_lease_age_seconds=parts.lease.age_s,
        tickr_node_slots=about.slots,
    )


def _of_store(store: Store) -> Snapshot:
    use = store.use()
    connections: Snapshot = {
        "tickr_store_connections": {(lane.name,): float(lane.busy) for lane in use.lanes},
        "tickr_store_connections_limit": {(lane.name,): float(lane.most) for lane in use.lanes},
        "tickr_store_connections_waiting": {(lane.name,): float(lane.waiting) for lane in use.lanes},
    }
    return connections | _plain(tickr_store_transactions_repeated_total=use.repeated)


def _of_index(index: Index, audit: Audit | None) -> Snapshot:
    found = _plain(tickr_index_up=index.available)
    if audit:
        found |= _plain(tickr_index_missing_jobs_total=audit.put_back, tickr_index_rebuilds_total=audit.rebuilds)
    return found


def _lines(parts: Parts) -> dict[str, Batcher[object, object]]:
    return {**parts.intake.lines, **({"outcomes": parts.worker.line} if parts.worker else {})}


def _of_lines(lines: dict[str, Batcher[object, object]]) -> Snapshot:
    return {
        "tickr_batch_items": {(name,): of_histogram(line.flushed.items) for name, line in lines.items()},
        "tickr_batch_duration_seconds": {(name,): of_histogram(line.flushed.seconds) for name, line in lines.items()},
        "tickr_batch_waiting_items": {(name,): float(len(line)) for name, line in lines.items()},
    }


def _of_worker(worker: Worker) -> Snapshot:
    claims: Snapshot = {
        "tickr_claim_jobs": {(): of_histogram(worker.claims.items)},
        "tickr_claim_duration_seconds": {(): of_histogram(worker.claims.seconds)},
    }
    return claims | _plain(tickr_node_running_jobs=worker.running, tickr_node_stuck_handlers=len(worker.zombies))


def _of_feed(feed: Feed) -> Snapshot:
    use = feed.use()
    return _plain(
        tickr_feed_subscribers=use.subscribers,
        tickr_feed_events_sent_total=use.sent,
        tickr_feed_lag_deliveries=use.most_behind,
        tickr_feed_pending_bytes=use.pending_bytes,
        tickr_feed_too_slow_total=use.too_slow,
    )


def _of_requests(requests: Requests) -> Snapshot:
    answers: dict[Labels, Value] = {labels: float(count) for labels, count in requests.answers.items()}
    seconds: dict[Labels, Value] = {labels: of_histogram(times) for labels, times in requests.seconds.items()}
    return {"tickr_http_requests_total": answers, "tickr_http_request_duration_seconds": seconds}


def _plain(**values: float) -> Snapshot:
    """Return metrics without labels."""
    return {name: {(): float(value)} for name, value in values.items()}
