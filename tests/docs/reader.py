"""A reader who follows a page: one shell in a folder of its own, and the Tickr that the page starts in it.

Comes in: commands as the page has them. Goes out: what they print, as the page would have it: the port and the servers
of the test are the page's again (``Dictionary``). ``make run`` and ``tickr serve`` are started in the background and
waited for; whatever runs at the end is stopped by SIGTERM and must end well.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import trio

from tests.children import free_port
from tests.docs.pages import ROOT
from tests.waiting import eventually

PAGES_PORT = ":8080"
KILLED = 128 + signal.SIGKILL
"""The exit code of what was killed, in a shell."""
COMMAND_S = 40.0
"""Longer than any command of a page takes, in seconds."""

SERVES = re.compile(r"(?:^|[;&] *|\S+=\S* )(?:make run|(?:\.venv/bin/)?tickr serve)\b")
_NOTICE = re.compile(r"^(?:bash: line \d+: +\d+ (?:Killed|Terminated).*|\[\d+\][-+]? .*)\n?", re.MULTILINE)
"""What a shell says of its background jobs; which shell says what, and when, is not Tickr's."""


def as_tickr(words: str) -> str:
    """Return ``words`` with what `make run` comes to."""
    return re.sub(r'\bmake run\b(?: ARGS=(?:"([^"]*)"|(\S*)))?', r"tickr serve \1\2", words).rstrip()


class Dictionary:
    """The page's words and the test's words for the same thing: ports, servers, folders."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = dict(words)

    def to_test(self, text: str) -> str:
        for page, test in self._words.items():
            text = text.replace(page, test)
        return text

    def to_page(self, text: str) -> str:
        for page, test in self._words.items():
            text = text.replace(test, page)
        return text


class Reader:
    """Made by ``reading``. ``folder`` is where its commands run."""

    def __init__(self, shell: trio.Process, folder: Path, port: int, words: Mapping[str, str]) -> None:
        assert shell.stdout is not None
        self._shell = shell
        self._output = shell.stdout
        self.folder = folder
        self._port = port
        self._dictionary = Dictionary({**words, PAGES_PORT: f":{port}"})
        self._server: str | None = None
        self._log: Path | None = None

    def write(self, name: str, text: str) -> None:
        """Write a file of the page, or go on with one it has begun."""
        path = self.folder / name
        before = path.read_text() + "\n\n" if path.exists() else ""
        path.write_text(before + self._dictionary.to_test(text) + "\n")

    async def run(self, words: str) -> str:
        """Run a command and return what it printed."""
        words = self._dictionary.to_test(as_tickr(words))
        output, _ = await self._ask(words)
        if self._server and "kill -9" in words:
            await self._ask(f"wait {self._server}")
            self._server = None
        return self._dictionary.to_page(_NOTICE.sub("", output))

    async def serve(self, words: str) -> None:
        """Start Tickr by ``words`` in the background, after stopping the one before, and wait until it answers or ends.

        ``said`` returns what it prints.
        """
        await self.stop()
        words = self._dictionary.to_test(as_tickr(words))
        self._log = None
        if not words.rstrip().endswith("&"):
            self._log = self.folder / f".log-{secrets.token_hex(4)}"
            words = f"{words} > {self._log.name} 2>&1 &"
        await self._ask(words)
        self._server = (await self._ask("echo $!"))[0].strip()

        async def answers_or_ended() -> bool:
            return not await self._lives() or await self._is_ready()

        await eventually(answers_or_ended, within_s=30)

    def at(self, address: str) -> str:
        """Return where an address of the page leads here."""
        return self._dictionary.to_test(address)

    def said(self) -> str:
        """Return what the Tickr started last has printed so far; nothing if the page sends that elsewhere."""
        return self._dictionary.to_page(self._log.read_text()) if self._log else ""

    async def stop(self) -> None:
        """Stop the Tickr that runs. It must end with exit code 0 unless the page itself ended it."""
        if self._server is None:
            return
        server, self._server = self._server, None
        if (await self._ask(f"kill -TERM {server}"))[1] == 0:
            _, code = await self._ask(f"wait {server}")
            # One that a failpoint kills may have said so and be on its way out.
            assert code in (0, KILLED), f"tickr serve ended with {code}: {self.said()}"

    async def _lives(self) -> bool:
        return (await self._ask(f"kill -0 {self._server}"))[1] == 0

    async def _is_ready(self) -> bool:
        async with httpx2.AsyncClient() as http:
            try:
                return (await http.get(f"http://127.0.0.1:{self._port}/readyz")).is_success
            except httpx2.TransportError:
                return False

    async def _ask(self, words: str) -> tuple[str, int]:
        """Have the shell run ``words``; return what was printed and the exit code."""
        assert self._shell.stdin is not None
        end = secrets.token_hex(8)
        # In braces, so that what is set stays set; without stdin, which is the way that commands come in.
        text = f"{{ {words}\n}} 2>&1 </dev/null\nprintf '%s %d\\n' {end} $?\n"
        await self._shell.stdin.send_all(text.encode())
        got = b""
        with trio.move_on_after(COMMAND_S):
            while not (found := re.search(rf"{end} (\d+)\n\Z".encode(), got)):
                part = await self._output.receive_some()
                assert part, f"the shell ended in: {words}"
                got += part
            output = got[: found.start()].decode().replace("\r\n", "\n")
            return output, int(found[1])
        raise AssertionError(f"not done within {COMMAND_S:g} s: {words}\n{got.decode()}")


@asynccontextmanager
async def reading(folder: Path, words: Mapping[str, str]) -> AsyncIterator[Reader]:
    """Open a reader in ``folder``. ``words``: what stands on the page → what it is in this test."""
    port = free_port()
    shell = await trio.lowlevel.open_process(
        ["bash", "--norc", "--noprofile"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=_environment(folder, port),
        start_new_session=True,
    )
    reader = Reader(shell, folder, port, words)
    try:
        # Should these tests be shot, the shell's input ends, and so does what it has started.
        await reader.run("trap 'kill -9 $(jobs -p) 2>/dev/null; wait' EXIT")
        yield reader
        await reader.stop()
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        with trio.CancelScope(shield=True):
            await shell.wait()


def _environment(folder: Path, port: int) -> dict[str, str]:
    """Return what the reader's shell has; no ``TICKR_…`` variable of the surrounding one gets through."""
    kept = {name: value for name, value in os.environ.items() if name in ("TMPDIR", "LD_LIBRARY_PATH", "TZ")}
    return {
        **kept,
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]),
        "TERM": "dumb",
        "PYTHONPATH": str(ROOT),
        "TICKR_PORT": str(port),
        "TICKR_URL": f"http://127.0.0.1:{port}",
        "TICKR_LOG_FORMAT": "text",  # as on a terminal
    }
