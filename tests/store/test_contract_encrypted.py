"""The contract, for encrypted jobs: who may claim them, what is the same, what is kept; and other keys for them."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from tests.sealed import SECRET, secret_job, vault_of
from tests.store.backends import Backend, end, join, new_id, new_job, noted, put, put_one, told
from tests.store.keyed import put_one_keyed, requested, unique_job
from tickr import jobs
from tickr.envelopes import new_key
from tickr.errors import DuplicateJob
from tickr.jobs import Extras, Job, State
from tickr.reasons import Failure
from tickr.reports import Outcome
from tickr.schedule_moves import Put, Run
from tickr.sealing import Vault
from tickr.store.changes import same_content
from tickr.store.contract import Fate, Resealed, Store
from tickr.ticks import Timing

MAIL = ["mail"]
WHY = Failure("exception", f"ValueError: {SECRET}", f"Traceback: {SECRET}")


@pytest.fixture
async def nodes(store: Store) -> AsyncIterator[Store]:
    await join(store, "n1", "n2")
    return store


async def test_who_does_not_have_the_key_does_not_get_the_job(nodes: Store) -> None:
    """Neither by its id nor without an index; nothing is written, and the others are claimed as ever."""
    vault, other = vault_of("main"), vault_of("main", "second")
    sealed, plain = await put_one(nodes, **asdict(secret_job(vault))), await put_one(nodes)
    with_extras = await put_one(nodes, extras=Extras(traceparent="00-1-2-01"))
    ids = [sealed.id, plain.id, with_extras.id]
    for keys in ((), other.ids):
        claimed = await nodes.claim(ids[:1], node="n1", types=MAIL, keys=keys)
        claimed += await nodes.claim_due(1, node="n1", types=["none"], keys=keys)
        assert claimed == []
    assert await nodes.get(sealed.id) == sealed, "no attempt is spent"
    assert {job.id for job in await nodes.claim_due(10, node="n1", types=MAIL, keys=other.ids)} == {*ids[1:]}
    (running,) = await nodes.claim(ids, node="n2", types=MAIL, keys=other.ids | vault.ids)
    assert running.id == sealed.id
    assert running.attempt == 1
    assert SECRET in vault.open_payload(running).payload


async def test_jobs_that_nobody_here_can_read_hide_no_others_from_a_claim_without_an_index(nodes: Store) -> None:
    there, here = vault_of("there"), vault_of("here")
    await put(nodes, *(secret_job(there, priority=0) for _ in range(50)))
    plain = await put(nodes, *(new_job() for _ in range(3)))
    mine = await put(nodes, *(secret_job(here) for _ in range(3)))
    got = [job for _ in range(6) for job in await nodes.claim_due(1, node="n1", types=MAIL, keys=here.ids)]
    assert {job.id for job in got} == {job.id for job in [*plain, *mine]}
    assert await nodes.claim_due(10, node="n1", types=MAIL, keys=here.ids) == []
    assert len(await nodes.claim_due(100, node="n2", types=MAIL, keys=there.ids)) == 50


async def test_a_submission_that_comes_again_is_the_same_job_although_it_is_encrypted_anew(store: Store) -> None:
    first, second = ("k1", new_key()), ("k2", new_key())
    new = new_job(payload='{"n":1}')
    sealed = Vault([first]).seal_new(new)
    ((job, created),) = await store.insert([sealed])
    assert created
    for again in (Vault([first]), Vault([second, first])):
        ((known, created),) = await store.insert([again.seal_new(new)], whole=True)
        assert (known, created) == (job, False)
    other = Vault([first]).seal_new(msgspec.structs.replace(new, payload='{"n":2}'))
    with pytest.raises(DuplicateJob):
        await store.insert([other], whole=True)
    assert not same_content(job, other)


async def test_keys_of_submissions_mean_the_same_with_encryption(store: Store) -> None:
    first, second = ("k1", new_key()), ("k2", new_key())
    old, new = Vault([first]), Vault([second, first])
    asked = requested("order 1", "a body", payload='{"n":1}')
    made = await put_one_keyed(store, old.seal_new(asked))
    again = await put_one_keyed(store, new.seal_new(msgspec.structs.replace(asked, id=new_id())))
    assert again.replayed
    assert again[0].id == made[0].id
    other = requested("order 1", "another body", payload='{"n":2}')
    assert (await put_one_keyed(store, new.seal_new(other))).fate is Fate.REUSED
    held = await put_one_keyed(store, old.seal_new(unique_job("u")))
    assert (await put_one_keyed(store, new.seal_new(unique_job("u")))).fate is Fate.HELD
    assert held[0].extras.sealed == old.first


async def test_nothing_of_a_job_is_readable_in_the_store(backend: Backend) -> None:
    """Not on the job, its attempts or its events; nor is there a hash of what it says."""
    vault = vault_of("main")
    async with backend.open() as store:
        await join(store, "n1")
        payload = f'{{"card":"{SECRET}"}}'
        jobs = await put(store, *(secret_job(vault, max_attempts=2) for _ in range(3)))
        claimed = await store.claim([job.id for job in jobs], node="n1", types=MAIL, keys=vault.ids)
        running = [one for job in jobs for one in claimed if one.id == job.id]
        await store.note([vault.seal_note(noted(job, 1, fraction=0.5, message=SECRET)) for job in running])
        await store.note([vault.seal_note(noted(job, 2, message=SECRET)) for job in running])
        for job, kind in zip(running, ("succeeded", "retried", "failed"), strict=True):
            done = {"result": f'"{SECRET}"'} if kind == "succeeded" else {"failure": WHY}
            ended = vault.seal_outcome(Outcome(job=job, kind=kind, **done))  # type: ignore[arg-type]
            assert await end(store, job, kind, result=ended.result, failure=ended.failure)
        template = Put(
            name="nightly",
            timing=Timing(every_us=10**9),
            job=new_job(payload=payload, id=""),
            given=f'{{"type":"mail","payload":{payload}}}',
        )
        await store.move_schedules([vault.seal_put(template)])
        ((_, _, (made,)),) = await store.move_schedules([Run(name="nightly", job_id=new_id())])
        assert SECRET in vault.open_payload(made).payload
        with pytest.raises(Exception, match="another job"):
            vault.open_payload(msgspec.structs.replace(made, payload=jobs[0].payload))
        kept = [await store.get(job.id) for job in [*jobs, made]]
        kept_attempts = [await store.attempts(job.id) for job in jobs]
        everything = str([kept, kept_attempts, await told(store), await store.schedules(5)]).encode()
        everything += backend.bytes(store)
        for text in (SECRET, SECRET.encode().hex(), hashlib.sha256(payload.encode()).hexdigest()):
            assert text.encode() not in everything
        assert hashlib.sha256(payload.encode()).digest() not in everything
        assert jobs[0].payload.encode() in everything, "we did look where it is"
        opened = [vault.open_job(job) for job in kept if job]
        assert [job.payload for job in opened] == [payload] * 4
        assert opened[0].result == f'"{SECRET}"'
        assert opened[2].error == WHY
        assert [one.error for one in [vault.open_attempt(one, jobs[1].id) for one in kept_attempts[1]]] == [WHY]
        events = [vault.open_event(event) for commit in await told(store) for event in commit if event.job]
        assert [event.message for event in events if event.note] == [SECRET] * 6


async def test_a_redriven_job_keeps_its_key(nodes: Store) -> None:
    vault = vault_of("main")
    (job,) = await put(nodes, secret_job(vault))
    (running,) = await nodes.claim([job.id], node="n1", types=MAIL, keys=vault.ids)
    why = vault.seal_outcome(Outcome(job=running, kind="failed", failure=WHY)).failure
    await end(nodes, running, "failed", failure=why)
    again = await nodes.redrive(job.id)
    assert again.extras.sealed == vault.first
    assert vault.open_payload(again).payload == vault.open_payload(job).payload


# -- other keys -------------------------------------------------------------------------------------------------------


async def test_every_job_is_told_with_the_key_that_it_needs(store: Store) -> None:
    vault = vault_of("main")
    jobs = await put(store, *(secret_job(vault) if n % 2 else new_job() for n in range(5)))
    found, after = [], None
    while True:
        page = await store.key_uses(2, after)
        found += page.found
        if (after := page.after) is None:
            break
    assert found == sorted((job.id, job.extras.sealed, State.READY, None) for job in jobs)
    assert (await store.key_uses(5)).after is not None, "there may be more"


async def test_a_job_is_given_another_key_and_nothing_else_happens_to_it(nodes: Store) -> None:
    old_key, new_key_ = ("old", new_key()), ("new", new_key())
    old, both, new = Vault([old_key]), Vault([new_key_, old_key]), Vault([new_key_])
    (job,) = await put(nodes, secret_job(old, max_attempts=2))
    (running,) = await nodes.claim([job.id], node="n1", types=MAIL, keys=old.ids)
    await nodes.note([old.seal_note(noted(running, 1, fraction=0.5, message=SECRET))])
    retried = old.seal_outcome(Outcome(job=running, kind="retried", failure=WHY))
    await end(nodes, running, "retried", failure=retried.failure)
    before, events = await nodes.get(job.id), await told(nodes)
    assert before is not None
    attempts = await nodes.attempts(job.id)
    anew = Resealed(both.reseal_job(before), [both.reseal_attempt(one, job.id) for one in attempts])
    assert await nodes.reseal([anew, Resealed(secret_stranger(both), [])]) == 1
    after = await nodes.get(job.id)
    assert after is not None
    assert new.open_job(after) == msgspec.structs.replace(old.open_job(before), extras=after.extras)
    assert [new.open_attempt(one, job.id).error for one in await nodes.attempts(job.id)] == [WHY]
    assert await told(nodes) == events
    assert await nodes.reseal([anew]) == 1, "to do it again is no harm"
    (running,) = await nodes.claim([job.id], node="n1", types=MAIL, keys=new.ids)
    assert SECRET in new.open_payload(running).payload
    assert await nodes.reseal([Resealed(running, []), anew]) == 0, "one that runs is left alone, and one that moved on"


def secret_stranger(vault: Vault) -> Job:
    """Return a job that is not stored."""
    return jobs.created(secret_job(vault), 5)


def asdict(new: object) -> dict[str, object]:
    """Return the fields of a new job but its type."""
    fields = msgspec.structs.asdict(new)  # type: ignore[type-var]
    del fields["type"]
    return fields
