"""Remote workers and encrypted jobs, where not every node has every key. In virtual time, on a store in memory."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.remote.conftest import Site, held, open_leases
from tests.sealed import SECRET, secret_job, vault_of
from tests.store.backends import new_job, put
from tickr.envelopes import new_key
from tickr.errors import CannotOpen
from tickr.jobs import Job, State
from tickr.remote.beats import Held
from tickr.remote.leases import Leases
from tickr.remote.settle import Report
from tickr.sealing import NO_VAULT, Vault
from tickr.signing import Signer

VAULT = vault_of("main")


async def with_key(site: Site, vault: Vault = VAULT) -> Leases:
    return site.another_node(vault)


async def stored(site: Site, **fields: Any) -> Job:
    (job,) = await put(site.store, secret_job(VAULT, type="noop", **fields))
    return job


async def state_of(site: Site, job: Job) -> tuple[State, int]:
    now = await site.store.get(job.id)
    assert now is not None
    return now.state, now.attempt


async def test_a_node_without_the_key_claims_nothing_for_a_worker(autojump_clock: object) -> None:
    async with open_leases() as site:
        job, keyed = await stored(site), await with_key(site)
        lease = await site.session()
        assert (await site.poll(lease, wait=3)).jobs == []
        (taken,) = (await site.poll(lease, wait=3, on=keyed)).jobs
        assert (taken.id, taken.payload) == (job.id, f'{{"card":"{SECRET}"}}')


async def test_what_was_claimed_elsewhere_and_cannot_be_opened_here_is_handed_back_at_no_cost(
    autojump_clock: object,
) -> None:
    async with open_leases() as site:
        job, keyed = await stored(site), await with_key(site)
        lease = await site.session()
        await site.poll(lease, wait=3, on=keyed)  # and the answer gets lost
        assert (await site.poll(lease)).jobs == []
        assert await state_of(site, job) == (State.READY, 0)
        (again,) = (await site.poll(lease, wait=3, on=keyed)).jobs
        assert SECRET in again.payload


async def test_a_report_that_cannot_be_encrypted_here_is_refused_and_the_others_are_stored(
    autojump_clock: object,
) -> None:
    async with open_leases() as site:
        keyed = await with_key(site)
        job, (plain,) = await stored(site), await put(site.store, secret_job(NO_VAULT, type="noop"))
        lease = await site.session()
        taken = [*(await site.poll(lease, most=2, wait=3, on=keyed)).jobs]
        assert {one.id for one in taken} == {job.id, plain.id}
        reports = [Report(one.id, one.fence, "succeeded", f'"{SECRET}"') for one in taken]
        with pytest.raises(CannotOpen, match="TICKR_ENCRYPTION_KEYS"):
            await site.leases.settle(lease, reports)
        assert await state_of(site, plain) == (State.SUCCEEDED, 1)
        assert await state_of(site, job) == (State.RUNNING, 1)
        assert [one.status for one in await keyed.settle(lease, reports)] == ["done", "done"]
        after = await site.store.get(job.id)
        assert after is not None
        assert SECRET not in str(after.result)
        assert VAULT.open_job(after).result == f'"{SECRET}"'


async def test_what_a_worker_says_to_a_node_without_the_key_is_left_out_and_its_lease_is_kept(
    autojump_clock: object,
) -> None:
    async with open_leases() as site:
        keyed, job = await with_key(site), await stored(site)
        lease = await site.session()
        (taken,) = (await site.poll(lease, wait=3, on=keyed)).jobs
        said: list[Held] = [held(taken, fraction=0.5, message=SECRET, lines=(SECRET,))]
        assert (await site.leases.heartbeat(lease, said)).running
        now = await site.store.get(job.id)
        assert now is not None
        assert now.progress is None
        await keyed.heartbeat(lease, said)
        now = await site.store.get(job.id)
        assert now is not None
        assert now.progress is not None
        assert SECRET not in str(now.progress.message)


async def test_what_was_changed_since_it_was_encrypted_has_failed(autojump_clock: object) -> None:
    async with open_leases() as site:
        other, keyed = await stored(site, priority=9), await with_key(site)
        (job,) = await put(site.store, secret_job(VAULT, type="noop", payload="1"))
        site.store.port._put(msgspec.structs.replace(job, payload=other.payload))
        lease = await site.session()
        jobs = (await site.poll(lease, most=2, wait=3, on=keyed)).jobs
        assert [one.id for one in jobs] == [other.id]
        now = await site.store.get(job.id)
        assert now is not None
        assert (now.state, now.error and now.error.kind) == (State.FAILED, "cannot_decrypt")


async def test_what_is_stored_compressed_is_given_and_taken_as_it_was(autojump_clock: object) -> None:
    large, vault = '"%s"' % ("x" * 90), Vault((), 50)
    async with open_leases() as site:
        (job,) = await put(site.store, vault.seal_new(new_job(type="noop", payload=large)))
        assert len(job.payload) < 90
        lease = await site.session()
        (taken,) = (await site.poll(lease, wait=3)).jobs
        assert taken.payload == large
        report = Report(job.id, taken.fence, "succeeded", result=large)
        (settled,) = await site.another_node(vault).settle(lease, [report])
        assert settled.status == "done"
        done = await site.store.get(job.id)
        assert done is not None
        assert len(done.result or "") < 90
        assert NO_VAULT.unpack_job(done).result == large


async def test_what_was_damaged_since_it_was_compressed_has_failed(autojump_clock: object) -> None:
    async with open_leases() as site:
        (job,) = await put(site.store, new_job(type="noop", payload="tickrz:5:nonsense"))
        lease = await site.session()
        assert (await site.poll(lease)).jobs == []
        now = await site.store.get(job.id)
        assert now is not None
        assert (now.state, now.error and now.error.kind) == (State.FAILED, "cannot_decrypt")


async def test_a_worker_gets_what_is_signed_alone_where_that_is_asked_for(autojump_clock: object) -> None:
    async with open_leases() as site:
        vault = Vault(signer=Signer([("main", new_key())], only=True))
        (good,) = await put(site.store, vault.seal_new(new_job(type="noop", priority=9)))
        (forged,) = await put(site.store, new_job(type="noop", extras=good.extras))
        lease = await site.session()
        jobs = (await site.poll(lease, most=2, wait=3, on=site.another_node(vault))).jobs
        assert [one.id for one in jobs] == [good.id]
        now = await site.store.get(forged.id)
        assert now is not None
        assert (now.state, now.error and now.error.kind) == (State.FAILED, "bad_signature")
