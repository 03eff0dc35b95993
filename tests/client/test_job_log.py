"""What a job has logged, from Python: asked for page by page, and from a place on."""

from __future__ import annotations

import pytest

from tests.client.conftest import Serve, careful
from tests.client.faces import face
from tests.client.standin import Behaviour, Standin, say
from tickr.client import Log, NotFound

JOB = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"
AT = "2026-11-21T21:10:35.801733Z"


def page(cursor: str, *messages: str, more: bool) -> Behaviour:
    items = [{"attempt": 1, "fence": 1, "at": AT, "message": message, "dropped": 0} for message in messages]
    return say(200, items=items, cursor=cursor, more=more)


def test_all_pages_are_read(face_name: str) -> None:
    script = page("1.2", "a", "b", more=True), page("1.3", "c", more=False)
    with Standin(*script) as server, face(face_name, server.url) as client:
        found = client.log(JOB, attempt=1, decrypt=True)
        assert [line.message for line in found.items] == ["a", "b", "c"]
        assert (found.cursor, found.more) == ("1.3", False)
        assert server.paths() == [
            f"/jobs/{JOB}/log?limit=500&attempt=1&decrypt=true",
            f"/jobs/{JOB}/log?limit=500&attempt=1&decrypt=true&after=1.2",
        ]


@pytest.mark.slow
def test_a_job_that_has_logged_nothing_yet(face_name: str, serve: Serve) -> None:
    with serve() as node, careful(face_name, node.url) as client:
        job = client.submit("report", {"time": 0})
        assert client.log(job) == Log([], "0.0")
        with pytest.raises(NotFound):
            client.log(JOB)
