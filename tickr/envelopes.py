"""Envelopes: what sealed texts look like from outside, and how encryption keys are written and named. Pure.

An envelope is no JSON, so no payload or result that is plain is ever taken for one:

    tickr1:<id of the key>:<print>:<base64 of nonce, ciphertext and tag>

The id of a key is its name, a dot, and eight digits that tell it from another key of the same name. ``sealing.py``
makes envelopes and opens them; here is what needs no key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from tickr import packing
from tickr.errors import CannotOpen
from tickr.packing import unpacked

KEY_BYTES = 32
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}"
"""What the name of a key looks like, whole."""
MAX_KEYS = 16

PREFIX = "tickr1:"


def new_key() -> str:
    """Return a new key, as it is written in the configuration behind its name."""
    return b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def is_sealed(text: str | None) -> bool:
    """Whether ``text``, a payload or a result, is an envelope."""
    return text is not None and text.startswith(PREFIX)


def name_of(key_id: str) -> str:
    """Return the name of a key, as its owner gave it, from its id."""
    return key_id.rpartition(".")[0]


def key_of(envelope: str) -> str:
    """Return the id of the key with which ``envelope`` was sealed."""
    return envelope.split(":", 2)[1]


class Seal(msgspec.Struct, frozen=True):
    """What tells whether a payload that is stored is the one that was just sealed. Never stored itself.

    Attributes:
      digest: SHA-256 of the text.
      prints: what its print is under each key of this node, by the key's id.
    """

    digest: bytes
    prints: Mapping[str, str]

    def same(self, stored: str) -> bool:
        if not is_sealed(stored):
            with suppress(CannotOpen):
                return hmac.compare_digest(hashlib.sha256(unpacked(stored).encode()).digest(), self.digest)
            return False
        _, key, print_, _ = stored.split(":", 3)
        return hmac.compare_digest(self.prints.get(key, ""), print_)


def same_text(one: str, other: str) -> bool:
    """Whether two texts are the same, or envelopes of the same; those of different jobs are never said to be."""
    if not (is_sealed(one) and is_sealed(other)):
        return packing.same(one, other)
    _, key, print_, _ = one.split(":", 3)
    return other.startswith(f"{PREFIX}{key}:{print_}:") and print_ != ""


def told(key_id: str) -> str:
    """Return the key of that id in words: its name, and what tells it from others that are called the same."""
    name, _, mark = key_id.rpartition(".")
    return f'the key "{name}" ({mark})'


def lacking(key_id: str) -> str:
    """Return what to say where the key of that id is needed."""
    return f"It is encrypted with {told(key_id)}, which is not here: add it to TICKR_ENCRYPTION_KEYS."


# -- keys as they are configured --------------------------------------------------------------------------------------

_is_name = re.compile(NAME_PATTERN).fullmatch


def is_key_name(name: str) -> bool:
    return _is_name(name) is not None


def read_keys(value: object) -> tuple[tuple[str, str], ...]:
    """Return the keys that an operator has written: ``name:base64,name:base64``, or an array of such.

    Raises: ValueError: with all that is wrong with them, and nothing of what they are.
    """
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not parts:
        raise ValueError("must be keys like name:base64 of 32 bytes, separated by commas; tickr keys new makes one")
    found: dict[str, str] = {}
    faults = []
    for number, part in enumerate(parts, 1):
        name, colon, secret = (part.strip() if isinstance(part, str) else "").partition(":")
        told = _faults(name, secret.strip(), found) if colon else ["has no colon between a name and its base64"]
        faults += [f"key {number} {fault}" for fault in told]
        found.setdefault(name, secret.strip())
    if len(parts) > MAX_KEYS:
        faults.append(f"there may be at most {MAX_KEYS} keys")
    if faults:
        raise ValueError(f"must be keys like name:base64 of 32 bytes: {'; '.join(faults)}")
    return tuple(found.items())


def _faults(name: str, secret: str, found: Mapping[str, str]) -> list[str]:
    faults = []
    if not is_key_name(name):
        faults.append("needs a name of 1 to 32 letters, digits or _ -, beginning with a letter or digit")
    elif name in found:
        faults.append(f"has the name {name}, as another has")
    try:
        length = len(b64decode(secret, validate=True))
    except ValueError:
        return [*faults, "is no base64"]
    if length != KEY_BYTES:
        faults.append(f"has {length} bytes instead of {KEY_BYTES}")
    elif secret in found.values():
        faults.append("is the same as another, under another name")
    return faults
