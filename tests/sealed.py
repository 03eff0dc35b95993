"""Words for tests of encrypted jobs: keys, and what must never be readable."""

from __future__ import annotations

from typing import Any

from tests.store.backends import new_job
from tickr.envelopes import new_key
from tickr.jobs import NewJob
from tickr.sealing import Vault

SECRET = "the quick brown fox, 4111 1111 1111 1111"
"""In everything that users say, in a form that no encoding on the way changes."""


def vault_of(*names: str) -> Vault:
    """Return a vault with new keys of these names."""
    return Vault([(name, new_key()) for name in names])


def written(*names: str) -> list[str]:
    """Return new keys as they are configured."""
    return [f"{name}:{new_key()}" for name in names]


def secret_job(vault: Vault, **fields: Any) -> NewJob:
    """Return a new job with a payload that is sealed."""
    return vault.seal_new(new_job(**{"payload": f'{{"card":"{SECRET}"}}', **fields}))
