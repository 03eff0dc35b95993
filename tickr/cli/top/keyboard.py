"""From the bytes that a terminal sends to the names of keys. Pure.

A printable sign is its own name; ``up``, ``pgdn``, ``enter``, ``space`` and so on are the others. A key may come in
pieces, and Escape is the beginning of others: whoever reads calls ``rest`` when nothing has followed for a moment.

What is pasted must not act as so many presses. A terminal that was told ``BRACKETED`` puts it in brackets; where one
knows nothing of that, several different signs at once are taken for a paste, with what follows them within a moment.
Either is one name: ``PASTED`` and the text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

MOMENT_S = 0.05
"""What belongs to one key, or to one paste, follows within this time."""
BRACKETED, PLAIN = "\x1b[?2004h", "\x1b[?2004l"
"""Have a terminal put brackets round what is pasted, and no longer."""
PASTED = "pasted "
"""What the name of a paste begins with."""
MAX_PASTE = 1_000
"""Signs of a paste that are told; nobody types more."""
_OPEN, _CLOSE = "\x1b[200~", "\x1b[201~"

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
        self._pasted: str | None = None  # what is between brackets, as long as they are open
        self._bursting = False  # whether what comes within a moment belongs to a paste without brackets

    @property
    def pending(self) -> bool:
        """Whether a key or a paste has begun that may go on."""
        return bool(self._begun) or self._pasted is not None or self._bursting

    def feed(self, sent: bytes) -> list[str]:
        signs = self._decoder.decode(sent)
        if self._pasted is None and not self._begun and (self._bursting or _is_burst(signs)) and "\x1b" not in signs:
            self._bursting = True
            return [PASTED + signs[:MAX_PASTE]]
        self._bursting = False
        self._begun += signs
        return list(self._taken())

    def rest(self) -> list[str]:
        """Nothing followed, so what has begun is all: Escape, a paste, or nothing that is known."""
        begun, pasted = self._begun, self._pasted
        self._begun, self._pasted, self._bursting = "", None, False
        if pasted is not None:
            return [_paste(pasted + begun)]
        return ["esc"] if begun == "\x1b" else []

    def _within_brackets(self) -> str | None:
        """Take what is in brackets; return its name when they are closed."""
        text, closed, after = ((self._pasted or "") + self._begun).partition(_CLOSE)
        if closed:
            self._pasted, self._begun = None, after
            return _paste(text)
        # The end may have come in pieces, so as much of it as there can be is kept beyond what is told.
        self._pasted, self._begun = text[:MAX_PASTE] + text[MAX_PASTE:][-len(_CLOSE) :], ""
        return None

    def _taken(self) -> Iterator[str]:
        while self._begun:
            if self._pasted is not None:
                if name := self._within_brackets():
                    yield name
            elif found := _SEQUENCE.match(self._begun):
                self._begun = self._begun[found.end() :]
                if found[0] == _OPEN:
                    self._pasted = ""
                elif name := _named(found[0]):
                    yield name
            elif _BEGINNING.fullmatch(self._begun) and len(self._begun) <= LONGEST:
                return
            else:
                sign, self._begun = self._begun[0], self._begun[1:]
                if name := "esc" if sign == "\x1b" else _SINGLE.get(sign, sign if sign.isprintable() else ""):
                    yield name


def _is_burst(signs: str) -> bool:
    """Whether so many signs at once are no key, nor one that is held down."""
    return len(signs) > 1 and len({*signs}) > 1


def _paste(text: str) -> str:
    return PASTED + " ".join(text[:MAX_PASTE].split())


def _named(sequence: str) -> str:
    if sequence[-1] == "~":
        return _NUMBERS.get(sequence[2:-1].partition(";")[0], "")
    return _ENDS.get(sequence[-1], "")
