"""Completion in the shells themselves: commands, flags, words that are fixed, and names that a running Tickr knows."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.running import environment
from tests.cli.test_jobs_commands import TOKEN, Tickr, server, tickr
from tests.processes import TickrProcess
from tests.servers import free_port
from tickr.cli import known, main
from tickr.cli.remote import Remote

__all__ = ["server", "tickr"]

pytestmark = pytest.mark.slow
WITHIN_S, TAB_S = 60.0, 5.0

LINES = {
    "tickr que": "queue",
    "tickr queue paus": "pause",
    "tickr list --stat": "--state",
    "tickr list --state fa": "failed",
    "tickr serve --log-format te": "text",
    "tickr completion z": "zsh",
    "tickr queue show of-comp": "of-completion",
    "tickr submit repo": "report",
    "tickr schedule pause nigh": "nightly-of-completion",
}
"""What is typed before Tab, and what is completed."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the command ``tickr``, and the script for each shell."""
    made = tmp_path_factory.mktemp("completion")
    command = made / "tickr"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tickr "$@"\n')
    command.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        done = CliRunner().invoke(main, ["completion", shell])
        assert done.exit_code == 0, done.output
        (made / f"tickr.{shell}").write_text(done.stdout)
    return made


@pytest.fixture
def surroundings(folder: Path, server: TickrProcess, tickr: Tickr) -> Mapping[str, str]:
    tickr("queue", "pause", "of-completion")
    tickr("queue", "pause", "of:completion")
    tickr("schedule", "put", "nightly-of-completion", "report", "--every", "1d")
    return around(folder, server.url)


def around(folder: Path, url: str) -> dict[str, str]:
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return environment({"PATH": path, "TICKR_URL": url, "TICKR_TOKEN": TOKEN, "HOME": str(folder), "TERM": "dumb"})


def need(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"there is no {shell} here")
    return found


# -- bash -------------------------------------------------------------------------------------------------------------

DRIVE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
_tickr_completion tickr
printf '%s\\n' "${COMPREPLY[@]}"
"""


def in_bash(folder: Path, surroundings: Mapping[str, str], *words: str) -> list[str]:
    """Return what bash is given to complete ``words``, taken apart as bash takes them apart."""
    program = [need("bash"), "--norc", "-c", DRIVE, "drive", str(folder / "tickr.bash"), *words]
    done = subprocess.run(program, env=dict(surroundings), capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def in_the_end(complete: Callable[[], list[str]]) -> list[str]:
    """Return what is completed, if need be after more than one Tab: a busy server may not answer in time."""
    deadline = time.monotonic() + WITHIN_S
    while not (found := complete()) and time.monotonic() < deadline:
        pass
    return found


@pytest.mark.parametrize(("line", "completed"), LINES.items())
def test_bash(folder: Path, surroundings: Mapping[str, str], line: str, completed: str) -> None:
    assert completed in in_the_end(lambda: in_bash(folder, surroundings, *line.split()))


def test_bash_takes_words_apart_and_gets_the_last_part(folder: Path, surroundings: Mapping[str, str]) -> None:
    words = ("tickr", "queue", "show", "of", ":")
    assert in_the_end(lambda: in_bash(folder, surroundings, *words, "comp")) == ["completion"]
    assert in_the_end(lambda: in_bash(folder, surroundings, *words)) == ["completion"]
    assert in_bash(folder, surroundings, "tickr", "list", "--state", "=", "fa") == ["failed"]
    assert "failed" in in_bash(folder, surroundings, "tickr", "list", "--state", "=")


def test_nobody_answers_and_nothing_is_said(folder: Path) -> None:
    away = around(folder, f"http://127.0.0.1:{free_port()}")
    assert in_bash(folder, away, "tickr", "queue", "show", "") == []
    assert in_bash(folder, away, "tickr", "queue", "pau") == ["pause"]


def test_who_answers_too_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "WITHIN_S", 0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TICKR_URL", "http://127.0.0.1:9")
        release = []

        def look(_: object) -> Iterator[tuple[str, str]]:
            while not release:
                select.select([], [], [], 0.01)
            yield "too late", ""

        assert known._in_time(look, None) == {}
        release.append(True)


def test_the_time_it_takes_to_be_ready_to_ask_is_not_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[threading.Thread] = []

    def slowly(*address: str | None) -> Remote:
        ready.append(threading.current_thread())  # and not another, for which is waited so long and no longer
        return Remote(*address)

    monkeypatch.setattr("tickr.cli.jobs.Remote", slowly)
    monkeypatch.setenv("TICKR_URL", "http://127.0.0.1:9")
    assert known._in_time(lambda _: [("queue", "")], None) == {"queue": ""}
    assert ready == [threading.current_thread()]


# -- fish and zsh -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "completed"), LINES.items())
def test_fish(folder: Path, surroundings: Mapping[str, str], line: str, completed: str) -> None:
    program = [need("fish"), "--no-config", "-c", f"source {folder}/tickr.fish; complete -C '{line}'"]

    def in_fish() -> list[str]:
        done = subprocess.run(program, env=dict(surroundings), capture_output=True, text=True, check=True)
        return [told.split("\t")[0] for told in done.stdout.splitlines()]

    assert completed in in_the_end(in_fish)


def test_zsh(folder: Path, surroundings: Mapping[str, str]) -> None:
    """On a terminal, as its completion works nowhere else: what is typed is made whole by Tab, and then printed."""
    with Zsh([need("zsh"), "-f", "-i"], surroundings) as zsh:
        zsh.type(f"PS1='> '; autoload -U compinit; compinit -u -D; source {folder}/tickr.zsh; print rea''dy\r")
        zsh.until("ready")
        for line, completed in LINES.items():
            # The line that is completed is only printed: Ctrl-A goes to its beginning.
            zsh.type(line)
            zsh.press_tab_until(f"{line.rpartition(' ')[0]} {completed}")
            zsh.type("\x15")


class Zsh:
    """A shell on a terminal. A context manager that ends it."""

    def __init__(self, program: list[str], surroundings: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        self._heard = ""
        self._process = subprocess.Popen(
            program, env=dict(surroundings), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def __enter__(self) -> Zsh:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def press_tab_until(self, words: str) -> None:
        """Press it again where nothing comes of it: a busy server may not answer in time."""
        for _ in range(int(WITHIN_S / TAB_S)):
            self.type("\t")
            if self._hears(words, TAB_S):
                return
        raise AssertionError(self._heard)

    def until(self, words: str) -> None:
        """Wait until it has shown ``words``; what came before them counts no more."""
        assert self._hears(words, WITHIN_S), self._heard

    def _hears(self, words: str, within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while words not in self._heard:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if select.select([self._ours], [], [], left)[0]:
                self._heard += os.read(self._ours, 65536).decode(errors="replace")
        self._heard = self._heard.partition(words)[2]
        return True
