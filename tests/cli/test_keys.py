"""``tickr keys``: new ones, what is counted, how everything stored gets another one, and when an old one may go."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from click.testing import Result

from tests.cli.test_admin import tickr
from tests.processes import TickrProcess
from tests.sealed import SECRET, written
from tests.store.backends import Backend, MysqlBackend, SqliteBackend, a_node, end, join, new_job
from tickr.configuring import Given, read
from tickr.envelopes import read_keys
from tickr.jobs import Job
from tickr.reasons import Failure
from tickr.reports import Checkpoint, Outcome
from tickr.schedule_moves import Put
from tickr.sealing import Vault
from tickr.store.contract import Store
from tickr.store.open import open_store
from tickr.ticks import Timing

VARIABLE = "TICKR_ENCRYPTION_KEYS"
PAYLOAD = f'{{"card":"{SECRET}"}}'


@pytest.fixture(params=["sqlite", "mysql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    backend: Backend = SqliteBackend(tmp_path / "tickr.db")
    if request.param == "mysql":
        backend = MysqlBackend(request.getfixturevalue("mysql_url"))
    return backend.url


@pytest.fixture(autouse=True)
def _no_settings_from_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TICKR_")]:
        monkeypatch.delenv(name)


def vault_with(*keys: str) -> Vault:
    return Vault(read_keys(list(keys)))


async def fill(store: Store, vault: Vault) -> list[Job]:
    """Store three jobs with the first key of ``vault`` (one failed, one that runs), a schedule and a plain job."""
    await join(store, "n1")
    new = [vault.seal_new(new_job(payload=PAYLOAD, max_attempts=1, queue=f"q{n}")) for n in range(3)]
    made = [job for job, _ in await store.insert([*new, new_job()])]
    running = await store.claim([made[1].id, made[2].id], node="n1", types=["mail"], keys=vault.ids)
    by_id = {job.id: job for job in running}
    why = Failure("exception", SECRET, SECRET)
    sealed = vault.seal_outcome(Outcome(job=by_id[made[1].id], kind="failed", failure=why))
    await end(store, by_id[made[1].id], "failed", failure=sealed.failure)
    given = f'{{"type":"mail","payload":{PAYLOAD}}}'
    job = new_job(payload=PAYLOAD, id="")
    template = Put(name="nightly", timing=Timing(every_us=10**9), job=job, given=given, times=9, end_at=2**50)
    await store.move_schedules([vault.seal_put(template)])
    kept = Checkpoint(job=by_id[made[2].id], value=PAYLOAD)
    assert await store.keep_checkpoints([vault.seal_checkpoint(kept)]) == 1
    return [made[0], made[1], by_id[made[2].id]]


def listed(store: str, *keys: str) -> dict[str | None, dict[str, Any]]:
    variables = {VARIABLE: ",".join(keys)} if keys else {}
    found = json.loads(tickr("keys", "list", "--json", "--store", store, **variables).stdout)
    return {use["name"]: use for use in found}


def counts(use: dict[str, Any]) -> tuple[int, int, int]:
    return use["to_run"], use["ended"], use["schedules"]


# -- new ones ---------------------------------------------------------------------------------------------------------


def test_a_new_key_can_be_configured_as_it_is_printed() -> None:
    one, other = (tickr("keys", "new").stdout.strip() for _ in range(2))
    assert one != other
    assert one.startswith("main:")
    second = tickr("keys", "new", "2026-11").stdout.strip()
    config = read({"encryption_keys": Given(f"{one}, {second}", VARIABLE)})
    assert config.encryption_keys is not None
    assert [name for name, _ in config.encryption_keys] == ["main", "2026-11"]
    assert one.partition(":")[2] not in repr(config)


@pytest.mark.parametrize("name", ["", "a b", "-x", "x" * 33, "a:b", "a.b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    assert "a key's name is" in tickr("keys", "new", "--", name, code=2).output


def test_without_a_word_there_is_help() -> None:
    told = tickr("keys").output
    assert all(word in told for word in ("new", "list", "reencrypt"))


# -- counting and changing --------------------------------------------------------------------------------------------


def test_every_key_is_counted_with_what_needs_it(store: str) -> None:
    old, new = written("old")[0], written("new")[0]
    trio.run(filled, store, [old])
    found = listed(store, new)
    assert {name: counts(use) for name, use in found.items()} == {"new": (0, 0, 0), "old": (2, 1, 1), None: (1, 0, 0)}
    assert [(use["here"], use["first"]) for use in found.values()] == [(True, True), (False, False), (False, False)]
    table = tickr("keys", "list", "--store", store, **{VARIABLE: new}).stdout
    assert "missing" in table
    assert "encrypts" in table
    assert listed(store)["old"]["here"] is False
    assert old.partition(":")[2] not in table


def test_all_that_is_stored_gets_the_first_key_and_the_old_one_may_go(store: str) -> None:
    old, new = written("old")[0], written("new")[0]
    jobs = trio.run(filled, store, [old])
    done = reencrypt(store, new, old, code=1)
    assert "Encrypted with the first key: 2 jobs, 1 schedules." in done.stdout
    assert 'The key "old"' in done.stdout
    assert "1 jobs or schedules need it still" in done.stdout, "the one that runs"
    assert counts(listed(store, new, old)["old"]) == (1, 0, 0)
    trio.run(finished, store, [new, old], jobs[2])
    done = reencrypt(store, new, old)
    assert "1 jobs, 0 schedules" in done.stdout
    assert "no job and no schedule needs it any more" in done.stdout
    assert "in 24 h" in done.stdout
    assert "old" not in listed(store, new)
    trio.run(readable_with_the_new_key, store, [new], jobs)
    assert reencrypt(store, new).stdout == "Encrypted with the first key: 0 jobs, 0 schedules.\n"


def test_what_needs_a_key_that_is_not_here_is_named_and_left_as_it_is(store: str) -> None:
    old, new = written("old")[0], written("new")[0]
    jobs = trio.run(filled, store, [old])
    done = reencrypt(store, new, code=1)
    for job in jobs:
        assert f'job {job.id}: It is encrypted with the key "old" (' in done.stderr
    assert "schedule nightly: It is encrypted with" in done.stderr
    assert "0 jobs, 0 schedules" in done.stdout
    assert "and it is not here; add it" in done.stdout
    assert counts(listed(store, new)["old"]) == (2, 1, 1)
    assert "there is no key to encrypt with" in tickr("keys", "reencrypt", "--store", store, code=1).output


def test_a_node_that_encrypts_with_the_old_key_is_told(store: str) -> None:
    old, new = written("old")[0], written("new")[0]
    trio.run(with_a_node, store, vault_with(old, new).ordered)
    done = reencrypt(store, new, old, code=1)
    assert "1 node encrypts with it still" in done.stdout


def reencrypt(store: str, *keys: str, code: int = 0) -> Result:
    return tickr("keys", "reencrypt", "--store", store, code=code, **{VARIABLE: ",".join(keys)})


async def filled(url: str, keys: Sequence[str]) -> list[Job]:
    async with open_store(url) as store:
        return await fill(store, vault_with(*keys))


async def finished(url: str, keys: Sequence[str], job: Job) -> None:
    async with open_store(url) as store:
        sealed = vault_with(*keys).seal_outcome(Outcome(job=job, kind="succeeded", result=f'"{SECRET}"'))
        assert await end(store, job, "succeeded", result=sealed.result)


async def readable_with_the_new_key(url: str, keys: Sequence[str], jobs: Sequence[Job]) -> None:
    vault = vault_with(*keys)
    async with open_store(url) as store:
        opened = [vault.open_job(job) for job in await store.get_many([job.id for job in jobs])]
        assert [job.payload for job in opened] == [PAYLOAD] * 3
        assert {job.result for job in opened} == {None, f'"{SECRET}"'}
        for job in jobs:
            assert all(vault.open_attempt(one, job.id) for one in await store.attempts(job.id))
        (schedule,) = await store.schedules(5)
        assert SECRET in vault.open_schedule(schedule).given
        assert (schedule.times, schedule.end_at) == (9, 2**50), "nothing else was changed about it"
        assert vault.open_checkpoint(await store.checkpoint(jobs[2]), jobs[2]) == PAYLOAD


async def with_a_node(url: str, keys: tuple[str, ...]) -> None:
    async with open_store(url) as store:
        await store.register(msgspec.structs.replace(a_node(id="n1"), keys=keys), lease_s=60)


# -- against a running Tickr ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", workers=2, variables={VARIABLE: written("main")[0]}) as process:
        yield process


@pytest.mark.slow
def test_encrypted_jobs_are_shown_as_such_and_opened_when_asked(server: TickrProcess) -> None:
    variables = {"TICKR_URL": server.url, "COLUMNS": "150"}
    words = ("report", f"title={SECRET}", "body=x", "time:=0")
    submitted = tickr("submit", *words, "--wait", "20s", "--json", **variables)
    job = json.loads(submitted.stdout)
    assert (job["encrypted"], job["encryption_key"], job["state"]) == (True, "main", "succeeded")
    opened = tickr("submit", *words, "--wait", "20s", "--decrypt", **variables)
    assert SECRET in opened.stdout
    assert "tickr show" in tickr("submit", *words, "--wait", "20s", **variables).stderr
    closed = [
        tickr("show", job["id"], **variables).stdout,
        tickr("list", **variables).stdout,
        tickr("list", "--json", **variables).stdout,
        tickr("show", job["id"], "--json", **variables).stdout,
    ]
    for text in closed:
        assert "encrypted" in text
        assert SECRET not in text
    assert "with the key main" in closed[0]
    for more in ((), ("--wait", "1s")):
        assert SECRET in tickr("show", job["id"], "--decrypt", *more, **variables).stdout
