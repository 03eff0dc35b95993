"""Statistics of rounds: distributions, and ratios of two sides that took turns. Pure.

A round is a mapping with ``round`` (from 0), ``side`` and its figures. Noise on a shared machine lasts for minutes, so
two sides are only compared within one run in which they alternate; a ratio comes with its spread over the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Round = Mapping[str, Any]

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}


def quantile(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def distribution(values: Sequence[float]) -> dict[str, Any]:
    """Return count, the usual quantiles, and every thousandth of the distribution in order, all in the values' unit."""
    if not values:
        return {"count": 0}
    ordered = sorted(values)
    named = {name: round(quantile(ordered, share), 3) for name, share in QUANTILES.items()}
    every = [round(quantile(ordered, step / 1000), 3) for step in range(1001)]
    ends = {"min": round(ordered[0], 3), "mean": round(statistics.fmean(ordered), 3), "max": round(ordered[-1], 3)}
    return {"count": len(ordered), **named, **ends, "thousandths": every}


def turns(sides: Sequence[str], rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, side) so that each side comes once a round, and first in every other one: drift hits all alike."""
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            yield number, side


def of_side(rounds: Sequence[Round], side: str, key: str) -> list[float]:
    """Return ``key`` of every round of ``side``, in order of the rounds."""
    return [float(one[key]) for one in sorted(rounds, key=lambda one: one["round"]) if one["side"] == side]


def median(rounds: Sequence[Round], side: str, key: str) -> float:
    return statistics.median(of_side(rounds, side, key))


def ratio(rounds: Sequence[Round], key: str, side: str, other: str) -> dict[str, Any]:
    """Return ``side`` over ``other``: the ratio of their medians, and the least and most of single rounds' ratios."""
    pairs = list(zip(of_side(rounds, side, key), of_side(rounds, other, key), strict=True))
    single = [mine / theirs for mine, theirs in pairs]
    of_medians = statistics.median(mine for mine, _ in pairs) / statistics.median(theirs for _, theirs in pairs)
    return {
        "of": f"{side} / {other}",
        "figure": key,
        "ratio": of_medians,
        "least": min(single),
        "most": max(single),
        "rounds": len(pairs),
    }


def said(found: Mapping[str, Any]) -> str:
    """Return a ratio as one line."""
    what = f"{found['of']} ({found['figure']}{', ' + str(found['at']) if 'at' in found else ''})"
    return f"{what}: {found['ratio']:.2f} ({found['least']:.2f}..{found['most']:.2f} over {found['rounds']} rounds)"


def slope(at: Sequence[float], values: Sequence[float]) -> float:
    """Return the slope of the straight line through the points, by least squares; 0 for fewer than two."""
    return statistics.linear_regression(at, values).slope if len(set(at)) > 1 else 0.0
