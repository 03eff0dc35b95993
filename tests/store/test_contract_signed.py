"""The contract, for signed jobs: what is told of their signatures, and that they can be written anew."""

from __future__ import annotations

import msgspec

from tests.store.backends import end, join, new_job, put, put_one
from tickr.edits import Edit
from tickr.envelopes import new_key
from tickr.sealing import Vault
from tickr.signing import Signer
from tickr.store.contract import Resealed, Store

OLD, NEW = ("old", new_key()), ("new", new_key())
BEFORE, AFTER = Vault(signer=Signer([OLD], only=True)), Vault(signer=Signer([NEW, OLD], only=True))


async def test_signatures_are_told_and_written_anew(store: Store) -> None:
    (signed,), plain = await put(store, BEFORE.seal_new(new_job(payload="[1]"))), await put_one(store)
    told = {one.id: one.signed for one in (await store.key_uses(5)).found}
    assert told == {signed.id: signed.extras.signed, plain.id: None}
    assert BEFORE.signer.has_signed(told[signed.id])
    assert not AFTER.signer.has_signed(told[signed.id])
    assert await store.reseal([Resealed(AFTER.resign_job(signed), ())]) == 1
    now = await store.get(signed.id)
    assert now is not None
    assert AFTER.signer.has_signed(now.extras.signed)
    assert Vault(signer=Signer([NEW], only=True)).open_to_run(now).payload == "[1]"
    assert (now.version, now.payload) == (signed.version, "[1]")


async def test_a_job_that_is_started_over_has_the_signatures_of_what_was_changed(store: Store) -> None:
    await join(store, "n1")
    (job,) = await put(store, BEFORE.seal_new(new_job(payload="[1]")))
    for edit in (Edit(queue="other"), Edit(payload="[2]"), Edit(payload="[3]", queue="third"), Edit()):
        (running,) = await store.claim([job.id], node="n1", types=["mail"])
        await end(store, running, "failed")
        await store.redrive(job.id, edit=BEFORE.seal_edit(edit, job.id))
        again = await store.get(job.id)
        assert again is not None
        assert BEFORE.open_to_run(again) == again
        assert (again.payload, again.queue) == (edit.payload or again.payload, edit.queue or again.queue)
        resigned = AFTER.resign_job(again)
        assert AFTER.signer.has_signed(resigned.extras.signed)
        assert AFTER.open_to_run(msgspec.structs.replace(resigned, version=1)).payload == again.payload
