"""Encrypted jobs on each face of the client: told as such, opened when asked, by a Tickr that has a key."""

from __future__ import annotations

import msgspec
import pytest

from tests.client.conftest import PATIENCE_S, Serve, careful
from tests.sealed import SECRET, written
from tickr.client import NotFinal

pytestmark = pytest.mark.slow


def test_a_job_is_read_in_the_clear_when_it_is_asked_for(face_name: str, serve: Serve) -> None:
    payload = {"title": SECRET, "time": 0.0}
    with (
        serve(variables={"TICKR_ENCRYPTION_KEYS": written("main")[0]}) as process,
        careful(face_name, process.url) as client,
    ):
        stored = client.submit("report", payload)
        closed = client.wait(stored, timeout_s=PATIENCE_S)
        assert (closed.encrypted, closed.encryption_key, closed.payload, closed.result) == (True, "main", None, None)
        assert SECRET not in str(msgspec.json.encode(client.get(stored)))
        opened = client.get(stored, decrypt=True)
        assert (opened.payload, opened.result["title"]) == (payload, SECRET)
        assert client.wait(stored, timeout_s=PATIENCE_S, decrypt=True) == opened
        again = client.submit("report", payload, delay=3600)
        with pytest.raises(NotFinal):
            client.wait(again, timeout_s=0.1, decrypt=True)
