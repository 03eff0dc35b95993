"""Exposition: a snapshot as prometheus-client writes it, in the format that whoever asks understands."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import PlatformCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.utils import floatToGoString

from tickr.api.context import Scraped
from tickr.metrics.families import FAMILIES, Family
from tickr.metrics.snapshot import Labels, Snapshot, Value

_platform = PlatformCollector(registry=None)


def write(snapshot: Snapshot, accept: str) -> Scraped:
    """Return ``snapshot`` as text. Takes milliseconds for each thousand of its values: best done in a thread.

    Args:
      accept: the header; OpenMetrics for who asks for it, Prometheus' own format for all others.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(snapshot))
    registry.register(_platform)
    encode, content_type = choose_encoder(accept)
    return Scraped(content_type, encode(registry))


class _Shown(Collector):
    """A snapshot as a registry takes it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        for family in FAMILIES.values():
            if values := self._snapshot.get(family.name):
                yield _shown(family, values)


def _shown(
    family: Family, values: dict[Labels, Value]
) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        ends = [*map(floatToGoString, family.bounds), "+Inf"]
        for labels, value in values.items():
            assert isinstance(value, list)
            *counts, total = value
            histogram.add_metric(labels, list(zip(ends, accumulate(counts), strict=True)), total)
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    shown = kind(family.name.removesuffix("_total"), family.help, labels=family.labels)
    for labels, value in values.items():
        assert not isinstance(value, list)
        shown.add_metric(labels, value)
    return shown
