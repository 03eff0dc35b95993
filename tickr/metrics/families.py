"""Families: every metric there is, with its labels and what it is good for. Names go by Prometheus' conventions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from tickr.meters import ITEMS, JOB_SECONDS, SECONDS

Kind = Literal["counter", "gauge", "histogram"]
Join = Callable[[Iterable[float]], float]


class Family(NamedTuple):
    """One metric.

    Attributes:
      help: what it says, and what to do with it.
      join: of a gauge: what the values of several processes are together.
      bounds: of a histogram: the upper ones of its buckets.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    join: Join = sum
    bounds: Sequence[float] = ()


_JOB = ("type", "queue")

_LIST = (
    # -- jobs, as this node has changed them
    Family(
        "tickr_jobs_submitted_total",
        "counter",
        "Jobs stored by this node. Its rate is what comes in; compare it with that of tickr_jobs_finished_total.",
        _JOB,
    ),
    Family("tickr_jobs_redriven_total", "counter", "Jobs that had ended and were made to run again here.", _JOB),
    Family("tickr_jobs_started_total", "counter", "Attempts begun by this node, the first ones and retries.", _JOB),
    Family(
        "tickr_jobs_finished_total",
        "counter",
        "Ends that this node has stored, of attempts and of jobs that never began: succeeded, retrying (failed, and "
        "will be tried again), failed (for good), cancelled, released (handed back; costs no attempt).",
        (*_JOB, "outcome"),
    ),
    Family(
        "tickr_job_wait_seconds",
        "histogram",
        "From when a job was due, and there, to its start. Grows when there are too few workers.",
        _JOB,
        bounds=JOB_SECONDS,
    ),
    Family(
        "tickr_job_run_seconds", "histogram", "How long attempts ran, however they ended.", _JOB, bounds=JOB_SECONDS
    ),
    # -- queues, as the store has them
    Family(
        "tickr_queue_ready_jobs",
        "gauge",
        "Jobs that are due and wait for a worker, of the whole installation. Take it from one node: max by (queue).",
        ("queue",),
    ),
    Family(
        "tickr_queue_scheduled_jobs", "gauge", "Jobs whose time has not come, of the whole installation.", ("queue",)
    ),
    Family(
        "tickr_queue_retrying_jobs",
        "gauge",
        "Jobs that wait for another attempt, of the whole installation.",
        ("queue",),
    ),
    Family("tickr_queue_running_jobs", "gauge", "Jobs that run, of the whole installation.", ("queue",)),
    Family(
        "tickr_queue_oldest_due_seconds",
        "gauge",
        "For how long the job that is due for longest has waited; 0 when none waits. The one figure to alert on.",
        ("queue",),
    ),
    Family(
        "tickr_cluster_nodes",
        "gauge",
        "Nodes that hold a lease in this store, by role; remote is a worker that leases over HTTP. No worker, no work.",
        ("role",),
    ),
    # -- the store and the index
    Family("tickr_store_up", "gauge", "1 if the store has answered this scrape, 0 if not; then no queue is told of."),
    Family(
        "tickr_store_connections",
        "gauge",
        "Connections to the store in use now. As many as the limit, all the time: the store is what holds things up.",
        ("pool",),
    ),
    Family("tickr_store_connections_limit", "gauge", "How many of them there may be.", ("pool",)),
    Family(
        "tickr_store_connections_waiting",
        "gauge",
        "Calls that wait for one of them; more than a few: too slow.",
        ("pool",),
    ),
    Family(
        "tickr_store_transactions_repeated_total",
        "counter",
        "Transactions begun again after a deadlock, a lock wait or a lost connection. A few are no harm.",
    ),
    Family(
        "tickr_index_up",
        "gauge",
        "1 if the index (Redis) is there, 0 if this node works from the store alone, which is slower.",
        join=min,
    ),
    Family(
        "tickr_index_missing_jobs_total",
        "counter",
        "Waiting jobs that the audit found missing in the index and put back. More than a few: Redis loses data.",
    ),
    Family(
        "tickr_index_rebuilds_total",
        "counter",
        "How often the whole index was made anew from the store, as after a restart of Redis.",
    ),
    # -- the node
    Family("tickr_node_info", "gauge", "1, with the version and the roles of this node.", ("version", "roles"), max),
    Family(
        "tickr_node_processes",
        "gauge",
        "Processes of this node that live; fewer than the least of --processes: one is replaced.",
    ),
    Family("tickr_node_stopping", "gauge", "1 once this node is on its way down.", join=max),
    Family(
        "tickr_node_lease_age_seconds",
        "gauge",
        "Since the last heartbeat that the store took. Beyond 0.8 of --lease the node gives its jobs up.",
        join=max,
    ),
    Family("tickr_node_slots", "gauge", "How many jobs this node runs at once."),
    Family(
        "tickr_node_running_jobs", "gauge", "Jobs held by this node now. As many as slots, all the time: add workers."
    ),
    Family(
        "tickr_node_stuck_handlers",
        "gauge",
        "Handlers that were left behind since nothing ends them. Each costs memory; fix them and restart the node.",
    ),
    Family(
        "tickr_event_loop_lag_seconds",
        "histogram",
        "By how much a task that sleeps half a second wakes too late. A handler that computes in the loop shows here.",
        bounds=SECONDS,
    ),
    # -- what goes together
    Family(
        "tickr_claim_jobs",
        "histogram",
        "Jobs that one claim brought; its _count is how many claims there were.",
        bounds=ITEMS,
    ),
    Family("tickr_claim_duration_seconds", "histogram", "How long the store took for a claim.", bounds=SECONDS),
    Family(
        "tickr_batch_items",
        "histogram",
        "What one transaction has stored, by what waited in line for it; large ones are a sign of load, and no harm.",
        ("line",),
        bounds=ITEMS,
    ),
    Family(
        "tickr_batch_duration_seconds",
        "histogram",
        "How long such a transaction took, with telling the index. Clients wait for one to two of them.",
        ("line",),
        bounds=SECONDS,
    ),
    Family(
        "tickr_batch_waiting_items", "gauge", "What waits in line now; near 10000 submissions are refused.", ("line",)
    ),
    # -- the feed
    Family("tickr_feed_subscribers", "gauge", "Clients and programs that listen to the feed by this node."),
    Family("tickr_feed_events_sent_total", "counter", "Events given to them, each counted for each."),
    Family(
        "tickr_feed_lag_deliveries",
        "gauge",
        "Deliveries that wait for the one most behind; at 500 it is let go.",
        join=max,
    ),
    Family("tickr_feed_pending_bytes", "gauge", "Events that wait for subscribers, in bytes, all together."),
    Family("tickr_feed_too_slow_total", "counter", "Subscribers let go because they did not keep up; they come back."),
    # -- HTTP
    Family(
        "tickr_http_requests_total",
        "counter",
        "Requests answered; a route that there is none of is other, a websocket counts as 101.",
        ("route", "method", "status"),
    ),
    Family(
        "tickr_http_request_duration_seconds",
        "histogram",
        "Until the answer began. Of POST /jobs that is the COMMIT; GET /jobs/<id> may wait as long as it was asked to.",
        ("route", "method"),
        bounds=SECONDS,
    ),
    # -- the process
    Family("process_cpu_seconds_total", "counter", "Processor time of this node, in user and system mode."),
    Family("process_resident_memory_bytes", "gauge", "Memory of this node; what processes share is counted for each."),
    Family("process_virtual_memory_bytes", "gauge", "Address space of this node."),
    Family("process_open_fds", "gauge", "Open file descriptors of this node."),
    Family("process_max_fds", "gauge", "How many it may have open. Near them, connections are refused."),
    Family(
        "process_start_time_seconds", "gauge", "When it started, seconds since 1970: of several, the first.", join=min
    ),
)

FAMILIES: Mapping[str, Family] = {family.name: family for family in _LIST}
"""All of them by name, as ``GET /metrics`` shows them; python_info of prometheus-client comes with them."""
