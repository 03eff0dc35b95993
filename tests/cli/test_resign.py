"""``tickr keys resign``: what is signed gets the first key, what only looks like it does not."""

from __future__ import annotations

import msgspec
import pytest
import trio

from tests.cli.test_admin import tickr
from tests.sealed import written
from tests.store.backends import SqliteBackend, join, new_id, new_job, put
from tickr.envelopes import read_keys
from tickr.jobs import Job
from tickr.schedule_moves import Put, Run
from tickr.sealing import Vault
from tickr.signing import Signer
from tickr.store.open import open_store
from tickr.ticks import Timing

VARIABLE = "TICKR_SIGNING_KEYS"
SEALING = written("sealing")


def vault_with(sealing: list[str], *keys: str) -> Vault:
    return Vault(read_keys(sealing) if sealing else (), None, Signer(read_keys(list(keys)), only=True))


@pytest.fixture
def url(tmp_path: object) -> str:
    return SqliteBackend(tmp_path / "tickr.db").url  # type: ignore[operator]


async def fill(url: str, vault: Vault) -> list[Job]:
    """Store a signed job, a forged one, one that is not signed, one that runs, and a good schedule and a forged one."""
    async with open_store(url) as store:
        await join(store, "n1")
        good = vault.seal_new(new_job(payload="[1]"))
        runs = vault.seal_new(new_job(payload="[2]"))
        made = await put(store, good, msgspec.structs.replace(good, id=new_id()), new_job(payload="[3]"), runs)
        assert await store.claim([runs.id], node="n1", types=["mail"], keys=vault.ids)
        job = new_job(id="", payload="[4]")
        wish = Put(name="s", timing=Timing(every_us=10**9), job=job, given='{"type":"mail","payload":[4]}')
        await store.move_schedules([vault.seal_put(wish)])
        forged = vault.seal_put(msgspec.structs.replace(wish, name="other"))
        await store.move_schedules([msgspec.structs.replace(forged, name="forged")])
        return made


async def checked(url: str, made: list[Job], vault: Vault) -> list[bool]:
    """Return which of the jobs, and of a new one of the schedule, would be run."""
    async with open_store(url) as store:
        runs = [Run(name=name, job_id=new_id()) for name in ("s", "forged")]
        ticks = [job for moved in await store.move_schedules(runs) for job in moved.jobs]
        found = [await store.get(one.id) for one in made]
    may = []
    for job in [*found, *ticks]:
        assert job is not None
        try:
            vault.open_to_run(job)
            may.append(True)
        except Exception:
            may.append(False)
    return may


@pytest.mark.parametrize("sealing", [[], SEALING], ids=["plain", "encrypted"])
def test_everything_that_is_signed_gets_the_first_key(
    url: str, sealing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (old,), (new,) = written("old"), written("new")
    made = trio.run(fill, url, vault_with(sealing, old))
    assert trio.run(checked, url, made, vault_with(sealing, old)) == [True, False, False, True, True, False]
    monkeypatch.setenv(VARIABLE, f"{new},{old}")
    if sealing:
        monkeypatch.setenv("TICKR_ENCRYPTION_KEYS", sealing[0])
    done = tickr("keys", "resign", "--store", url, code=1)
    assert "Signed with the first key: 2 jobs, 1 schedules." in done.output
    assert f"job {made[1].id}:" in done.output
    assert "schedule forged:" in done.output
    assert "1 jobs ran, or moved, just then" in done.output
    assert trio.run(checked, url, made, vault_with(sealing, new)) == [True, False, False, False, True, False]


def test_without_a_key_it_says_what_is_missing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    done = tickr("keys", "resign", "--store", url, code=1)
    assert VARIABLE in done.output
