"""The bare route that a node is measured by, as the load test starts it."""

from __future__ import annotations

import httpx2
import pytest

from bench.submit import Echo

pytestmark = pytest.mark.slow


class Plain(Echo):
    def command(self) -> list[str]:
        return [*super().command(), "--plain"]


@pytest.mark.parametrize("kind", [Echo, Plain])
def test_it_echoes_what_it_gets(kind: type[Echo]) -> None:
    with kind() as bare:
        url = f"http://{bare.address.host}:{bare.address.port}/jobs"
        for body in ({"type": "a"}, {"type": "b"}):
            answer = httpx2.post(url, json=body)
            assert (answer.status_code, answer.json()) == (200, body)
