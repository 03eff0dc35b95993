"""Jobs that wait for others, and trees, from Python."""

from __future__ import annotations

from typing import Any

import pytest

from tests.client.conftest import PATIENCE_S, Serve, careful
from tests.client.faces import face
from tests.client.standin import Standin
from tickr.client import Dependencies, NewJob, NotFound

FIRST = "0197a2c4-5b7e-7c3a-9f00-1d2e3f4a5b6c"


@pytest.mark.parametrize("wish", [[FIRST], {"jobs": [FIRST], "on_failure": "run"}])
def test_they_are_sent_as_they_are(face_name: str, wish: Any) -> None:
    with Standin() as server, face(face_name, server.url) as client:
        client.submit("a", depends_on=wish)
        client.submit_many([NewJob(type="a", depends_on=wish)])
        assert [seen.jobs[0]["depends_on"] for seen in server.seen] == [wish, wish]


@pytest.mark.slow
def test_a_job_says_what_it_waits_for_and_its_tree(face_name: str, serve: Serve) -> None:
    with serve() as node, careful(face_name, node.url) as client:
        first = client.submit("report", {"time": 0.2})
        second = client.submit("report", {"time": 0}, depends_on={"jobs": [first.id], "on_failure": "run"})
        done = client.wait(second, PATIENCE_S)
        assert (done.state, done.depends_on, done.parent) == ("succeeded", Dependencies([first.id], "run"), None)
        told = client.tree(second)
        assert (told.tree.id, told.tree.depends_on, told.tree.children, told.complete) == (
            second.id, [first.id], [], True
        )  # fmt: skip
        with pytest.raises(NotFound):
            client.tree(FIRST)
