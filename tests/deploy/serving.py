"""What a line like ``tickr serve …`` in some file of deploy/ would have Tickr do, by Tickr's own reading of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tickr.cli.serve import serve
from tickr.cli.settings import load, stray_variables
from tickr.config import Config

AFTER_GRACE_S = 25.0
"""What whoever stops Tickr has to give it beyond ``--grace`` (docs/operations.md)."""


def served(words: Sequence[str], variables: Mapping[str, str]) -> Config:
    """Return the configuration of ``words``, which come after ``tickr``.

    Raises: ConfigError: a setting cannot be used. click.UsageError: there is no such flag.
    """
    command, *arguments = words
    assert command == "serve"
    assert stray_variables(variables) == []
    with serve.make_context("tickr serve", list(arguments)) as context:
        return load(context.params, variables)
