"""Snapshot: the values of metrics at one instant, of one process or of several together. Pure.

By the name of the family, then by the values of its labels: a number, or of a histogram its counts and, last, the sum.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tickr.meters import Histogram
from tickr.metrics.families import FAMILIES

Labels = tuple[str, ...]
Value = float | list[float]
Snapshot = dict[str, dict[Labels, Value]]

_Wire = dict[str, list[tuple[Labels, Value]]]
_decoder = msgspec.msgpack.Decoder(_Wire)


def of_histogram(histogram: Histogram) -> list[float]:
    return [*histogram.counts, histogram.sum]


def joined(snapshots: Iterable[Snapshot]) -> Snapshot:
    """Return what several processes say together."""
    together: dict[str, dict[Labels, list[Value]]] = {}
    for snapshot in snapshots:
        for name, values in snapshot.items():
            of_family = together.setdefault(name, {})
            for labels, value in values.items():
                of_family.setdefault(labels, []).append(value)
    return {
        name: {labels: _join(name, several) for labels, several in values.items()} for name, values in together.items()
    }


def _join(name: str, values: list[Value]) -> Value:
    first = values[0]
    if isinstance(first, list):
        return [sum(column) for column in zip(*[one for one in values if isinstance(one, list)], strict=True)]
    return FAMILIES[name].join([one for one in values if not isinstance(one, list)])


def lasting(snapshot: Snapshot) -> Snapshot:
    """Return what stays true when the process that said it has ended: all that counts, no gauge."""
    return {name: values for name, values in snapshot.items() if FAMILIES[name].kind != "gauge"}


def encode(snapshot: Snapshot) -> bytes:
    return msgspec.msgpack.encode({name: list(values.items()) for name, values in snapshot.items()})


def decode(data: bytes) -> Snapshot:
    """Return what was encoded; without what another version may have put in that is unknown here."""
    if not data:
        return {}
    found = {name: dict(values) for name, values in _decoder.decode(data).items() if name in FAMILIES}
    return {name: values for name, values in found.items() if all(_fits(name, value) for value in values.values())}


def _fits(name: str, value: Value) -> bool:
    family = FAMILIES[name]
    if isinstance(value, list):
        return family.kind == "histogram" and len(value) == len(family.bounds) + 2
    return family.kind != "histogram"
