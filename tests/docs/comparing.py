"""Whether what a command printed is what the page shows: the same but for ids, instants, durations and ``…``.

An id on a page, or a cursor of the feed, stands for the one that the same place brings when the page is run; from
then on it means that one, in outputs and in commands alike (``Names``). ``…`` in a line stands for anything, alone on
a line for any lines, as a key in a JSON object for any further members. JSON is compared as values, so a page may
show it with line breaks. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
CURSOR = r"\b[0-9a-f]{12}(?:\.\d+){1,2}\b"
NAMED = {"id": UUID, "cursor": CURSOR}
"""What is made anew in each run, and then used."""
VARYING = (
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[+-]\d\d:\d\d| UTC)",
    r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT",
    r"\b\d\d:\d\d:\d\d\b",
    r"\b\d+(?:\.\d+)? (?:ms|s|min|h|d|MB|GB)\b",
    r"(?<=[a-z]_s=)\d+(?:\.\d+)?(?:e-\d+)?",
    r"(?<=content-length: )\d+",
)
"""What a page shows one example of; any text of the same form is as good."""

_TOKEN = re.compile(
    "|".join(
        [
            *(f"(?P<{kind}>{form})" for kind, form in NAMED.items()),
            "(?P<any>…)",
            *(f"(?P<v{n}>{form})" for n, form in enumerate(VARYING)),
        ]
    )
)


class Names:
    """The ids and cursors on one page and what they have turned out to be."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def in_command(self, words: str) -> str:
        """Return ``words`` with the ids that this run has brought; one that the page brings first stays as it is."""
        return re.sub("|".join(NAMED.values()), lambda found: self._real.get(found[0], found[0]), words)

    def mismatch(self, shown: str, real: str) -> str | None:
        """Return why ``real`` is not what the page shows, or None; then the ids in it are known from now on."""
        before = dict(self._real)
        fault = self._fault(shown, real)
        if fault is not None:
            self._real = before
        return fault

    def _fault(self, shown: str, real: str) -> str | None:
        if shown.startswith("HTTP/"):
            (shown_head, _, shown_body), (head, _, body) = shown.partition("\n\n"), real.partition("\n\n")
            return self._text_fault(shown_head, head) or self._body_fault(shown_body, body)
        return self._body_fault(shown, real)

    def _body_fault(self, shown: str, real: str) -> str | None:
        wanted, found = _json(shown), _json(real)
        if wanted is None or found is None:
            return self._text_fault(shown, real)
        fault = self._json_fault(wanted, found, "")
        return fault and f"{fault}, in:\n{json.dumps(found, indent=2)}"

    def _text_fault(self, shown: str, real: str) -> str | None:
        return None if self._is_text(shown, real) else f"shown:\n{shown}\n\nbut it printed:\n{real}"

    def _json_fault(self, wanted: Any, found: Any, where: str) -> str | None:
        if isinstance(wanted, dict) and isinstance(found, dict):
            more = "…" in wanted
            names = [name for name in wanted if name != "…"]
            there = [name for name in found if not more or name in wanted]
            if sorted(there) != sorted(names) if more else there != names:
                return f"{where or '/'} has the members {', '.join(found)}; shown are {', '.join(wanted)}"
            faults = (self._json_fault(wanted[name], found[name], f"{where}/{name}") for name in names)
            return next(filter(None, faults), None)
        if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
            pairs = enumerate(zip(wanted, found, strict=True))
            return next(filter(None, (self._json_fault(a, b, f"{where}/{n}") for n, (a, b) in pairs)), None)
        if isinstance(wanted, str) and isinstance(found, str):
            same = self._is_text(wanted, found)
        else:
            same = type(wanted) is type(found) and wanted == found
        return None if same else f"{where or '/'} is {json.dumps(found)[:2000]}; shown is {json.dumps(wanted)[:2000]}"

    def _is_text(self, shown: str, real: str) -> bool:
        groups: dict[str, str] = {}
        pattern = "".join(
            r"(?:.*\n)*?" if line == "…" else self._pattern(line, groups) + r"\n" for line in _lines(shown)
        )
        match = re.fullmatch(pattern, "".join(f"{line}\n" for line in _lines(real)))
        if match is None:
            return False
        self._real.update({name: match[group] for group, name in groups.items()})
        return True

    def _pattern(self, shown: str, groups: dict[str, str]) -> str:
        """Return a regular expression for one line; adds to ``groups`` the ids it will learn, by group."""
        parts: list[str] = []
        at = 0
        for token in _TOKEN.finditer(shown):
            parts.append(re.escape(shown[at : token.start()]))
            at = token.end()
            if token["any"]:
                parts.append(".*")
            elif (kind := str(token.lastgroup)) in NAMED:
                parts.append(self._pattern_of_name(token[0], NAMED[kind], groups))
            else:
                parts.append(VARYING[int(kind[1:])])
        return "".join([*parts, re.escape(shown[at:])])

    def _pattern_of_name(self, name: str, form: str, groups: dict[str, str]) -> str:
        if name in self._real:
            return re.escape(self._real[name])
        for group, other in groups.items():
            if other == name:
                return f"(?P={group})"
        group = f"name{len(groups)}"
        groups[group] = name
        return f"(?P<{group}>{form})"


def _lines(text: str) -> list[str]:
    """Return the lines with every run of blanks as one: how wide a column is depends on what stands in it."""
    lines = [re.sub(r"[ \t]+", " ", line).rstrip() for line in text.strip("\n").split("\n")]
    return lines if lines != [""] else []


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text.startswith(("{", "[")) else None
    except ValueError:
        return None
