"""The description of the API says what the pages and the JavaScript client say: the same codes, the same fields."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.docs.pages import ROOT, code, table
from tests.docs.test_tables import known_problems, page

DOCUMENT: dict[str, Any] = json.loads((ROOT / "docs" / "openapi.json").read_text())
RESPONSES = DOCUMENT["components"]["responses"]
SCHEMAS = DOCUMENT["components"]["schemas"]
NOT_OF_A_CALL = {
    *("not_found", "method_not_allowed", "not_implemented", "http_version_not_supported", "https_required"),
    *("unsigned", "binary_frame", "frame_too_large", "unexpected_message"),
}
"""Of no path, no method, no HTTP, no rows that others insert, and of the frames of websockets."""


def described() -> set[tuple[int, str]]:
    found = set()
    for response in RESPONSES.values():
        for content in response["content"].values():
            for part in content["schema"].get("allOf", [])[1:]:
                status = part["properties"]["status"]["const"]
                found |= {(status, one) for one in part["properties"]["code"]["enum"]}
    return found


def test_its_problems_are_those_of_the_program() -> None:
    known = known_problems()
    assert described() - known == set(), "there are no such problems"
    assert {one for one in known - described() if one[1] not in NOT_OF_A_CALL} == set(), "no call says these"


def test_its_calls_are_those_of_the_page() -> None:
    text = page("http-api.md")
    for path in DOCUMENT["paths"]:
        first = path.split("/")[1]
        assert (
            f"`GET /{first}" in text or f"`POST /{first}" in text or f"/{first}/" in text or f", `GET /{first}" in text
        )


def test_its_job_is_that_of_the_javascript_client() -> None:
    types = (ROOT / "clients" / "js" / "client.d.mts").read_text()
    body = types.partition("export interface Job {")[2].partition("\n}")[0]
    fields = dict(re.findall(r"^  (\w+): (.+);$", body, re.MULTILINE))
    job = SCHEMAS["JobDocument"]
    assert list(fields) == list(job["properties"])
    nullable = {name for name, said in job["properties"].items() if may_be_null(said)}
    assert {name for name, kind in fields.items() if "null" in kind or kind == "any"} == nullable
    options = types.partition("export interface Options {")[2].partition("\n}")[0]
    told = set(re.findall(r"^  (\w+)\?:", options, re.MULTILINE))
    assert told | {"type", "payload"} == set(SCHEMAS["Submission"]["properties"])


def may_be_null(said: dict[str, Any]) -> bool:
    kinds = said.get("type", [])
    return not set(said) - {"description"} or "null" in kinds or {"type": "null"} in said.get("anyOf", [])


def test_its_job_is_that_of_the_page() -> None:
    shown = [name for row in table(page("http-api.md"), "field of a job") for name in code(row[0])]
    assert shown == list(SCHEMAS["JobDocument"]["properties"])
