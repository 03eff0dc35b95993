"""Searches in payloads over HTTP: lists, dead letters and operations; what is refused, and where."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.site import Site
from tests.store.backends import put_final
from tickr.api.listing import PART_RULE, PATH_RULE, VALUE_RULE
from tickr.jobs import State
from tickr.payload_search import MAX_CONDITIONS, MAX_VALUE_LENGTH
from tickr.store import search


async def listed(site: Site, query: str) -> list[dict[str, Any]]:
    answer = await site.http.get(f"/jobs?{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def faults(site: Site, query: str) -> dict[str, str]:
    answer = await site.http.get(f"/jobs?{query}")
    assert answer.status_code == 400, answer.text
    return {fault["pointer"]: fault["detail"] for fault in answer.json()["errors"]}


async def test_a_list_is_searched(site: Site) -> None:
    for payload in ({"customer": 7, "a.b": 1}, {"customer": "7"}, {"customer": 2**80}, {"to": {"name": "Anna Blüm"}}):
        await site.post(type="t", payload=payload)

    async def found(query: str) -> list[Any]:
        return [job["payload"] for job in await listed(site, query)]

    assert await found("payload.customer=7") == [{"customer": "7"}, {"customer": 7, "a.b": 1}]
    assert await found("payload.customer=%227%22") == [{"customer": "7"}]
    assert await found(f"payload.customer={2**80}&type=t") == [{"customer": 2**80}]
    assert await found("payload.to.name=Anna%20Bl%C3%BCm") == [{"to": {"name": "Anna Blüm"}}]
    assert await found("payload~=Bl%C3%BC&payload~=Anna") == [{"to": {"name": "Anna Blüm"}}]
    assert await found("payload~=Bl%C3%BC&payload~=Otto") == []
    assert await found("payload.customer=7&type=other") == []


async def test_a_page_says_where_it_goes_on_and_its_cursor_is_of_that_search_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "LOOK_INTO", 4)
    await site.post(type="t", payload={"n": 1})
    for _ in range(9):
        await site.post(type="t", payload={"n": 0})
    query, pages = "payload.n=1", []
    cursor: str | None = ""
    while cursor is not None:
        told = (await site.http.get(f"/jobs?{query}{cursor and f'&cursor={cursor}'}")).json()
        pages.append(len(told["items"]))
        cursor, last = told["next_cursor"], cursor
    assert pages == [0, 0, 1]
    answer = await site.http.get(f"/jobs?payload.n=0&cursor={last}")
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    ("query", "pointer", "detail"),
    [
        ("payload.=7", "/payload.", PATH_RULE),
        ("payload.a..b=7", "/payload.a..b", PATH_RULE),
        (f"payload.{'a.' * 16}a=7", f"/payload.{'a.' * 16}a", PATH_RULE),
        (f"payload.a={'x' * (MAX_VALUE_LENGTH + 1)}", "/payload.a", VALUE_RULE),
        ("payload~=", "/payload~0", PART_RULE),
        ("payload=7", "/payload", "is not a parameter of this call"),
        ("&".join(f"payload.a={n}" for n in range(MAX_CONDITIONS + 1)), "/payload", "may be searched for 10"),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(site: Site, query: str, pointer: str, detail: str) -> None:
    told = await faults(site, query)
    assert list(told) == [pointer]
    assert told[pointer].startswith(detail)


async def test_operations_and_dead_letters_are_about_those_alone(site: Site) -> None:
    for n in (7, 7, 8):
        await put_final(site.store, State.FAILED, payload=f'{{"customer":{n},"to":"x{n}"}}')
    assert (await site.http.get("/dead-letters?payload.customer=7")).json()["total"] == 2
    for which in (
        {"payload": {"customer": 7}},
        {"payload": {"customer": ["7", True]}},
        {"payload~": "x7"},
        {"payload~": ["x7", "customer"], "payload": {"to": "x7"}},
    ):
        told = (await site.post("/operations", action="retry", filter=which, dry_run=True)).json()
        assert (told["total"], told["exact"], len(told["examples"])) == (2, True, 2), which
    which = {"payload": {"customer": [7, None]}, "payload~": "x"}
    begun = await site.post("/operations", action="retry", filter=which)
    assert begun.status_code == 202
    assert begun.json()["total"] == 2
    assert begun.json()["filter"] == {
        "state": ["failed"],
        "payload": {"customer": ["7", "null"]},
        "payload~": ["x"],
    }


async def test_of_jobs_that_are_named_those_alone_are_meant(site: Site) -> None:
    jobs = [await put_final(site.store, State.FAILED, payload=f'{{"customer":{n}}}') for n in (7, 8)]
    which = {"payload": {"customer": 7}, "ids": [job.id for job in jobs]}
    told = (await site.post("/operations", action="retry", filter=which, dry_run=True)).json()
    assert [job["id"] for job in told["examples"]] == [jobs[0].id]


@pytest.mark.parametrize(
    ("which", "pointers"),
    [
        ({"payload": 7}, ["/filter/payload"]),
        ({"payload": {"a": {"b": 1}}}, ["/filter/payload/a"]),
        ({"payload": {"a": [[1]]}}, ["/filter/payload/a"]),
        ({"payload": {"a..b": 1}}, ["/filter/payload/a..b"]),
        ({"payload~": ""}, ["/filter/payload~0"]),
        ({"payload~": 7}, ["/filter/payload~0"]),
        ({"payload": {"a": list(range(MAX_CONDITIONS + 1))}}, ["/filter/payload"]),
    ],
)
async def test_what_an_operation_cannot_be_about_is_refused(site: Site, which: Any, pointers: list[str]) -> None:
    answer = await site.post("/operations", action="retry", filter=which)
    assert answer.status_code == 422, answer.text
    assert [fault["pointer"] for fault in answer.json()["errors"]] == pointers
