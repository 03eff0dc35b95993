"""The client of ``clients/js``: its own tests, its types, and each call on a real server."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.client.conftest import PATIENCE_S, TIMEOUT_S
from tests.client.javascript import environment, node
from tests.docs.pages import ROOT
from tests.processes import TickrProcess
from tickr.client import Client

CLIENT = ROOT / "clients" / "js"

pytestmark = pytest.mark.slow


def run(*tests: str, timeout_s: float = 100, **variables: str) -> int:
    """Return how many tests have passed; the others were skipped, with their reasons."""
    command = [node(), "--test", "--test-reporter=tap", *tests]  # a later Node would choose another
    told = {**environment(), **variables}
    done = subprocess.run(command, capture_output=True, text=True, env=told, check=False, timeout=timeout_s)
    assert done.returncode == 0, done.stdout[-20_000:]
    return int(re.findall(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[0])


def test_its_own_tests_pass() -> None:
    tests = sorted(str(path) for path in (CLIENT / "test").glob("*.test.mjs"))
    assert run(*tests) > 10


def test_every_call_is_understood_by_a_server(server: str, shared_tickr: TickrProcess) -> None:
    variables = {"TICKR_TEST_URL": shared_tickr.url}
    if server != "calm":
        variables["TICKR_TEST_PATIENCE_S"] = str(PATIENCE_S)
    timeout_s = 100 if server == "calm" else TIMEOUT_S - 20
    assert run(str(CLIENT / "test" / "server.test.mjs"), timeout_s=timeout_s, **variables) >= 9


def test_the_types_name_every_method() -> None:
    program, types = (CLIENT / "client.mjs").read_text(), (CLIENT / "client.d.mts").read_text()
    for kind, body in re.findall(r"^(?:export )?class (\w+) \{\n(.*?)^\}", program, re.MULTILINE | re.DOTALL):
        methods = set(re.findall(r"^  (?:async )?([a-z]\w*)\(", body, re.MULTILINE)) - {"constructor"}
        declared = re.search(rf"(?:class|interface) {kind}\b.*?\{{\n(.*?)^\}}", types, re.MULTILINE | re.DOTALL)
        assert declared, kind
        assert methods <= set(re.findall(r"^  (\w+)[(<]", declared[1], re.MULTILINE)), kind


@pytest.mark.parametrize("module", ["client", "worker"])
def test_the_types_name_everything_that_is_exported(module: str) -> None:
    exported = re.compile(r"^export (?:async )?(?:class|function) (\w+)", re.MULTILINE)
    program, types = (CLIENT / f"{module}.mjs").read_text(), (CLIENT / f"{module}.d.mts").read_text()
    assert set(exported.findall(program)) <= set(exported.findall(types))


def test_it_has_what_the_python_client_has() -> None:
    program = (CLIENT / "client.mjs").read_text()
    named = {name.replace("_", "").lower() for name in vars(Client) if not name.startswith("_")}
    there = {name.lower() for name in re.findall(r"^  (?:async |get )?(\w+)\(", program, re.MULTILINE)}
    assert named <= there
