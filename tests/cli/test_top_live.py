"""The loop of ``tickr top`` from inside: how often it asks, and that the terminal is given back after a fault."""

from __future__ import annotations

import os
import pty
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import trio
from rich.console import Console
from rich.text import Text

from tests.processes import TickrProcess
from tests.waiting import eventually, happens
from tickr.cli.remote import Remote
from tickr.cli.remote_records import RemoteQueue
from tickr.cli.top import live
from tickr.cli.top.live import LEAST_S, Top
from tickr.cli.top.model import State
from tickr.cli.top.terminal import Terminal


@contextmanager
def terminal() -> Iterator[tuple[int, int, bytearray]]:
    """A terminal that is read to the end: our side, its side, what was heard so far."""
    ours, theirs = pty.openpty()
    heard = bytearray()

    def hear() -> None:
        while chunk := os.read(ours, 65536):
            heard.extend(chunk)
            if heard.endswith(b"end of the test"):
                return

    thread = threading.Thread(target=hear)
    thread.start()
    try:
        yield ours, theirs, heard
    finally:
        os.write(theirs, b"end of the test")
        thread.join()
        os.close(theirs)
        os.close(ours)


def on(theirs: int) -> Console:
    return Console(file=open(theirs, "w", closefd=False), force_terminal=True, width=80, height=24)


class Counting(Remote):
    """Knows how often it was asked for the queues."""

    asked = 0

    def queues(self, *words: Any) -> list[tuple[RemoteQueue, bytes]]:
        self.asked += 1
        return super().queues(*words)


@pytest.mark.slow
async def test_however_much_happens_a_list_is_read_once_a_second_at_most() -> None:
    with (
        TickrProcess(store="memory:", workers=1) as node,
        terminal() as (ours, theirs, heard),
        Counting(node.url) as remote,
        httpx2.Client() as http,
    ):
        top = Top(remote, on(theirs), theirs, State())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(top.run)
            await eventually(happens(lambda: "● live".encode() in heard))
            before, began = remote.asked, trio.current_time()
            while trio.current_time() < began + 4 * LEAST_S:
                answer = await trio.to_thread.run_sync(lambda: http.post(f"{node.url}/jobs", json={"type": "later"}))
                assert answer.is_success
            took_s = trio.current_time() - began
            assert 2 <= remote.asked - before <= took_s / LEAST_S + 1
            frames = heard.count(b"\x1b[H")
            assert frames <= (took_s + 2) / live.FRAME_S + 5
            os.write(ours, b"q")


async def test_a_fault_gives_the_terminal_back_before_it_is_told() -> None:
    with terminal() as (_, theirs, heard):
        before = termios.tcgetattr(theirs)
        with pytest.raises(RuntimeError, match="a bug"), Terminal(on(theirs), theirs) as shown:  # noqa: PT012
            assert termios.tcgetattr(theirs) != before
            shown.draw(Text("a picture"))
            raise RuntimeError("a bug")
        assert termios.tcgetattr(theirs) == before
        await eventually(happens(lambda: heard.endswith(b"\x1b[?1049l")))
        assert heard.startswith(b"\x1b[?1049h")
        assert b"\x1b[?25h" in heard.rpartition(b"a picture")[2]
