"""The contract, for encrypted jobs that are started over with another payload, and for checkpoints with another key."""

from __future__ import annotations

import pytest

from tests.sealed import SECRET, secret_job, vault_of
from tests.store.backends import end, join, new_id, noted, put, put_one
from tickr.edits import Edit
from tickr.envelopes import is_sealed, new_key
from tickr.errors import CannotOpen
from tickr.jobs import Job, State
from tickr.operation_moves import Begin, Step
from tickr.operations import Operation
from tickr.reasons import Failure
from tickr.reports import Checkpoint
from tickr.sealing import NO_VAULT, Vault
from tickr.store.contract import Filter, Resealed, Store

MAIL = ["mail"]
MENDED = f'{{"mended":"{SECRET}"}}'
EDIT = Edit(payload=MENDED)


@pytest.fixture
async def nodes(store: Store) -> Store:
    await join(store, "n1")
    return store


async def failed(store: Store, vault: Vault) -> Job:
    """Return a job that has failed, encrypted with the vault's first key, if it has one."""
    (job,) = await put(store, secret_job(vault))
    (running,) = await store.claim([job.id], node="n1", types=MAIL, keys=vault.ids)
    await store.note([vault.seal_note(noted(running, 1, fraction=0.5, message=SECRET))])
    why = vault.seal_said(Failure("exception", SECRET), running)
    await end(store, running, "failed", failure=why)
    return running


async def get(store: Store, job: Job) -> Job:
    now = await store.get(job.id)
    assert now is not None
    return now


async def test_a_job_keeps_its_key_whichever_encrypts_new_ones(nodes: Store) -> None:
    old, new = ("old", new_key()), ("new", new_key())
    job, rotated = await failed(nodes, Vault([old])), Vault([new, old])
    answer = await nodes.redrive(job.id, edit=rotated.seal_edit(EDIT, job.id))
    after = await get(nodes, job)
    assert after == answer
    assert after.extras.sealed == job.extras.sealed
    assert SECRET not in after.payload
    assert Vault([old]).open_job(after).payload == MENDED
    (attempt,) = await nodes.attempts(job.id)
    assert Vault([old]).open_attempt(attempt, job.id).error == Failure("exception", SECRET)


async def test_a_plain_job_is_encrypted_from_its_new_payload_on(nodes: Store) -> None:
    vault, job = vault_of("main"), await failed(nodes, NO_VAULT)
    await nodes.redrive(job.id, edit=vault.seal_edit(EDIT, job.id))
    after = await get(nodes, job)
    assert (after.extras.sealed, after.progress) == (vault.first, None)
    assert vault.open_job(after).payload == MENDED
    assert await nodes.claim([job.id], node="n1", types=MAIL) == [], "it takes the key now"
    (running,) = await nodes.claim([job.id], node="n1", types=MAIL, keys=vault.ids)
    assert vault.open_payload(running).payload == MENDED


@pytest.mark.parametrize("names", [(), ("other",)])
async def test_an_encrypted_job_gets_no_payload_where_its_key_is_not(nodes: Store, names: tuple[str, ...]) -> None:
    """Neither one in the clear nor one that its results could not be read with."""
    vault = vault_of("main")
    job = await failed(nodes, vault)
    before = await get(nodes, job)
    with pytest.raises(CannotOpen, match="TICKR_ENCRYPTION_KEYS"):
        await nodes.redrive(job.id, edit=vault_of(*names).seal_edit(EDIT, job.id))
    assert await get(nodes, job) == before
    assert (await nodes.redrive(job.id, edit=Edit(priority=1))).priority == 1, "what is no secret may be changed"


async def test_an_operation_gives_each_job_its_payload_under_the_key_that_it_has(nodes: Store) -> None:
    old, new = ("old", new_key()), ("new", new_key())
    rotated, stranger = Vault([new, old]), vault_of("lost")
    vaults = [Vault([old]), Vault([new]), NO_VAULT, stranger]
    jobs = [await failed(nodes, vault) for vault in vaults]
    which = Filter(states=(State.FAILED,))
    wish = rotated.seal_operation(Operation(id=new_id(), action="retry", which=which, edit=EDIT))
    _, begun, _ = await nodes.move_operation(Begin(wish))
    assert begun is not None
    assert SECRET not in str(await nodes.operation(wish.id))
    again = rotated.seal_operation(Operation(id=wish.id, action="retry", which=which, edit=EDIT))
    assert await nodes.move_operation(Begin(again)) == (begun, begun, []), "the same, encrypted anew, is the same"
    step = Step(wish.id, begun.version, tuple(job.id for job in jobs), (0, ""), last=True)
    _, after, _ = await nodes.move_operation(step)
    assert after is not None
    assert (after.done, after.skipped) == (3, 1)
    for vault, job in zip([Vault([old]), Vault([new]), Vault([new])], jobs, strict=False):
        assert SECRET not in (await get(nodes, job)).payload
        assert vault.open_job(await get(nodes, job)).payload == MENDED
    assert (await get(nodes, jobs[3])).state is State.FAILED, "the one whose key nobody had is left alone"
    stored = await nodes.operation(wish.id)
    assert stored is not None
    for vault in (rotated, Vault([old]), Vault([new])):
        assert vault.open_edit(stored.edit) == EDIT
    with pytest.raises(CannotOpen):
        stranger.open_edit(stored.edit)


async def test_a_checkpoint_is_given_another_key_with_its_job(nodes: Store) -> None:
    old, new = ("old", new_key()), ("new", new_key())
    (job,) = await put(nodes, secret_job(Vault([old]), max_attempts=3))
    (running,) = await nodes.claim([job.id], node="n1", types=MAIL, keys=Vault([old]).ids)
    await nodes.keep_checkpoints([Vault([old]).seal_checkpoint(Checkpoint(job=running, value=MENDED))])
    await end(nodes, running, "retried", failure=Failure("retry_later", "soon"))
    before, kept, both = await get(nodes, job), await nodes.checkpoint(job), Vault([new, old])
    assert is_sealed(kept)
    assert SECRET not in str(kept)
    assert await nodes.reseal([Resealed(both.reseal_job(before), [], both.reseal_checkpoint(kept, before))]) == 1
    assert Vault([new]).open_checkpoint(await nodes.checkpoint(job), job) == MENDED
    plain = await put_one(nodes)
    assert await nodes.checkpoint(plain) is None
