"""What a caller of the API may do. Each call needs one scope, or none; a caller has some."""

from __future__ import annotations

from enum import StrEnum


class Scope(StrEnum):
    """One right. None implies another but ``ADMIN``, which is all of them."""

    JOBS_READ = "jobs:read"
    """Look at jobs, with what they carry, and at all that is about them: queues, schedules, nodes, statistics."""
    JOBS_WRITE = "jobs:write"
    """Submit, change, cancel, retry and delete jobs."""
    JOBS_RUN = "jobs:run"
    """Run jobs as a remote worker: lease them and say how they ended."""
    QUEUES_ADMIN = "queues:admin"
    """Pause, limit, order, empty and drop queues; put and change schedules; place marks."""
    EVENTS_READ = "events:read"
    """Listen to the feed."""
    METRICS_READ = "metrics:read"
    """Scrape the metrics."""
    ADMIN = "admin"
    """Everything, and what no other scope allows: to quiet and stop nodes, and to read what is encrypted."""
