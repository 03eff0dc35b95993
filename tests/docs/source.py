"""Tickr's source as the tests of the documentation ask it: which words it gives to errors, failures and log lines."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT

LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
_is_event = re.compile(r"[a-z]+\.[a-z_]+").fullmatch


def calls(*folders: str) -> Iterator[ast.Call]:
    """Yield every call in the Python files that are or are below ``folders`` of ``tickr/`` (all of it without any)."""
    for folder in folders or (".",):
        place = ROOT / "tickr" / folder
        for path in [place] if place.is_file() else sorted(place.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    yield node


def name_of_call(call: ast.Call) -> str:
    """Return the last name of what is called: ``warning`` in ``log.warning(…)``."""
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def text(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def failure_kinds() -> set[str]:
    """Return every ``kind`` that a ``Failure`` is made with."""
    makers = {"Failure", "failure", "of_exception"}
    found = [call for call in calls() if name_of_call(call) in makers and call.args]
    return {kind for call in found if (kind := text(call.args[0])) is not None}


def problem_codes(*files: str) -> set[tuple[int, str]]:
    """Return the (status, code) of every problem that is written out in ``files`` of ``tickr/``; else in ``api``."""
    found: set[tuple[int, str]] = set()
    for call in calls(*(files or ("api",))):
        if name_of_call(call) == "Problem" and len(call.args) > 1 and (code := text(call.args[1])):
            found.add((int(ast.unparse(call.args[0])), code))
        elif name_of_call(call) == "_refused" and (code := text(call.args[0])):
            found.add((400, code))
    return found


def log_events() -> set[tuple[str, str]]:
    """Return (name, level) of every event that is logged, ``{…}`` in place of what is put in when it happens."""
    found: set[tuple[str, str]] = set()
    for call in calls():
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS and call.args:
            word = call.args[0]
            if isinstance(word, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else "{…}" for part in word.values)
                name = "".join(parts)
            else:
                name = text(word) or ""
            if _is_event(name.replace("{…}", "x")):
                found.add((name, call.func.attr))
    return found


def named_by(called: str) -> set[str]:
    """Return the texts that ``called`` is given, somewhere in the program."""
    made = (call for call in calls() if isinstance(call.func, ast.Name) and call.func.id == called)
    return {word for call in made for argument in call.args if (word := text(argument))}


def test_names(path: Path) -> set[str]:
    """Return the names of the tests in a file."""
    found = (node for node in ast.walk(ast.parse(path.read_text())))
    functions = (node for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


test_names.__test__ = False  # type: ignore[attr-defined]  # pytest takes it for a test
