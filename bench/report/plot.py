"""PNG plots of curves, with matplotlib where it is installed (``pip install .[bench]``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Curve(NamedTuple):
    """Points of one line, or the heights of a histogram's bars (``bars``) with the widths between their places."""

    x: Sequence[float]
    y: Sequence[float]


class Plot(NamedTuple):
    """What a picture shows: its axes, and a curve for each name. ``log``: "x" for a logarithmic axis."""

    title: str
    x_label: str
    y_label: str
    curves: Mapping[str, Curve]
    log: str = ""
    bars: bool = False


def cumulative(distributions: Mapping[str, Mapping[str, Any]], title: str, unit: str) -> Plot:
    """Return cumulative distributions (``figures.distribution``) as one plot; the axis is logarithmic if it can be."""
    found = {name: one for name, one in distributions.items() if one["count"]}
    shares = [step / 10 for step in range(1001)]
    log = "x" if all(one["min"] > 0 for one in found.values()) else ""
    curves = {name: Curve(one["thousandths"], shares) for name, one in found.items()}
    return Plot(title, unit, "% at most that", curves, log)


def write(plot: Plot, path: Path) -> bool:
    """Write ``plot`` as a PNG. Returns: False: matplotlib is not installed, and nothing was written."""
    try:
        import matplotlib as mpl
    except ImportError:
        return False
    mpl.use("agg")  # no display is needed
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4.5), layout="constrained")
    for name, curve in plot.curves.items():
        if plot.bars:
            width = min((b - a for a, b in zip(curve.x, curve.x[1:], strict=False)), default=1.0)
            axes.bar(curve.x, curve.y, width=width, align="edge", label=name, alpha=0.6)
        else:
            axes.plot(curve.x, curve.y, label=name, marker="o" if len(curve.x) < 50 else None)
    if "x" in plot.log:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set(title=plot.title, xlabel=plot.x_label, ylabel=plot.y_label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
    return True
