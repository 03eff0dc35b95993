"""What is pasted into ``tickr top``, on a real terminal."""

from __future__ import annotations

import pytest

from tests.cli.test_top import DOWN, filtered, get, live, server, submit, watching
from tests.processes import TickrProcess

__all__ = ["server"]

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("pasted", ["py", "\x1b[200~py\x1b[201~"])
def test_what_is_pasted_does_nothing_and_says_so(server: TickrProcess, pasted: str) -> None:
    submit(server, queue="of-the-paste", delay=600)
    with watching(server) as top:
        live(top)
        filtered(top, "of-the-paste")
        top.paste(pasted)
        top.until(lambda: "no key was taken" in top.text)
        assert not get(server, "/queues/of-the-paste")["paused"]
        assert b"\x1b[?2004h" in top.heard
        # What follows a paste within a moment is of it; an arrow never is.
        top.press(DOWN, "p")
        top.until(lambda: "Pause the queue of-the-paste?" in top.text)
        top.press("n", "q")
        assert top.end() == 0
        assert b"\x1b[?2004l" in top.heard
