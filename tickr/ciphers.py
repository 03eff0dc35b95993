"""Ciphers: one encryption key at work. It seals a text for its place, opens it there, and makes its print. Pure.

What envelopes are, and what goes into them, is told in ``sealing.py``. A long text is compressed before it is sealed,
if the configuration says so; that is seen when it is opened (``packing.py``).
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode, urlsafe_b64encode
from typing import TYPE_CHECKING, Literal

from tickr.envelopes import PREFIX, is_sealed, name_of
from tickr.errors import CannotOpen
from tickr.packing import pack, unpack

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
PRINT_BYTES = 16

Field = Literal["payload", "result", "error", "note", "data", "log", "checkpoint"]
"""What is sealed of a job; an envelope of one is none of another."""


def derived(raw: bytes, purpose: str) -> bytes:
    """Return the key that ``raw``, as it is configured, is for one purpose."""
    return hmac.digest(raw, f"tickr {purpose}".encode(), "sha256")


def id_of(name: str, raw: bytes) -> str:
    """Return the id of a key: its name, and what tells it from another of the same name, but not what it is."""
    return f"{name}.{derived(raw, 'id').hex()[:8]}"


class Key:
    """One key, at work.

    Args:
      name, secret: as they are configured. compress_above: longer texts are compressed first; None: none is.
    Attributes:
      requests: the key for digests of requests, and of what else is compared.
    """

    def __init__(self, name: str, secret: str, compress_above: int | None) -> None:
        # Only who has keys waits for the library.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        raw = b64decode(secret)
        self.id = id_of(name, raw)
        self.requests = derived(raw, "request")
        self._prints = derived(raw, "print")
        self._cipher: AESGCM = AESGCM(derived(raw, "cipher"))
        self._above = compress_above

    def seal(self, text: str, field: Field, subject: str, print_: str = "") -> str:
        """Return the envelope of ``text`` for its place: a field of the job, or what stands for one, ``subject``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        body = nonce + self._cipher.encrypt(nonce, pack(text.encode(), self._above), _context(field, subject))
        return f"{PREFIX}{self.id}:{print_}:{b64encode(body).decode()}"

    def open(self, body: str, field: Field, subject: str) -> str:
        """Return the text of an envelope with this ``body``. Raises: CannotOpen: it is not what was sealed there."""
        from cryptography.exceptions import InvalidTag

        try:
            raw = b64decode(body, validate=True)
            text = self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _context(field, subject))
        except (InvalidTag, ValueError):
            what = f"The {field} was changed after it was encrypted, or is that of another job."
            raise CannotOpen(what, key=name_of(self.id)) from None
        return unpack(text).decode()

    def print_of(self, subject: str, digest: bytes) -> str:
        """Return what a text with this ``digest`` is known by, without being read, as the payload of ``subject``."""
        made = hmac.digest(self._prints, subject.encode() + b"\n" + digest, "sha256")
        return urlsafe_b64encode(made[:PRINT_BYTES]).decode().rstrip("=")


def parts(envelope: str) -> tuple[str, str]:
    """Return the id of the key of an envelope, and its body. Raises: CannotOpen: this is no envelope."""
    found = envelope.split(":", 3)
    if len(found) < 4 or not is_sealed(envelope):
        raise CannotOpen("It is not encrypted, although its job is.", key="")
    return found[1], found[3]


def _context(field: str, subject: str) -> bytes:
    return f"tickr1\n{field}\n{subject}".encode()
