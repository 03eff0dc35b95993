"""What the dashboard, the command line and a scraper ask of a Tickr: every list and read, each in the ways that differ.

Comes in: ``Known``. Goes out: calls by name; a ``deep`` one is asked where its list stands after some pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from bench.million.furnish import Known


class Call(NamedTuple):
    """``pages``: so many pages are gone through first, and the next is what is measured."""

    name: str
    path: str
    body: bytes | None = None
    pages: int = 0


DEEP = 20
LISTS: dict[str, list[tuple[str, Any]]] = {
    "all": [],
    **{
        f"state={state}": [("state", state)]
        for state in ("scheduled", "ready", "blocked", "running", "retrying", "succeeded", "failed", "cancelled")
    },
    "state=failed|cancelled": [("state", "failed"), ("state", "cancelled")],
    "queue=mail (most)": [("queue", "mail")],
    "queue=ledger (least)": [("queue", "ledger")],
    "queue=sequences (few)": [("queue", "sequences")],
    "queue (none has it)": [("queue", "nobody")],
    "type=mail.welcome (most)": [("type", "mail.welcome")],
    "type=ledger.close (least)": [("type", "ledger.close")],
    "type (none has it)": [("type", "nobody")],
    "label=region": [("label", "region")],
    "label=region=eu": [("label", "region=eu")],
    "label=customer=17 (few)": [("label", "customer=17")],
    "label (none has it)": [("label", "nobody=1")],
    "error=exception": [("error", "exception")],
    "error (none has it)": [("error", "nobody")],
    "state=failed&error=bad_payload": [("state", "failed"), ("error", "bad_payload")],
    "state=failed&queue=mail": [("state", "failed"), ("queue", "mail")],
    "state=failed&queue=ledger": [("state", "failed"), ("queue", "ledger")],
    "state=failed&type=ledger.close": [("state", "failed"), ("type", "ledger.close")],
    "state=failed&label=region=eu": [("state", "failed"), ("label", "region=eu")],
    "state=ready&queue=mail": [("state", "ready"), ("queue", "mail")],
    "state=scheduled&type=video.cut": [("state", "scheduled"), ("type", "video.cut")],
    "state=succeeded&queue=media&label=region=us": [("state", "succeeded"), ("queue", "media"), ("label", "region=us")],
    "payload.order.id (one has it)": [("payload.order.id", "1000")],
    "payload.to (few)": [("payload.to", "user17@example.com")],
    "payload~user (all)": [("payload~", "user")],
    "payload~ (none has it)": [("payload~", "nobody has this")],
    "state=failed&payload~ (none)": [("state", "failed"), ("payload~", "nobody has this")],
    "queue=ledger&payload~ (none)": [("queue", "ledger"), ("payload~", "nobody has this")],
    "type=video.cut&payload.to (few)": [("type", "video.cut"), ("payload.to", "user17@example.com")],
}
SPANS = {"1h": (1, "minute"), "6h": (6, "minute"), "24h": (24, "hour"), "30d": (720, "hour"), "1y": (8_760, "day")}
"""Those of the dashboard: hours, and in which steps."""
TALLIES: dict[str, list[tuple[str, Any]]] = {
    "": [],
    "type=mail.welcome": [("type", "mail.welcome")],
    "queue=ledger": [("queue", "ledger")],
    "error=bad_payload": [("error", "bad_payload")],
    "label=region=eu": [("label", "region=eu")],
    "payload~ (none)": [("payload~", "nobody has this")],
}


def calls(known: Known) -> Iterator[Call]:
    """Yield them all."""
    for name, query in LISTS.items():
        yield Call(f"/jobs {name}", _at("/jobs", [*query, ("limit", 50)]))
    yield Call("/jobs all, limit=200", "/jobs?limit=200")
    yield Call("/jobs all, page 20", "/jobs?limit=50", pages=DEEP)
    for name in ("state=succeeded", "state=failed", "queue=mail (most)", "label=region=eu", "payload~ (none has it)"):
        yield Call(f"/jobs {name}, page 20", _at("/jobs", [*LISTS[name], ("limit", 50)]), pages=DEEP)
    yield from _dated(known.halfway)
    yield Call("/queues", "/queues")
    for queue in ("mail", "ledger", "default"):
        yield Call(f"/queues/{queue}", f"/queues/{queue}")
    for name, query in TALLIES.items():
        yield Call(f"/dead-letters {name}".strip(), _at("/dead-letters", query))
    yield from _operations(known)
    yield Call("/schedules", "/schedules?limit=200")
    yield Call("/schedules/<name>", "/schedules/nightly-007")
    yield Call("/nodes", "/nodes")
    yield Call("/nodes/<id>", "/nodes/self")
    yield from _statistics()
    yield Call("/marks", "/marks")
    yield from _of_jobs(known)
    yield Call("/metrics", "/metrics")
    yield Call("/readyz", "/readyz")
    yield Call("/events earliest", "/events?after=earliest")
    yield Call("/events earliest, limit=1000", "/events?after=earliest&limit=1000")
    yield Call("/events earliest, event=redriven (none)", "/events?after=earliest&event=redriven")


def _dated(halfway: str) -> Iterator[Call]:
    for name in ("created_after", "created_before", "finished_after", "finished_before"):
        yield Call(f"/jobs {name}", _at("/jobs", [(name, halfway), ("limit", 50)]))
    failed = [("state", "failed"), ("limit", 50)]
    yield Call("/jobs state=failed&finished_after", _at("/jobs", [*failed, ("finished_after", halfway)]))
    yield Call("/jobs state=failed&created_before", _at("/jobs", [*failed, ("created_before", halfway)]))
    yield Call("/jobs type (none)&created_before", _at("/jobs", [("type", "nobody"), ("created_before", halfway)]))


def _operations(known: Known) -> Iterator[Call]:
    yield Call("/operations", "/operations?limit=50")
    filters: dict[str, dict[str, Any]] = {
        "retry failed": {"action": "retry", "filter": {"state": ["failed"]}},
        "cancel queue=mail": {"action": "cancel", "filter": {"queue": ["mail"]}},
        "cancel everything": {"action": "cancel", "all": True},
        "delete succeeded": {"action": "delete", "filter": {"state": ["succeeded"]}},
        "retry failed, label": {"action": "retry", "filter": {"state": ["failed"], "label": ["region=eu"]}},
        "retry failed, payload~": {"action": "retry", "filter": {"state": ["failed"], "payload~": ["nobody"]}},
    }
    for name, wish in filters.items():
        yield Call(f"/operations dry run: {name}", "/operations", json.dumps({**wish, "dry_run": True}).encode())


def _statistics() -> Iterator[Call]:
    for span, (hours, step) in SPANS.items():
        since = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
        for by in (None, "type", "queue"):
            query = [("step", step), ("since", since), *([("by", by)] if by else [])]
            name = f"/statistics {span}{f' by {by}' if by else ''}"
            yield Call(f"{name}, totals", _at("/statistics", [*query, ("points", "false")]))
            yield Call(name, _at("/statistics", query))
        yield Call(
            f"/statistics {span} queue=mail", _at("/statistics", [("step", step), ("since", since), ("queue", "mail")])
        )


def _of_jobs(known: Known) -> Iterator[Call]:
    for state in ("failed", "ready", "scheduled"):
        yield Call(f"/jobs/<{state}>", f"/jobs/{known.jobs[state]}")
    for part in ("attempts", "log", "tree"):
        yield Call(f"/jobs/<failed>/{part}", f"/jobs/{known.jobs['failed']}/{part}")
    yield Call("/jobs/<1,000 children>/tree", f"/jobs/{known.parent}/tree")
    for state in ("ready", "scheduled", "blocked", "retrying"):
        yield Call(f"/jobs/<{state}>/explain", f"/jobs/{known.jobs[state]}/explain")
    yield Call("/jobs/<in a sequence>/explain", f"/jobs/{known.in_turn}/explain")


def _at(path: str, query: list[tuple[str, Any]]) -> str:
    return f"{path}?{urlencode(query, quote_via=quote)}" if query else path
