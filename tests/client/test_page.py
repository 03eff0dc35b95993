"""docs/client.md says of limits, errors and methods what the program does."""

from __future__ import annotations

import inspect
import re

import pytest

import tickr.client
from tests.docs.pages import ROOT, table
from tickr.client import calls, connection, line, pauses, submission, subscription

PAGE = (ROOT / "docs" / "client.md").read_text()
MIB = 1024 * 1024


def test_the_limits_are_those_of_the_program() -> None:
    shown = {what: re.sub(r"[;,] [a-z].*", "", most) for what, most in table(PAGE, "what", "at most")}
    assert shown == {
        "jobs in a request": f"{line.MAX_BATCH:,}",
        "bytes of jobs in a request": f"{line.MAX_BATCH_BYTES // MIB} MiB",
        "requests with submissions at once": f"{line.FLIGHTS}",
        "jobs without an answer yet": f"{line.MAX_JOBS:,}",
        "bytes of them": f"{line.MAX_BYTES // MIB} MiB",
        "jobs that one `submit_many` has in the line": f"{submission.SHARE:,}",
        "wait for one answer": f"{submission.ANSWER_S:g} s",
        "requests that wait for a job": f"{calls.WAITS}",
        "wait for a connection": f"{connection.CONNECT_S:g} s",
        "connections": f"{connection.CONNECTIONS}",
        "an event": f"{subscription.MAX_EVENT_BYTES // MIB} MiB",
    }


def test_the_pauses_are_those_of_the_program() -> None:
    assert f"from {pauses.FIRST_S:g} s to {pauses.LONGEST_S:g} s" in PAGE
    page = " ".join(PAGE.split())
    assert f"after {calls.FIRST_LOOK_S:g} s, then more rarely, every {calls.LOOK_S:g} s at last" in page
    assert f"for {calls.WAIT_S:g} s at a time" in page
    assert f"{calls.WAITS} such requests of one client" in page
    for face in (tickr.client.Client, tickr.client.AsyncClient):
        assert f"{inspect.signature(face).parameters['total_s'].default:g} s (`total_s`)" in PAGE


def test_the_errors_are_those_of_the_program() -> None:
    named = {cells[0].strip("`") for cells in table(PAGE, "error", "when", "what it has")}
    errors = filter(inspect.isclass, (getattr(tickr.client, name) for name in tickr.client.__all__))
    kinds = {one.__name__ for one in errors if issubclass(one, tickr.client.ClientError)}
    assert named == kinds - {"ClientError"}


@pytest.mark.parametrize("face", [tickr.client.Client, tickr.client.AsyncClient])
def test_the_methods_are_those_of_the_program(face: type) -> None:
    rows = re.findall(r"^\| `(\w+)\((.*?)\)`(?:, `(\w+)\(\)`)? \|", PAGE, re.MULTILINE)
    named = {name for first, _, second in rows for name in (first, second) if name}
    methods = {name for name in vars(face) if not name.startswith("_")}
    assert methods <= named
    assert named <= methods | {"close", "aclose"}
    for name, arguments, _ in rows:
        if name in methods:
            told = re.findall(r"\w+(?==|,|$)", re.sub("=(None|False)", "", arguments))
            assert told == [one for one in inspect.signature(getattr(face, name)).parameters if one != "self"], name


def test_the_two_faces_have_the_same_methods() -> None:
    def signatures(face: type) -> dict[str, list[str]]:
        public = {"close" if name == "aclose" else name: method for name, method in vars(face).items()}
        return {n: list(inspect.signature(m).parameters) for n, m in public.items() if not n.startswith("_")}

    assert signatures(tickr.client.Client) == signatures(tickr.client.AsyncClient)
