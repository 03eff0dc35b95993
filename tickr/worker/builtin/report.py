"""``report``: stands for work that takes a while. Waits, then returns a small report on the text it was given."""

from __future__ import annotations

from typing import Any

import trio

from tickr.worker.endings import GiveUp

MAX_TIME_S = 86_400.0


async def report(title: str = "Report", body: str = "", time: float = 0.1) -> dict[str, Any]:
    """Return ``{"title", "words", "characters", "time"}`` after ``time`` seconds, 0 to 86,400."""
    if not 0 <= time <= MAX_TIME_S:
        raise GiveUp(f"time must be from 0 to {MAX_TIME_S:g} seconds")
    await trio.sleep(time)
    return {"title": title, "words": len(body.split()), "characters": len(body), "time": time}
