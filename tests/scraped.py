"""A scrape of ``/metrics`` as Prometheus reads it: every sample by its name and labels."""

from __future__ import annotations

import httpx2
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Scrape:
    """Attributes:
    families: by name; a counter's ends in _total.
    series: how many samples there are.
    """

    def __init__(self, text: str, *, openmetrics: bool = False) -> None:
        found = list((parse_openmetrics if openmetrics else parse_text)(text))
        self.families = {_name(family): family for family in found}
        assert len(self.families) == len(found), "a family comes twice"
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in found
            for sample in family.samples
        }
        self.series = len(self._samples)
        assert self.series == sum(len(family.samples) for family in found), "a sample comes twice"

    def __getitem__(self, name: str) -> float:
        return self.of(name)

    def of(self, name: str, **labels: str) -> float:
        """Return the value of a sample, given all its labels."""
        return self._samples[name, frozenset(labels.items())]

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with these labels among theirs; 0 of none."""
        wanted = labels.items()
        return sum(value for (one, given), value in self._samples.items() if one == name and wanted <= given)

    def values(self, name: str, label: str) -> set[str]:
        """Return what ``label`` is in the samples of ``name``."""
        return {dict(given)[label] for one, given in self._samples if one == name}


def _name(family: Metric) -> str:
    return f"{family.name}_total" if family.type == "counter" else family.name


async def scrape(http: httpx2.AsyncClient, *, token: str | None = None) -> Scrape:
    """Scrape, as who has ``token``."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    answer = await http.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return Scrape(answer.text)
