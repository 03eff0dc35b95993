"""What the million has beside its jobs, put in over HTTP: schedules, marks, operations, a sequence, jobs that run.

Comes in: the node, and what it says of its store. Goes out: ``Known``, the ids that the calls ask for.
"""

from __future__ import annotations

import json
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import uuid_utils

from bench.load.address import Address

SCHEDULES, MARKS, OPERATIONS, IN_SEQUENCE, RUNNING = 200, 100, 40, 300, 20
ANSWER_WITHIN_S = 60.0
STEP_MIN = 5
"""The oldest jobs are looked for in steps of so many minutes."""


class Known(NamedTuple):
    """Ids of a job in each state, of one with 1,000 children and one that waits in a sequence; and a past instant."""

    jobs: dict[str, str]
    parent: str
    in_turn: str
    halfway: str


def furnish(address: Address) -> Known:
    """Put it in; twice does no harm. Raises: OSError: the node refuses."""
    for number in range(SCHEDULES):
        job = {"type": "report.export", "queue": "reports", "payload": {"month": number % 12}}
        ask(address, "PUT", f"/schedules/nightly-{number:03}", {"cron": f"{number % 60} 3 * * *", "job": job})
    now = datetime.now(UTC)
    for number in range(MARKS):
        at = (now - timedelta(minutes=7 * number)).isoformat()
        ask(address, "POST", "/marks", {"text": f"release {number}", "at": at})
    ask(address, "POST", "/queues/sequences/pause", None)
    turns = [{"type": "noop", "queue": "sequences", "sequence": "import"} for _ in range(IN_SEQUENCE)]
    stored = ask(address, "POST", "/jobs/batch", {"jobs": turns})["results"]
    ask(address, "POST", "/jobs/batch", {"jobs": [{"type": "endless", "timeout": 86_400} for _ in range(RUNNING)]})
    for _ in range(OPERATIONS):  # on one job, which is not there
        ask(address, "POST", "/operations", {"action": "cancel", "filter": {"ids": [str(uuid_utils.uuid7())]}})
    states = ("scheduled", "ready", "blocked", "running", "retrying", "succeeded", "failed", "cancelled")
    return Known(
        {state: _newest(address, f"state={state}") for state in states},
        _parent(address),
        stored[-1]["id"],
        (now - timedelta(days=3)).isoformat().replace("+00:00", "Z"),
    )


def _newest(address: Address, query: str) -> str:
    """Return the id of the newest job that passes, however far back it is."""
    cursor = ""
    while True:
        page = ask(address, "GET", f"/jobs?{query}&limit=1{cursor}")
        if page["items"]:
            return str(page["items"][0]["id"])
        cursor = f"&cursor={page['next_cursor']}"


def _parent(address: Address) -> str:
    """Return the id of the job with most children: it is among the oldest."""
    begin = datetime.now(UTC) - timedelta(days=7)
    for minutes in range(0, 7 * 24 * 60, STEP_MIN):
        before = (begin + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")
        for job in ask(address, "GET", f"/jobs?created_before={before}&limit=200")["items"]:
            if job["parent"]:
                return str(job["parent"])
    raise SystemExit("no job has children: has bench.million filled this store?")


def ask(address: Address, method: str, path: str, body: Any = None) -> Any:
    """Return what is answered. Raises: OSError."""
    headers = {"Content-Type": "application/json"}
    if address.token:
        headers["Authorization"] = f"Bearer {address.token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address.url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=ANSWER_WITHIN_S) as answer:
        return json.loads(answer.read() or b"null")
