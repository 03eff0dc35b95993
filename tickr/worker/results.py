"""Results: what a handler returned, as the JSON text that is kept with its job. Pure."""

from __future__ import annotations

import inspect
import math
from typing import Any

import msgspec

from tickr.worker.failures import BadResult, describe

_encoder = msgspec.json.Encoder()


def encode(value: Any, max_bytes: int) -> str | None:
    """Return ``value`` as JSON text, None for None.

    Raises: BadResult: there is no JSON for it, it holds NaN or an infinity, or it is longer than ``max_bytes``.
    """
    if value is None:
        return None
    if inspect.iscoroutine(value):
        value.close()  # or Python warns that nobody awaited it
        raise BadResult("The handler returned a coroutine; did it forget to await?")
    try:
        text = _encoder.encode(value)
        # msgspec writes NaN and infinities as null, so only a result with a null needs the long look.
        finite = b"null" not in text or _is_finite(msgspec.to_builtins(value))
    except Exception as error:  # encoding runs code of the value's own type
        raise BadResult(f"The result can not be written as JSON: {describe(error)}") from error
    if len(text) > max_bytes:
        raise BadResult(f"The result has {len(text)} bytes; at most {max_bytes} are kept. Store it elsewhere.")
    if not finite:
        raise BadResult("The result holds NaN or an infinity, which JSON does not have.")
    return text.decode()


def _is_finite(value: Any) -> bool:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, float) and not math.isfinite(one):
            return False
        if isinstance(one, dict):
            waiting.extend(one)
            waiting.extend(one.values())
        elif isinstance(one, (list, tuple)):
            waiting.extend(one)
    return True
