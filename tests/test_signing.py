"""Signing: a job is run as it was submitted, by who has a key, and as nothing else."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.store.backends import new_job
from tickr import jobs
from tickr.edits import Edit
from tickr.envelopes import new_key
from tickr.errors import BadSignature, CannotOpen
from tickr.extras import Signed
from tickr.filters import Filter
from tickr.jobs import Extras, Job, NewJob
from tickr.operations import Operation
from tickr.schedule_moves import Put
from tickr.sealing import NO_VAULT, Vault
from tickr.signing import Signer
from tickr.ticks import Timing

MINE, OTHER = ("mine", new_key()), ("other", new_key())
VAULT = Vault(signer=Signer([MINE], only=True))
SEALING = Vault([("sealing", new_key())], 100, Signer([MINE], only=True))
vaults = pytest.mark.parametrize("vault", [VAULT, SEALING], ids=["plain", "encrypted"])
PAYLOAD = '{"n": 1}'


def job_of(new: NewJob, **fields: Any) -> Job:
    return jobs.created(msgspec.structs.replace(new, **fields), 5)


def failed(job: Job) -> Job:
    return jobs.cancelled(job, jobs.CANCELLED_ON_REQUEST, 6)


def with_extras(job: Job, **fields: Any) -> Job:
    return msgspec.structs.replace(job, extras=msgspec.structs.replace(job.extras, **fields))


def refused(vault: Vault, job: Job, match: str = "was changed after it was signed, or is that of another job") -> None:
    with pytest.raises(BadSignature, match=match):
        vault.open_to_run(job)


@vaults
def test_what_was_signed_is_run(vault: Vault) -> None:
    job = job_of(vault.seal_new(new_job(payload=PAYLOAD)))
    assert vault.open_to_run(job).payload == PAYLOAD
    assert vault.seal_new(new_job(payload=PAYLOAD)).extras.signed != job.extras.signed, "each job has its own"


def test_the_payload_stands_there_as_it_was() -> None:
    assert VAULT.seal_new(new_job(payload=PAYLOAD)).payload == PAYLOAD


@vaults
@pytest.mark.parametrize(
    "changed", [{"type": "pay"}, {"queue": "other"}, {"id": "0190a5c3-0000-7000-8000-00000000000e"}]
)
def test_a_job_whose_id_type_or_queue_was_changed_is_refused(vault: Vault, changed: dict[str, str]) -> None:
    job = job_of(vault.seal_new(new_job(payload=PAYLOAD)))
    with pytest.raises(CannotOpen, match="is that of another job"):
        vault.open_to_run(msgspec.structs.replace(job, **changed))


def test_a_changed_payload_is_refused_and_shown() -> None:
    job = msgspec.structs.replace(job_of(VAULT.seal_new(new_job(payload=PAYLOAD))), payload='{"n": 2}')
    refused(VAULT, job)
    assert VAULT.open_job(job).payload == '{"n": 2}'


def test_nothing_is_taken_from_another_job() -> None:
    good, mine = (job_of(VAULT.seal_new(new_job(payload=payload))) for payload in (PAYLOAD, '{"n": 2}'))
    assert good.extras.signed is not None
    assert mine.extras.signed is not None
    forged = msgspec.structs.replace(mine, payload=PAYLOAD)
    mixed = msgspec.structs.replace(mine.extras.signed, payload=good.extras.signed.payload)
    moved = msgspec.structs.replace(mine.extras.signed, queue=good.extras.signed.queue, moved_by=good.id)
    refused(VAULT, with_extras(mine, signed=moved))
    refused(VAULT, with_extras(new_job_of(forged), signed=good.extras.signed))
    for place in (None, good.id, "operation/", f"operation//{good.id}", f"schedule/{good.id}"):
        refused(VAULT, with_extras(forged, signed=mixed, place=place))


def new_job_of(job: Job) -> Job:
    return msgspec.structs.replace(job, id="0190a5c3-0000-7000-8000-00000000000e")


def test_the_parts_of_a_signature_cannot_be_exchanged() -> None:
    new = VAULT.seal_new(new_job("same", queue="same", payload='"same"'))
    assert new.extras.signed is not None
    kind, queue, payload, _ = msgspec.structs.astuple(new.extras.signed)
    for parts in ((queue, kind, payload), (kind, queue, queue), (payload, queue, payload)):
        refused(VAULT, job_of(new, extras=Extras(signed=Signed(*parts))))


def test_what_is_not_signed_is_refused_where_that_is_asked_for() -> None:
    plain = job_of(new_job(payload=PAYLOAD))
    refused(VAULT, plain, "not signed")
    for vault in (NO_VAULT, Vault(signer=Signer([MINE]))):
        assert vault.open_to_run(plain) is plain
    for odd in ("", ":", "x", "x:y", f"{'x' * 9}.00000000:", "mine:"):
        refused(VAULT, with_extras(plain, signed=Signed(odd, odd, odd)), ".")


def test_keys_change_while_what_was_signed_waits() -> None:
    old = job_of(VAULT.seal_new(new_job(payload=PAYLOAD)))
    for keys in ([MINE, OTHER], [OTHER, MINE]):
        assert Vault(signer=Signer(keys, only=True)).open_to_run(old)
    without = Vault(signer=Signer([OTHER], only=True))
    refused(without, old, 'signed with the key "mine".*TICKR_SIGNING_KEYS')
    same_name = Vault(signer=Signer([("mine", OTHER[1])], only=True))
    refused(same_name, old, "which is not here")
    new = job_of(Vault(signer=Signer([OTHER, MINE])).seal_new(new_job(payload=PAYLOAD)))
    assert without.open_to_run(new)


@vaults
def test_a_job_that_is_started_over_is_signed_as_it_is_then(vault: Vault) -> None:
    job = failed(job_of(vault.seal_new(new_job(payload=PAYLOAD))))
    for edit in (Edit(), Edit(priority=1), Edit(queue="other"), Edit(payload="2"), Edit(payload="2", queue="other")):
        again = jobs.redriven(job, 7, vault.seal_edit(edit, job.id))
        assert vault.open_to_run(again).payload == (edit.payload or PAYLOAD)
        twice = jobs.redriven(failed(again), 8, vault.seal_edit(Edit(payload="3", queue="third"), job.id))
        opened = vault.open_to_run(twice)
        assert (opened.payload, opened.queue) == ("3", "third")


def test_what_a_node_without_keys_has_changed_is_refused() -> None:
    job = failed(job_of(VAULT.seal_new(new_job(payload=PAYLOAD))))
    for edit in (Edit(queue="other"), Edit(payload="2")):
        again = jobs.redriven(job, 7, NO_VAULT.seal_edit(edit, job.id))
        refused(VAULT, again, "was changed by a node that does not sign")
    assert VAULT.open_to_run(jobs.redriven(job, 7, NO_VAULT.seal_edit(Edit(priority=1), job.id)))


def test_starting_over_signs_no_job_that_was_not() -> None:
    forged = failed(job_of(new_job(payload=PAYLOAD)))
    for edit in (Edit(), Edit(payload="2", queue="other")):
        refused(VAULT, jobs.redriven(forged, 7, VAULT.seal_edit(edit, forged.id)), "not signed")


def operation(vault: Vault, *types: str, **edit: Any) -> Operation:
    which = Filter(types=types)
    return vault.seal_operation(Operation(id="o1", action="retry", which=which, edit=Edit(**edit)))


@vaults
def test_an_operation_signs_for_the_jobs_of_its_types(vault: Vault) -> None:
    mail, pay = (failed(job_of(vault.seal_new(new_job(type, payload=PAYLOAD)))) for type in ("mail", "pay"))
    for wish in ({"payload": "2"}, {"queue": "other"}, {"payload": "2", "queue": "other"}):
        for types in (("mail",), ("a/b", "mail"), ()):
            again = jobs.redriven(mail, 7, operation(vault, *types, **wish).edit, "o1")
            opened = vault.open_to_run(again)
            assert {name: getattr(opened, name) for name in wish} == wish
        with pytest.raises(Exception, match="is that of another job"):
            vault.open_to_run(jobs.redriven(pay, 7, operation(vault, "mail", **wish).edit, "o1"))


def test_an_operation_that_somebody_has_written_into_the_database_gives_nothing() -> None:
    job = failed(job_of(VAULT.seal_new(new_job(payload=PAYLOAD))))
    real = operation(VAULT, "mail", payload="2").edit
    refused(VAULT, jobs.redriven(job, 7, msgspec.structs.replace(real, payload="3"), "o1"))
    refused(VAULT, jobs.redriven(job, 7, msgspec.structs.replace(real, place="operation/o2/mail"), "o1"))
    refused(VAULT, jobs.redriven(job, 7, Edit(payload="3", place="operation/o1"), "o1"), "by a node that does not sign")


def test_an_operation_that_is_asked_for_again_is_the_same_with_another_key() -> None:
    other = Vault(signer=Signer([OTHER, MINE]))
    one, again = operation(VAULT, "mail", payload="2").edit, operation(other, "mail", payload="2").edit
    assert one != again
    assert one.same(again)
    assert one.same(operation(NO_VAULT, "mail", payload="2").edit)
    assert not one.same(operation(VAULT, "mail", payload="3").edit)


@vaults
def test_the_jobs_of_a_schedule_have_its_signature(vault: Vault) -> None:
    def put(name: str, payload: str = PAYLOAD) -> NewJob:
        job = new_job(id="", payload=payload)
        wish = Put(name=name, timing=Timing(every_us=10**9), job=job, given=f'{{"type":"mail","payload":{payload}}}')
        return vault.seal_put(wish).job

    def made(template: NewJob, **extras: Any) -> Job:
        id_ = "0190a5c3-0000-7000-8000-00000000000e"
        return with_extras(job_of(template, id=id_), **{"schedule": "nightly", "tick": 5, **extras})

    job = made(put("nightly"))
    assert vault.open_to_run(job).payload == PAYLOAD
    again = jobs.redriven(failed(job), 7, vault.seal_edit(Edit(payload="2", queue="other"), job.id))
    assert vault.open_to_run(again).payload == "2"
    for forged in (made(put("daily")), made(put("nightly"), schedule=None), made(put("nightly"), schedule="daily")):
        with pytest.raises(Exception, match="is that of another job"):
            vault.open_to_run(forged)
    refused(vault, msgspec.structs.replace(job, queue="other"))


def test_no_line_break_moves_from_what_is_signed_to_whose_it_is() -> None:
    signer = Signer([MINE], only=True)
    one = signer.signed(new_job(payload="a\nb"), "schedule/x").extras.signed
    two = signer.signed(new_job(payload="b"), "schedule/x\na").extras.signed
    assert one is not None
    assert two is not None
    assert one.payload != two.payload


def test_what_is_declared_is_declared_anew_once_it_is_signed() -> None:
    text = b"a declaration"
    assert NO_VAULT.mark_declared(text) == NO_VAULT.mark(text)
    marks = {vault.mark_declared(text) for vault in (NO_VAULT, VAULT, SEALING)}
    assert len(marks) == 3
    both, turned = (Vault(signer=Signer(keys)) for keys in ([MINE, OTHER], [OTHER, MINE]))
    assert both.mark_declared(text) == turned.mark_declared(text)
