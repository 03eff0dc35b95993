"""From the bytes that a terminal sends to the names of keys. Pure.

A printable sign is its own name; ``up``, ``pgdn``, ``enter``, ``space`` and so on are the others. A key may come in
pieces, and Escape is the beginning of others: whoever reads calls ``rest`` when nothing has followed for a moment.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

MOMENT_S = 0.05
"""What belongs to one key follows within this time."""

_ENDS = {"A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "Z": "shift-tab"}
_NUMBERS = {"1": "home", "7": "home", "4": "end", "8": "end", "5": "pgup", "6": "pgdn"}
_SINGLE = {
    "\r": "enter",
    "\n": "enter",
    "\t": "tab",
    "\x7f": "backspace",
    "\b": "backspace",
    " ": "space",
    "\x15": "ctrl-u",
    "\x0c": "ctrl-l",
}
_SEQUENCE = re.compile(r"\x1b(?:\[[0-9;?<=>]*[ -/]*[@-~]|O.)")
_BEGINNING = re.compile(r"\x1b(?:\[[0-9;?<=>]*[ -/]*|O)?")
LONGEST = 32
"""Signs of a sequence; what goes on longer is none."""


class Keys:
    """The keys in what is fed to it, in order."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    @property
    def pending(self) -> bool:
        """Whether a key has begun that may go on."""
        return bool(self._begun)

    def feed(self, sent: bytes) -> list[str]:
        self._begun += self._decoder.decode(sent)
        return list(self._taken())

    def rest(self) -> list[str]:
        """Nothing followed, so what has begun is all: Escape, or nothing that is known."""
        begun, self._begun = self._begun, ""
        return ["esc"] if begun == "\x1b" else []

    def _taken(self) -> Iterator[str]:
        while self._begun:
            if found := _SEQUENCE.match(self._begun):
                self._begun = self._begun[found.end() :]
                if name := _named(found[0]):
                    yield name
            elif _BEGINNING.fullmatch(self._begun) and len(self._begun) <= LONGEST:
                return
            else:
                sign, self._begun = self._begun[0], self._begun[1:]
                if name := "esc" if sign == "\x1b" else _SINGLE.get(sign, sign if sign.isprintable() else ""):
                    yield name


def _named(sequence: str) -> str:
    if sequence[-1] == "~":
        return _NUMBERS.get(sequence[2:-1].partition(";")[0], "")
    return _ENDS.get(sequence[-1], "")
