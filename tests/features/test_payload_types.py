"""Bytes, instants, amounts and records go from the client through a server into a handler, and back as its result."""

from __future__ import annotations

import msgspec
import pytest
import trio

import tickr
from tests.docs.pages import ROOT, code, table
from tests.features.conftest import node
from tests.features.types_jobs import ORDER, SAMPLES, Line, Name, Order, jobs, key
from tickr.client import AsyncClient, Refused

PAYLOAD = {key(annotation): value for annotation, (_, value, _) in SAMPLES.items()}


@pytest.mark.parametrize("place", ["in_loop", "in_thread", pytest.param("in_process", marks=pytest.mark.slow)])
async def test_every_type_comes_into_the_handler_and_back(place: str, store_url: str) -> None:
    async with node(jobs, store=store_url) as running, AsyncClient(running.handle.url) as client:
        with trio.fail_after(60):
            job = await client.wait(await client.submit(place, PAYLOAD))
        assert job.error is None
        for annotation, (kind, value, text) in SAMPLES.items():
            assert msgspec.json.encode(job.result[key(annotation)]).decode() == text, annotation
            assert msgspec.convert(job.result[key(annotation)], kind, str_keys=True) == value


async def test_records_go_to_children_and_back_and_through_the_handle(store_url: str) -> None:
    async with node(jobs, store=store_url) as running, AsyncClient(running.handle.url) as client:
        with trio.fail_after(60):
            other = msgspec.structs.replace(
                ORDER, id=msgspec.convert("00000000-0000-0000-0000-000000000008", type(ORDER.id))
            )
            job = await client.wait(await client.submit("ship_all", {"orders": [ORDER, other]}))
            assert job.result_as(set[type(ORDER.id)]) == {ORDER.id, other.id}
            assert job.payload_as(dict[str, list[Order]]) == {"orders": [ORDER, other]}

            stored = await running.handle.submit("ship", {"order": ORDER})
            assert (await client.wait(stored.id)).result_as(Order) == ORDER
        with pytest.raises(ValueError, match=r"The result is no Line: Object missing required field `item`"):
            (await client.get(stored.id)).result_as(Line)


async def test_what_has_no_json_is_told_where_it_stands() -> None:
    async with node(jobs, store="memory:") as running, AsyncClient(running.handle.url) as client:
        with pytest.raises(Refused) as refused:
            await client.submit("ship", {"order": ["a", Name()]})
        (fault,) = refused.value.faults
        assert fault.pointer == "/payload/order/1"
        assert "Encoding objects of type Name is unsupported" in fault.detail
        with trio.fail_after(20):
            job = await client.wait(await client.submit("nameless"))
        assert job.error is not None
        assert job.error.kind == "bad_result"

    with pytest.raises(TypeError, match=r"take simpler types or a msgspec.Struct"):
        tickr.Jobs().handler("named")(_named)


async def _named(name: Name) -> None: ...


def test_the_page_shows_each_type_as_it_is_in_json() -> None:
    rows = table((ROOT / "docs" / "handlers.md").read_text(), "annotation", "in JSON")
    assert {code(row[0])[0]: code(row[1])[0] for row in rows} == {
        annotation: text for annotation, (_, _, text) in SAMPLES.items()
    }
