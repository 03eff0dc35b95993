"""Sealing: every text opens in its place alone, nothing tells what it is, and the same is known again."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sealed import SECRET, secret_job, vault_of
from tests.store.backends import new_job
from tickr import jobs, reasons
from tickr.configuring import Given, read
from tickr.envelopes import is_sealed, key_of, name_of, new_key
from tickr.errors import CannotOpen, ConfigError
from tickr.events import Change, of_note
from tickr.jobs import Extras, Job, NewJob, Progress
from tickr.keys import Idempotency, Wish
from tickr.reasons import Failure
from tickr.reports import Note, Outcome
from tickr.schedule_moves import Put, Seen
from tickr.sealing import NO_VAULT, Vault
from tickr.store.changes import same_content
from tickr.store.rows import of_job
from tickr.ticks import Timing

texts = st.text(st.characters(codec="utf-8"))
KEY = new_key()


def running(vault: Vault, **fields: object) -> Job:
    return jobs.started(jobs.created(secret_job(vault, **fields), 5), "n1", 6)


def raw(record: object) -> bytes:
    return msgspec.json.encode(record)


@given(payload=texts, result=texts, message=texts, trace=st.none() | texts)
def test_everything_comes_back_as_it_was(payload: str, result: str, message: str, trace: str | None) -> None:
    vault = Vault([("main", KEY)])
    new = vault.seal_new(NewJob(id="j1", type="mail", payload=payload))
    job = jobs.started(jobs.created(new, 5), "n1", 6)
    assert vault.open_payload(job).payload == payload
    why = Failure("exception", message, trace)
    ended = jobs.failed(job, vault.seal_outcome(Outcome(job=job, kind="failed", failure=why)).failure or why, 7)
    assert vault.open_job(ended).error == why
    done = vault.seal_outcome(Outcome(job=job, kind="succeeded", result=result))
    assert vault.open_job(jobs.succeeded(job, done.result, 7)).result == result
    note = vault.seal_note(Note(job=job, kind="progress", number=1, at=6, fraction=0.5, message=message))
    assert vault.open_job(msgspec.structs.replace(job, progress=note.progress)).progress == Progress(0.5, message)
    assert vault.open_event(of_note(note)).message == message
    for words in (None, message):
        note = vault.seal_note(
            Note(job=job, kind="progress", number=1, at=6, fraction=0.5, message=words, data=payload)
        )
        shown = msgspec.structs.replace(job, progress=note.progress)
        assert vault.open_job(shown).progress == Progress(0.5, words, payload)
        told = of_note(note)
        assert told.sealed == job.extras.sealed
        opened = vault.open_event(told)
        assert (opened.message, opened.result) == (words, payload)


def test_the_data_of_a_progress_is_sealed_anew_with_its_job() -> None:
    main, other = ("main", new_key()), ("other", new_key())
    old, both = Vault([main]), Vault([other, main])
    for words in (None, SECRET):
        job = running(old)
        note = old.seal_note(Note(job=job, kind="progress", number=1, at=6, fraction=0.5, message=words, data=SECRET))
        assert SECRET not in str(raw(of_note(note)))
        anew = both.reseal_job(msgspec.structs.replace(job, progress=note.progress))
        assert Vault([other]).open_job(anew).progress == Progress(0.5, words, SECRET)


def test_nothing_that_is_stored_or_told_is_readable() -> None:
    vault = vault_of("main")
    job = running(vault)
    assert name_of(job.extras.sealed or "") == "main"
    why = Failure("exception", f"ValueError: {SECRET}", f"Traceback: {SECRET}")
    for outcome in (
        Outcome(job=job, kind="succeeded", result=f'"{SECRET}"'),
        Outcome(job=job, kind="failed", failure=why),
        Outcome(job=job, kind="retried", failure=why, delay_us=5),
        Outcome(job=job, kind="released", failure=why),
    ):
        change = Change(job, vault.seal_outcome(outcome).apply(job, 7), vault.seal_outcome(outcome).failure)
        event = change.event(7)
        kept = repr(of_job(change.after)), raw(event), raw(change.attempt(7))
        assert SECRET not in str(kept)
        assert hashlib.sha256(job.payload.encode()).hexdigest() not in str(kept)
        assert event.sealed == job.extras.sealed
        assert SECRET in str(raw(vault.open_event(event)))
    for kind in ("progress", "log"):
        note = Note(job=job, kind=kind, number=1, at=6, fraction=0.5, message=SECRET)  # type: ignore[arg-type]
        told = of_note(vault.seal_note(note))
        assert SECRET not in str(raw(told))
        assert told.fraction == 0.5
        assert told.sealed


@pytest.mark.parametrize("kind", ["timeout", "shutdown", "unresponsive", "cannot_decrypt"])
def test_what_tickr_itself_says_stays_readable_and_what_the_code_says_with_it_does_not(kind: str) -> None:
    vault = vault_of("main")
    job = running(vault)
    sealed = vault.seal_outcome(Outcome(job=job, kind="retried", failure=Failure(kind, "Not done.", SECRET))).failure
    assert sealed is not None
    assert sealed.message == "Not done."
    assert sealed.traceback is None
    assert vault.open_failure(sealed, job.id) == Failure(kind, "Not done.", SECRET)
    plain = Failure(kind, "Not done.")
    assert vault.seal_outcome(Outcome(job=job, kind="retried", failure=plain)).failure == plain


def test_what_is_added_to_a_sealed_reason_is_still_there_when_it_is_opened() -> None:
    vault = vault_of("main")
    job = running(vault, extras=Extras(expires_at=6_000_000))
    why = vault.seal_outcome(Outcome(job=job, kind="cancelled", failure=Failure("exception", SECRET, "where"))).failure
    assert why is not None
    asked = reasons.on_request("wrong customer", why)
    assert "wrong customer" in asked.message
    assert SECRET not in str(asked)
    opened = vault.open_failure(asked, job.id)
    assert opened is not None
    assert opened.message == f"{SECRET} Cancelled on request: wrong customer"
    late = vault.open_failure(reasons.expired(6_000_000, why, again=True), job.id)
    assert late is not None
    assert SECRET in late.message
    assert late.traceback == "where"


def test_an_envelope_opens_in_its_place_alone() -> None:
    vault = vault_of("main")
    one, other = running(vault), running(vault)
    with pytest.raises(CannotOpen, match="another job"):
        vault.open_payload(msgspec.structs.replace(other, payload=one.payload))
    with pytest.raises(CannotOpen, match="another job"):  # a payload is no result
        vault.open_job(msgspec.structs.replace(one, result=one.payload))
    changed = one.payload[:-6] + ("AAAA" if one.payload[-6:-2] != "AAAA" else "BBBB") + one.payload[-2:]
    for wrong in (changed, one.payload[:-1], f"{one.payload[:20]}", "tickr1:", "{}"):
        with pytest.raises(CannotOpen):
            vault.open_payload(msgspec.structs.replace(one, payload=wrong))


def test_a_key_is_known_by_what_it_is_and_not_by_its_name_alone() -> None:
    here, there = vault_of("main"), vault_of("main")
    assert not here.ids & there.ids
    with pytest.raises(CannotOpen, match='"main"') as raised:
        there.open_payload(running(here))
    assert raised.value.key == "main"


def test_the_first_key_seals_and_all_open() -> None:
    old, new = new_key(), new_key()
    before, after = Vault([("old", old)]), Vault([("new", new), ("old", old)])
    job = running(before)
    assert SECRET in after.open_payload(job).payload
    assert name_of(key_of(secret_job(after).payload)) == "new"
    ended = after.seal_outcome(Outcome(job=job, kind="succeeded", result=f'"{SECRET}"'))
    assert key_of(ended.result or "") == job.extras.sealed, "a job has one key all its life"


# -- the same again ---------------------------------------------------------------------------------------------------


def test_a_submission_that_comes_again_is_the_same_whatever_keys_came_since() -> None:
    first, second = ("k1", new_key()), ("k2", new_key())
    new, another = new_job(payload='{"n":1}'), '{"n":2}'
    for then in ([], [first], [second], [second, first]):
        stored = jobs.created(Vault(then).seal_new(new), 5)
        again = Vault([second, first]).seal_new(new)
        assert same_content(stored, again)
        other = Vault([second, first]).seal_new(msgspec.structs.replace(new, payload=another))
        assert not same_content(stored, other)
    assert not same_content(jobs.created(Vault([first]).seal_new(new), 5), Vault([second]).seal_new(new))
    assert not same_content(jobs.created(Vault([first]).seal_new(new), 5), new)


def test_equal_payloads_of_two_jobs_have_nothing_in_common() -> None:
    vault = vault_of("main")
    one, other = (secret_job(vault).payload.split(":") for _ in range(2))
    assert one[1] == other[1]
    assert one[2] != other[2]
    assert one[3] != other[3]


def test_no_plain_hash_of_a_request_is_kept() -> None:
    first, second = ("k1", new_key()), ("k2", new_key())
    digest = hashlib.sha256(b"{}").digest()
    new = new_job(wish=Wish(idempotency=Idempotency("key", digest, 5)))

    def asked(*keys: tuple[str, str]) -> Idempotency:
        wish = Vault(keys).seal_new(new).wish
        assert wish is not None
        assert wish.idempotency is not None
        return wish.idempotency

    assert digest not in (asked(first).digest, asked(second, first).digest)
    rotated = asked(second, first)
    assert all(rotated.is_same(one.digest) for one in (asked(first), asked(second), rotated, asked()))
    assert not asked(first).is_same(asked(second).digest)
    assert rotated.item_name == asked().item_name, "it is still found"


# -- schedules --------------------------------------------------------------------------------------------------------


def put(payload: str = SECRET) -> Put:
    given = f'{{"type":"mail","payload":"{payload}"}}'
    return Put(name="n", timing=Timing(every_us=5), job=new_job(payload=f'"{payload}"', id=""), given=given)


def test_a_template_is_sealed_and_put_again_as_it_was_it_is_no_change() -> None:
    old_key, new_key_ = ("k1", new_key()), ("k2", new_key())
    vault, rotated = Vault([old_key]), Vault([new_key_, old_key])
    made = vault.seal_put(put()).apply(Seen(None, 5)).after
    assert made is not None
    assert SECRET not in str(raw(made))
    assert made.given == '{"type":"mail"}'
    assert vault.open_schedule(made).given == put().given
    assert vault.seal_put(put()).apply(Seen(made, 6)).after == made
    other = vault.seal_put(put("something else")).apply(Seen(made, 6)).after
    assert other is not None
    assert other.version == made.version + 1
    moved = rotated.seal_put(put()).apply(Seen(made, 6)).after
    assert moved is not None
    assert moved.job.extras.sealed == rotated.first, "with the new key, put again, it has that"


# -- without keys -----------------------------------------------------------------------------------------------------


def test_without_keys_everything_stays_the_very_same() -> None:
    new = [new_job()]
    assert NO_VAULT.seal_all(new) is new
    assert NO_VAULT.seal_new(new[0]) is new[0]
    job = jobs.created(new[0], 5)
    outcome = Outcome(job=job, kind="succeeded", result="5")
    assert NO_VAULT.seal_outcome(outcome) is outcome
    assert NO_VAULT.open_job(job) is job
    assert NO_VAULT.seal_put(put()) == put()
    assert not is_sealed(job.payload)


# -- the setting ------------------------------------------------------------------------------------------------------


def faults_of(value: object) -> str:
    with pytest.raises(ConfigError) as raised:
        read({"encryption_keys": Given(value, "TICKR_ENCRYPTION_KEYS"), "port": Given("x", "--port")})
    assert len(raised.value.faults) == 2, "with the other faults"
    return raised.value.faults[0]


def test_all_that_is_wrong_with_keys_is_said_at_once_and_nothing_of_them() -> None:
    good, short = new_key(), b64encode(b"too short").decode()
    told = faults_of(f"a:{good},a:{new_key()},b:{short},c:{good},{new_key()},d:not base64,:{new_key()}")
    for part in (
        "TICKR_ENCRYPTION_KEYS must be keys",
        "key 2 has the name a",
        "key 3 has 9 bytes",
        "key 4 is the same",
    ):
        assert part in told
    assert "key 5 has no colon" in told
    assert "key 6 is no base64" in told
    assert "key 7 needs a name" in told
    assert good not in told
    assert short not in told
    assert "not base64" not in told
    for wrong in ("", [], 5, [5], {"a": good}):
        assert "must be keys" in faults_of(wrong)
    assert "at most 16" in faults_of([f"k{at}:{new_key()}" for at in range(17)])


def test_keys_come_as_text_or_as_a_list_and_are_never_shown() -> None:
    one, two = new_key(), new_key()
    for value in (f"a:{one}, b:{two}", [f"a:{one}", f"b:{two}"]):
        config = read({"encryption_keys": Given(value, "there")})
        assert config.encryption_keys == (("a", one), ("b", two))
        assert one not in repr(config)
        assert "encryption_keys=…" in repr(config)


def test_a_payload_that_is_said_to_belong_elsewhere_does_not_open_there() -> None:
    """Whoever can write into the database can say so as well."""
    vault = vault_of("main")
    other, mine = (jobs.created(secret_job(vault), 5) for _ in range(2))
    for place in (other.id, f"operation/{other.id}", f"operation//{other.id}"):
        extras = msgspec.structs.replace(mine.extras, place=place)
        with pytest.raises(CannotOpen):
            vault.open_payload(msgspec.structs.replace(mine, payload=other.payload, extras=extras))
