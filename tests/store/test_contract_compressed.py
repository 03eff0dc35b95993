"""The contract, for jobs whose payload is stored compressed: they are the same jobs as those where it is not."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.store.backends import Backend, end, join, new_id, new_job, put
from tickr.edits import Edit
from tickr.errors import DuplicateJob
from tickr.jobs import Job, NewJob, State
from tickr.operation_moves import Begin
from tickr.operations import Operation
from tickr.packing import is_packed
from tickr.reports import Outcome
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Filter, Store

LARGE = '{"text":"%s"}' % ("large and larger " * 500)
OTHER = LARGE.replace("larger", "longer")
VAULT = Vault((), 1000)


def large(**fields: Any) -> NewJob:
    return new_job(**{"payload": LARGE, **fields})


async def stored(store: Store, job: Job | NewJob) -> Job:
    found = await store.get(job.id)
    assert found is not None
    return found


async def test_it_is_stored_compressed_and_comes_back(backend: Backend) -> None:
    async with backend.open() as store:
        await join(store, "n1")
        await put(store, VAULT.seal_new(new := large()))
        (running,) = await store.claim([new.id], node="n1", types=["mail"])
        assert is_packed(running.payload)
        assert NO_VAULT.open_payload(running).payload == LARGE
        done = VAULT.seal_outcome(Outcome(job=running, kind="succeeded", result=OTHER))
        assert await end(store, running, "succeeded", result=done.result)
        assert NO_VAULT.unpack_job(await stored(store, new)).result == OTHER
        assert b"large and larger large" not in backend.bytes(store)
        assert b"large and longer large" not in backend.bytes(store)


@pytest.mark.parametrize(("first", "second"), [(VAULT, NO_VAULT), (NO_VAULT, VAULT), (VAULT, VAULT)])
async def test_a_submission_that_comes_again_is_the_same_job(store: Store, first: Vault, second: Vault) -> None:
    new = large()
    ((job, created),) = await store.insert([first.seal_new(new)])
    assert created
    assert await store.insert([second.seal_new(new)], whole=True) == [(job, False)]
    with pytest.raises(DuplicateJob):
        await store.insert([second.seal_new(large(id=new.id, payload=OTHER))], whole=True)


async def test_what_was_damaged_is_another_job_and_spoils_no_batch(store: Store) -> None:
    new, plain = large(), new_job()
    damaged = msgspec.structs.replace(VAULT.seal_new(new), payload="tickrz:5:nonsense")
    await put(store, damaged)
    (_, created), (_, fresh) = await store.insert([VAULT.seal_new(new), plain])
    assert (created, fresh) == (False, True)


async def test_a_job_is_started_over_with_another_payload(store: Store) -> None:
    await join(store, "n1")
    await put(store, VAULT.seal_new(new := large()))
    (running,) = await store.claim([new.id], node="n1", types=["mail"])
    await end(store, running, "failed")
    same = await store.redrive(new.id, edit=NO_VAULT.seal_edit(Edit(payload=LARGE), new.id))
    assert same.extras.redrives[-1].changed == (), "it has that payload already"
    await store.cancel(new.id)
    again = await store.redrive(new.id, edit=VAULT.seal_edit(Edit(payload=OTHER), new.id))
    assert is_packed(again.payload)
    assert again.state is State.READY
    assert again.extras.redrives[-1].changed == ("payload",)
    assert NO_VAULT.unpack_job(await stored(store, new)).payload == OTHER


async def test_an_operation_that_is_asked_for_again_is_the_same(store: Store) -> None:
    edit, id_ = Edit(payload=LARGE), new_id()

    def begin(vault: Vault) -> Begin:
        asked = Operation(id=id_, action="retry", which=Filter(states=(State.FAILED,)), edit=edit)
        return Begin(vault.seal_operation(asked))

    before, begun, _ = await store.move_operation(begin(VAULT))
    assert begun is not None
    assert before is None
    assert is_packed(begun.edit.payload)
    assert VAULT.open_edit(begun.edit) == NO_VAULT.open_edit(begun.edit) == edit
    assert (await store.move_operation(begin(NO_VAULT))).before == begun
