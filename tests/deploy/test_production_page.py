"""docs/production.md shows what is in the files, and calls the scripts that the drill has called."""

from __future__ import annotations

import inspect
import os
import re
import subprocess

import pytest

from tests.conftest import do_without
from tests.deploy import drill
from tests.deploy.serving import served
from tests.deploy.site import FILES
from tests.deploy.test_kubernetes import VERSIONS
from tests.docs.pages import ROOT, Block, blocks, links, prose
from tests.servers import program

PAGE = ROOT / "docs" / "production.md"
TEXT = PAGE.read_text()
PARTS = [block for block in blocks(TEXT) if block.language in ("ini", "text")]


def file_before(block: Block) -> str | None:
    """Return the last file of deploy/ that the page leads to before ``block``, within its section."""
    heading = max(line for line, text in prose(TEXT) if text.startswith("#") and line < block.line)
    before = [link.target for link in links(TEXT) if heading < link.line < block.line]
    found = [target for target in before if "/deploy/three-nodes/" in target]
    return found[-1].rpartition("/")[2] if found else None


@pytest.mark.parametrize("block", PARTS, ids=lambda block: f"line-{block.line}")
def test_what_is_shown_of_a_file_is_in_it(block: Block) -> None:
    file = file_before(block)
    if file is None:
        environment = dict(line.split("=", 1) for line in block.text.splitlines())
        assert served(["serve"], environment).index.startswith("redis+sentinel://")
        return
    lines = (FILES / file).read_text().splitlines()
    places = [lines.index(line) for line in block.text.splitlines()]
    assert places == sorted(places)


def test_every_setting_of_mysql_that_matters_is_shown() -> None:
    (shown,) = [set(block.text.splitlines()) for block in PARTS if block.language == "ini"]
    is_said = {line for line in (FILES / "mysql.cnf").read_text().splitlines() if line and not line.startswith("#")}
    assert is_said - shown == {"bind_address = 0.0.0.0", "binlog_format = ROW"}


def test_every_script_that_is_called_is_there_and_is_called_by_the_drill() -> None:
    called = {name for block in blocks(TEXT) for name in re.findall(r"(\w+\.sh)\b", block.text)}
    assert called == {file.name for file in FILES.glob("*.sh")}
    assert called == set(re.findall(r'"(\w+\.sh)"', inspect.getsource(drill)))
    assert all(os.access(FILES / name, os.X_OK) for name in called)


def test_it_says_which_kubernetes_was_asked() -> None:
    assert "the schemas of Kubernetes {} and {}".format(*VERSIONS) in " ".join(TEXT.split())


def test_haproxy_takes_its_file() -> None:
    haproxy = program("haproxy")
    if haproxy is None:
        do_without("haproxy is not installed")
    done = subprocess.run([haproxy, "-c", "-f", FILES / "haproxy.cfg"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
