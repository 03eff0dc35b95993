"""A node that is forked off is what one with an interpreter of its own is: a process, a session, its own files."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.children import NotReady, children_of_this_process
from tests.forked import forkers, may_fork
from tests.processes import TickrProcess

pytestmark = pytest.mark.slow


@pytest.fixture
def node() -> Iterator[TickrProcess]:
    with TickrProcess(store="memory:", variables={"OF_THE_TEST": "ü"}) as started:
        yield started


def of(node: TickrProcess, name: str) -> Path:
    return Path(f"/proc/{node.pid}/{name}")


def files_of(pid: int) -> dict[int, str]:
    """Return the number of each open file → what it is."""
    found = {}
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            found[int(entry.name)] = str(entry.readlink())
    return found


def is_forked(node: TickrProcess) -> bool:
    return b"tests.forking" in of(node, "cmdline").read_bytes()


def test_it_is_a_child_of_the_tests_in_a_session_of_its_own(node: TickrProcess) -> None:
    assert is_forked(node)
    assert node.pid in children_of_this_process()
    assert os.getsid(node.pid) == os.getpgid(node.pid) == node.pid
    assert node.pid not in forkers()


def test_it_has_the_folder_variables_and_files_that_it_is_given_and_no_others(node: TickrProcess) -> None:
    assert of(node, "cwd").readlink() == node.folder
    files = files_of(node.pid)
    assert files[0] == "/dev/null"
    assert files[1] == files[2] == str(node.log_path)
    others = {name for number, name in files.items() if number > 2}
    # What it has opened itself: to be woken by a signal, to wait for many, to be asked.
    assert {name.partition(":")[0] for name in others} <= {"socket", "pipe", "anon_inode"}
    assert not {name for name in others & set(files_of(os.getpid()).values()) if not name.startswith("anon_inode")}


def test_its_end_is_told_by_the_kernel(node: TickrProcess) -> None:
    os.kill(node.pid, signal.SIGKILL)
    assert node.wait() == -signal.SIGKILL
    node.start()
    with pytest.raises(NotReady, match="still runs"):
        node.wait(0.01)
    node.terminate()
    assert node.wait() == 0
    assert node.returncode == 0


def test_it_may_be_frozen(node: TickrProcess) -> None:
    node.stop()
    with pytest.raises(OSError, match="timed out"):
        node.readiness(timeout_s=0.2)
    node.cont()
    assert node.readiness() == 200


def test_two_of_them_are_two(node: TickrProcess) -> None:
    with TickrProcess(store="memory:") as other:
        assert is_forked(other)
        ids = {httpx2.get(f"{one.url}/nodes", trust_env=False).json()["here"] for one in (node, other)}
        assert len(ids) == 2


def test_it_may_open_as_many_files_as_the_tests() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    fewer = (before[0] - 1, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, fewer)
    try:
        with TickrProcess(store="memory:") as node:
            assert resource.prlimit(node.pid, resource.RLIMIT_NOFILE) == fewer
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["--processes", "1"], {}),
        (["--processes=1"], {}),
        ([], {"TICKR_PROCESSES": "1"}),
        ([], {"PYTHONDEVMODE": "1"}),
        ([], {"TZ": "Europe/Berlin"}),
        ([], {"LD_PRELOAD": ""}),
    ],
)
def test_some_starts_want_an_interpreter_of_their_own(arguments: list[str], variables: dict[str, str]) -> None:
    node = TickrProcess(store="memory:", arguments=arguments, variables=variables)
    assert not may_fork(node.command(), node.environment())
    node.close()


def test_it_ends_with_the_tests(tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from tests.processes import TickrProcess\n"
        "from tests.forked import forkers\n"
        "TickrProcess.forks = True\n"
        "node = TickrProcess(store='memory:')\n"
        "node.start()\n"
        "print(node.pid, *forkers(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        pids = [int(pid) for pid in tests.stdout.readline().split()]
    assert len(pids) == 2
    for pid in pids:
        try:
            end = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with open(end, "rb"):
            assert ended(end), f"process {pid} outlived the tests"


def ended(end: int) -> bool:
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(10_000))
