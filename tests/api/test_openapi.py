"""The description of the API: whole, valid, given out, committed; what it shows and allows is taken.

That nothing is said or heard that it does not tell, every test here shows that uses a site (``described.py``).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.api import described, drawn
from tests.api.site import Site, open_site
from tickr.cli import main
from tickr.cli.openapi import pretty, unserved
from tickr.scopes import Scope

COPY = Path(__file__).parent.parent.parent / "docs" / "openapi.json"
DOCUMENT: dict[str, Any] = json.loads(pretty(unserved()))
COMPONENTS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    operation["operationId"]: (method, path, operation)
    for path, calls in DOCUMENT["paths"].items()
    for method, operation in calls.items()
}
WITH_BODIES = [name for name, (_, _, said) in OPERATIONS.items() if "requestBody" in said]


def test_every_call_is_described() -> None:
    routes = unserved().routes
    missing = sorted(set(routes) - set(OPERATIONS))
    assert missing == [], f"say what {missing} are in tickr/api/openapi/, in the file of their group"
    assert set(OPERATIONS) == set(routes), "there are no such calls any more"


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_committed_copy_is_what_the_program_gives() -> None:
    shown = COPY.read_text()
    assert shown == CliRunner().invoke(main, ["openapi"]).stdout, (
        "look at what has changed: make openapi; git diff docs"
    )


def test_each_call_names_the_scope_that_it_needs_and_what_is_open() -> None:
    needed = {route.name: route.scope for route in unserved().routes.values()}
    for name, (_, _, said) in OPERATIONS.items():
        scopes = [scope for one in said["security"] for scope in one["token"]]
        assert scopes == ([] if needed[name] is None else [needed[name]]), name
    assert [name for name, (_, _, said) in OPERATIONS.items() if not said["security"]] == ["livez", "readyz", "openapi"]
    assert {scope for _, _, said in OPERATIONS.values() for one in said["security"] for scope in one["token"]} == {
        *Scope
    }


async def test_it_is_given_to_whoever_asks(site: Site) -> None:
    answer = await site.http.get("/openapi.json")
    assert answer.json() == DOCUMENT
    again = await site.http.get("/openapi.json", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    async with open_site(token="secret-token-of-a-test") as closed:
        assert (await closed.http.get("/openapi.json")).json() == DOCUMENT
        assert (await closed.http.get("/jobs")).status_code == 401


@pytest.mark.parametrize("name", WITH_BODIES)
async def test_what_it_shows_is_taken_as_it_is(site: Site, name: str) -> None:
    method, path, said = OPERATIONS[name]
    at = {**await places(site), "lease": (await lease(site))["lease"]}
    for one in said["requestBody"]["content"]["application/json"]["examples"].values():
        body = one["value"]
        if name in ("complete", "fail"):
            held = (await lease(site, lease=at["lease"], jobs=[]))["jobs"][0]
            body = {"jobs": [{**body["jobs"][0], "id": held["id"], "fence": held["fence"]}]}
        answer = await site.http.request(method.upper(), path.format(**at), json=body)
        assert answer.is_success or (name, answer.status_code) in NOT_NOW, answer.text


NOT_NOW = {("change_node", 404), ("retry", 409)}
"""Nobody works at a site, and nothing has ended there."""

RULES = [
    r"cannot be given together with \w+",
    "must be later than the job is due",
    "must not be (more than 100 years ahead|before start_at|more than 10 years ahead)",
    "must be of .* with (retry|cancel|edit|delete)",
    "is for (retry and edit|cancel and delete|cron|every) alone.*",
    "must say what is to be different",
    "must be true where the filter says nothing.*",
    'cannot be beside "for"; say one of them',
    "must be an instant with a time zone, later than now and by at most .*",
    "is required( for a new lease.*|, or every|: why the attempt.*| with a (lease|snooze).*)?",
    "cannot be held under a lease that is new",
    'makes no sense with then: "\\w+"',
    "is what Tickr says of workers that are gone",
    "needs a retry_in, of at most .*",
    "must be an? (IANA name of a time zone|cron expression).*",
    "must be the IANA name of a time zone.*",
    ".*/job[tT]ype: (is required|cannot be given together with jobtype).",
    ".*(cron|time zone|zone|expression|tick|month|hour|minute|week).*",
    "must be at most .* keys and places.*|may be searched for .*|must be at most .* characters|must be 1 to .* char.*",
    "must be (the name of a schedule|a UUID like).*",
    "must be 1 to (128|64) letters.*, or a list.*|must be name or name=value.*|must be the kind of an error.*",
]
"""What a body may be refused for that its schema allows: what one field means beside another, or now; and the values of
filters, which may be lists, cron expressions and zones, which no pattern tells."""
CODES = {"dependency_missing", "dependency_cycle"}


@pytest.mark.parametrize("name", WITH_BODIES)
async def test_what_it_allows_is_taken_but_for_what_fields_mean_together(site: Site, name: str) -> None:
    method, path, said = OPERATIONS[name]
    at = await places(site)
    for body in some(drawn.instances(said["requestBody"]["content"]["application/json"]["schema"], COMPONENTS)):
        sent = {**body, "wait": 0} if name == "lease" else body
        answer = await site.http.request(method.upper(), path.format(**at), json=sent)
        assert answer.status_code not in (400, 500), (sent, answer.text)
        if answer.status_code == 422 and answer.json().get("code") not in CODES:
            assert [fault for fault in faults_of(answer) if not is_stated(fault)] == [], sent


QUIET = settings(
    derandomize=True, deadline=None, phases=[Phase.generate], database=None, suppress_health_check=[*HealthCheck]
)


def some(strategy: st.SearchStrategy[Any], count: int = 25) -> list[Any]:
    """Return what is drawn: the same each time, and nothing is tried again in other ways."""
    found: list[Any] = []

    @settings(QUIET, max_examples=count)
    @given(strategy)
    def take(one: Any) -> None:
        found.append(one)

    take()
    return found


def faults_of(answer: httpx2.Response) -> list[str]:
    document = answer.json()
    return [fault["detail"] for fault in document.get("errors", ())] or [document.get("message", "")]


def is_stated(fault: str) -> bool:
    return any(re.fullmatch(rule, fault, re.DOTALL) for rule in RULES)


NOT_ALONE = {"cursor", "after", "since", "payload."}
"""Parameters whose values come from Tickr, or that mean something beside the clock."""


async def test_the_parameters_that_it_allows_are_taken(site: Site) -> None:
    at = await places(site)
    await site.post(f"/jobs/{at['job_id']}/cancel")  # nobody waits for one that has ended
    for strategy in in_queries():
        for path, name, value in some(strategy, 3):
            answer = await site.http.get(path.format(**at), params={name: value})
            assert answer.status_code in (200, 304, 404, 409), (name, value, answer.text)


def in_queries() -> list[st.SearchStrategy[tuple[str, str, Any]]]:
    return [
        st.tuples(st.just(path), st.just(one["name"]), drawn.instances(one["schema"], COMPONENTS).map(_in_words))
        for method, path, said in OPERATIONS.values()
        for one in said.get("parameters", ())
        if method == "get" and one["in"] == "query" and one["name"] not in NOT_ALONE
    ]


def _in_words(value: Any) -> Any:
    return repr(value) if isinstance(value, float) else value


async def lease(site: Site, **more: Any) -> dict[str, Any]:
    await site.post(type="leased", queue="leased")
    body = {"types": ["leased"], "wait": 0, **more} if "lease" not in more else {"wait": 0, **more}
    found: dict[str, Any] = (await site.post("/leases", **body)).json()
    return found


async def places(site: Site) -> dict[str, str]:
    """Return what stands for each parameter in a path, and is there: a job that waits, a queue …"""
    job = (await site.post(type="report", queue="nightly", delay=3600)).json()
    await site.http.put("/schedules/nightly", json={"every": 3600, "job": {"type": "report"}})
    operation = (await site.post("/operations", action="cancel", filter={"queue": "none"})).json()
    mark = (await site.post("/marks", text="deploy")).json()
    token = (await site.post("/tokens", name="nightly", scopes=["jobs:read"])).json()
    ids = {"job_id": job["id"], "operation_id": operation["id"], "mark_id": mark["id"], "lease": job["id"]}
    return {**ids, "token_id": token["id"], "node_id": "self", "name": "nightly"}


# -- that the checks bite ----------------------------------------------------------------------------------------------


async def test_an_answer_that_is_not_described_is_noticed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    told = described.description_of(site.app)
    closed = told.answer_of("submit", 201, "application/json")
    assert closed is not None
    job = (await site.post(type="a")).json()
    assert closed.is_valid(job)
    assert not closed.is_valid({**job, "new": 1})
    assert not closed.is_valid({name: value for name, value in job.items() if name != "labels"})
    assert not closed.is_valid({**job, "run_at": "tomorrow"})
    with pytest.raises(AssertionError, match="answers 418"):
        told.response("submit", 418)
    body = told.body_of("submit")
    assert body is not None
    assert not body.is_valid({"type": "a", "priority": 10})
    monkeypatch.setitem(told.operations, "show", {**told.operations["show"], "parameters": []})
    with pytest.raises(AssertionError, match="which are not described"):
        await site.http.get(f"/jobs/{job['id']}?wait=0")
