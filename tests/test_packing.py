"""Packing: every text comes back as it was, what is short stays as it is, and nobody is made to unpack a bomb."""

from __future__ import annotations

import tracemalloc
import zlib
from base64 import b64encode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sealed import vault_of
from tests.store.backends import new_job
from tickr import jobs, packing
from tickr.envelopes import is_sealed, new_key
from tickr.errors import CannotOpen
from tickr.events import MAX_RESULT_BYTES, untold_bytes
from tickr.packing import full_size, is_packed, pack, packed, same, unpack, unpacked
from tickr.sealing import NO_VAULT, Vault

texts = st.text(st.characters(codec="utf-8")) | st.text(st.sampled_from("aé😀"), min_size=50)
LARGE = '{"text":"%s"}' % ("large and larger " * 500)


def gzip(raw: bytes) -> str:
    return b64encode(zlib.compress(raw, 1, 31)).decode()


@given(texts, st.integers(0, 200))
def test_everything_comes_back_as_it_was(text: str, above: int) -> None:
    made = packed(text, above)
    assert unpacked(made) == text
    assert is_packed(made) == (made != text)
    assert packed(made, above) == made
    assert same(made, text)
    assert same(text, made)
    assert unpack(pack(text.encode(), above)) == text.encode()
    if is_packed(made):
        assert len(made) < len(text.encode()) == full_size(made) > above


def test_what_is_not_longer_is_stored_as_it_is() -> None:
    assert is_packed(packed(LARGE, len(LARGE) - 1))
    assert packed(LARGE, len(LARGE)) == LARGE
    assert packed(LARGE, None) == LARGE
    assert packed("é" * 100, 200) == "é" * 100, "it is bytes that count"
    assert is_packed(packed("é" * 101, 200))
    noise = new_key()
    assert packed(noise, 0) == noise, "it would become no shorter"


@pytest.mark.parametrize(
    "text",
    [
        "tickrz:",
        "tickrz:5",
        "tickrz:5:",
        "tickrz:5:****",
        "tickrz:5:" + gzip(b"1234"),
        "tickrz:5:" + gzip(b"123456"),
        "tickrz:5:" + gzip(b"12345")[:-8],
        "tickrz:-5:" + gzip(b"12345"),
        "tickrz:five:" + gzip(b"12345"),
        "tickrz:5:" + gzip(b"\xff\xff\xff\xff\xff"),
        f"tickrz:{10**12}:" + gzip(b"12345"),
    ],
)
def test_what_was_damaged_does_not_come_back(text: str) -> None:
    with pytest.raises(CannotOpen):
        unpacked(text)
    assert same(text, text)
    assert not same(text, "12345")
    assert full_size(text) >= 0


def test_a_bomb_in_the_database_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip(b" " * 64 * 2**20)
    monkeypatch.setattr(packing, "MAX_BYTES", 2**20)
    for length in (5, 2**20, 64 * 2**20):
        tracemalloc.start()
        try:
            with pytest.raises(CannotOpen):
                unpacked(f"tickrz:{length}:{bomb}")
            assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
        finally:
            tracemalloc.stop()


def test_it_is_compressed_before_it_is_encrypted() -> None:
    vault = Vault([("main", new_key())], 1000)
    new = vault.seal_new(new_job(payload=LARGE))
    assert is_sealed(new.payload)
    assert len(new.payload) < len(LARGE) / 10
    job = jobs.created(new, 5)
    assert vault.open_payload(job).payload == LARGE
    other = Vault([("other", new_key())], 1000)
    with pytest.raises(CannotOpen):
        other.open_payload(job)


def test_an_encrypted_job_is_not_given_a_payload_that_is_only_packed() -> None:
    vault = vault_of("main")
    job = jobs.created(vault.seal_new(new_job()), 5)
    with pytest.raises(CannotOpen):
        vault.open_payload(msgspec.structs.replace(job, payload=packed(LARGE, 0)))


def test_who_has_nothing_configured_stores_the_very_same_and_reads_everything() -> None:
    new, large = new_job(), [new_job(payload=LARGE)]
    assert NO_VAULT.seal_new(new) is new
    assert NO_VAULT.seal_all(large) is large
    stored = jobs.created(Vault((), 1000).seal_new(large[0]), 5)
    assert is_packed(stored.payload)
    assert NO_VAULT.open_payload(stored).payload == LARGE
    assert Vault((), 1000).seal_new(new) is new, "nothing for what is small"


def test_how_long_a_result_is_told_as_it_was() -> None:
    long = '"%s"' % ("x" * MAX_RESULT_BYTES)
    assert untold_bytes(packed(long, 1000)) == len(long)
    assert untold_bytes(packed(long[3:], 1000)) == 0
