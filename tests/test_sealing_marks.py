"""What is derived of what users say, and the words of attempts on their way: none of it can be guessed or read."""

from __future__ import annotations

import hashlib

import msgspec

import tickr
from tests.sealed import SECRET, secret_job, vault_of
from tests.store.backends import new_job
from tickr import jobs
from tickr.declared import MARK_LENGTH, read
from tickr.envelopes import new_key
from tickr.jobs import Job
from tickr.keys import OnConflict, Unique, Wish
from tickr.reasons import SEALED, Failure
from tickr.reports import Outcome
from tickr.sealing import NO_VAULT, Vault
from tickr.worker.kin import ChildrenFailed, end_of


def program(card: str = SECRET) -> tickr.Jobs:
    declared = tickr.Jobs()

    @declared.schedule("nightly", {"card": card}, every=60)
    @declared.handler("pay")
    async def pay(card: str) -> None: ...

    return declared


def mark(vault: Vault, card: str = SECRET) -> str:
    (found,) = read(program(card), 0, vault)
    return found.mark


def test_a_declaration_is_known_by_what_only_the_key_can_tell() -> None:
    first, second = ("a", new_key()), ("b", new_key())
    plain, sealed = mark(NO_VAULT), mark(Vault([first]))
    assert plain != sealed
    assert len(sealed) == MARK_LENGTH
    assert sealed == mark(Vault([first])) != mark(Vault([first]), "another")
    assert sealed != mark(Vault([("a", new_key())]))
    both = mark(Vault([first, second]))
    assert both == mark(Vault([second, first])), "nodes that have the same keys in another order agree"
    assert plain == mark(NO_VAULT), "as it was for whoever has no key"


def test_a_unique_key_that_is_made_of_a_payload_says_nothing_of_it() -> None:
    unique, vault = Unique(f'pay:{{"card":"{SECRET}"}}', 5), vault_of("main")
    new = new_job(extras=jobs.Extras(unique=unique), wish=Wish(unique=unique, derived=True))
    sealed, again = vault.seal_new(new), vault.seal_new(new)
    assert sealed.wish is not None
    assert sealed.extras.unique == sealed.wish.unique == again.extras.unique
    assert sealed.extras.unique is not None
    assert (sealed.extras.unique.until_us, sealed.wish.on_conflict) == (5, OnConflict.RETURN)
    assert SECRET not in sealed.extras.unique.key
    assert hashlib.sha256(unique.key.encode()).hexdigest() not in sealed.extras.unique.key
    assert NO_VAULT.seal_new(new).extras.unique == unique


def running(vault: Vault, **extras: object) -> Job:
    job = jobs.created(secret_job(vault), 5)

    job = msgspec.structs.replace(job, extras=msgspec.structs.replace(job.extras, **extras))
    return jobs.started(job, "n", 6)


def test_an_attempt_that_may_not_be_begun_twice_and_was_cut_off_keeps_its_words_sealed() -> None:
    vault = vault_of("main")
    why = Failure("shutdown", "Its node stopped before it was done.", f"at {SECRET}")
    job = running(vault, max_crashes=0)
    outcome = vault.seal_outcome(Outcome(job=job, kind="released", failure=why, cut_off=True))
    after = outcome.apply(job, 9)
    assert after.error is not None
    assert after.error.kind == "crashed"
    assert SECRET not in str(after.error)
    opened = vault.open_failure(after.error, job.id)
    assert opened is not None
    assert opened.traceback == f"at {SECRET}"
    assert opened.message == after.error.message != SEALED


def test_what_a_remote_worker_calls_by_a_name_of_ours_is_sealed_all_the_same() -> None:
    vault = vault_of("main")
    job = running(vault)
    sealed = vault.seal_said(Failure("timeout", SECRET), job)
    assert (sealed.kind, sealed.message) == ("timeout", SEALED)
    assert vault.seal_outcome(Outcome(job=job, kind="failed", failure=sealed)).failure == sealed
    assert vault.open_failure(sealed, job.id) == Failure("timeout", SECRET)


def test_the_words_of_an_encrypted_child_do_not_become_those_of_its_parent() -> None:
    vault, why = vault_of("main"), Failure("exception", SECRET)
    child = jobs.failed(running(vault), vault.seal_said(why, running(vault)), 9)
    plain = jobs.failed(running(NO_VAULT), why, 9)
    opened = jobs.failed(running(vault), why, 9)
    assert SECRET not in str(ChildrenFailed([end_of(child)]))
    assert SECRET not in str(ChildrenFailed([end_of(opened)]))
    assert SECRET in str(ChildrenFailed([end_of(plain)]))
