"""Ciphers: what one encryption key does with one text. ``sealing.py`` knows which key, and of what. Pure.

A text is sealed for its place, a field of a subject (a job, mostly), and opens in no other.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Literal

from tickr.envelopes import PREFIX

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
PRINT_BYTES = 16

Field = Literal["payload", "result", "error", "note", "data", "log", "checkpoint"]
"""What is sealed of a job; an envelope of one is none of another."""


class Key:
    """One key, at work. Its id names it and tells it from another of the same name; neither tells what it is."""

    def __init__(self, name: str, secret: str) -> None:
        # Only who has keys waits for the library.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = b64decode(secret)
        self.id = f"{name}.{_derived(raw, 'id').hex()[:8]}"
        self.prints = _derived(raw, "print")
        self.requests = _derived(raw, "request")
        self.cipher: AESGCM = AESGCM(_derived(raw, "cipher"))


def _derived(raw: bytes, purpose: str) -> bytes:
    return hmac.digest(raw, f"tickr {purpose}".encode(), "sha256")


def context(field: str, subject: str) -> bytes:
    """Return what is authenticated with a text: its place."""
    return f"tickr1\n{field}\n{subject}".encode()


def print_of(key: Key, subject: str, digest: bytes) -> str:
    """Return the print of a payload of this SHA-256."""
    made = hmac.digest(key.prints, subject.encode() + b"\n" + digest, "sha256")
    return urlsafe_b64encode(made[:PRINT_BYTES]).decode().rstrip("=")


def seal_text(key: Key, text: str, field: Field, subject: str, print_: str = "") -> str:
    """Return the envelope of ``text``."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    body = nonce + key.cipher.encrypt(nonce, text.encode(), context(field, subject))
    return f"{PREFIX}{key.id}:{print_}:{b64encode(body).decode()}"
