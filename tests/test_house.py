"""The rules of the house, checked on Tickr's own source; every rule is shown to bite on small made-up trees.

Each checker takes the folder that holds ``tickr/`` and ``tests/`` and returns one line for each fault:
``file:line: what is wrong and what would be right``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tickr

ROOT = Path(__file__).parent.parent

LAYERS = (
    "__main__",
    "cli",
    "__init__",
    "testing",
    "service | processes",
    "start",
    "handle | declared | otel | own_node | profiling | metrics | sun",
    "api | client",
    "intake | timetable | scheduler | worker | remote | lease | orders",
    "amendments",
    "feed | announce",
    "store | index | bell",
    "batching | redis_link | failpoints | outage | own_process | readiness | sealing | trust",
    "attempts | ciphers | errors | config | configuring | editing | edits | envelopes | extras | filters | jobs "
    "| keys | job_log | links | meters | names | operations | operation_moves | packing | payload_search | reasons "
    "| reports | reseals | scopes | queues | schedules | schedule_moves | missed | foresight | next_ticks | tallies "
    "| ticks | events | retry | setting | signing | traces | values | instants | encoding | surroundings",
)
"""From top to bottom; imports look down only, and those beside each other never import each other.

``__init__`` is the package itself with its public names. A new file or package needs a place here.
"""

DEPTH = {stage: depth for depth, layer in enumerate(LAYERS) for stage in layer.split(" | ")}
VOCABULARY = LAYERS[-1].split(" | ")
IMPURE = {
    *("trio", "redis", "trio_mysql", "quart", "quart_trio", "hypercorn", "httpx2"),
    *("asyncio", "io", "os", "pathlib", "socket", "sqlite3", "subprocess", "tempfile", "threading", "time"),
}
BANNED_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "models", "misc"}
MAX_LINES = 400
SLEEP = re.compile(r"(?<![\w.])(?:(?:trio|time|asyncio|anyio)\.)?sleep\(\s*[0-9._]*[1-9]")
POLLING = {"tests/servers.py", "tests/processes.py", "tests/children.py"}  # wait for facts in other processes


def python_files(root: Path, *folders: str) -> Iterator[tuple[str, Path]]:
    """Yield each Python file below ``folders`` as (name relative to ``root``, path), by name."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path


def imports(path: Path, module: str) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything ``path`` imports, inside functions and for types too.

    ``from a import b`` gives ``a.b``: whether ``b`` is a module or a name in ``a``, its first two parts tell the stage.
    """
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(), path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def check_layers(root: Path) -> list[str]:
    faults = []
    for name, path in python_files(root, "tickr"):
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        stage = module.split(".")[1] if "." in module else "__init__"
        if stage not in DEPTH:
            faults.append(f"{name}:1: {stage} has no place in the layers; give it one in tests/test_house.py")
            continue
        for line, imported in imports(path, module):
            top, *rest = imported.split(".")
            if top == "tickr" and (fault := layer_fault(stage, rest[0] if rest and rest[0] in DEPTH else "__init__")):
                faults.append(f"{name}:{line}: {fault}")
            elif top in IMPURE and stage in VOCABULARY:
                faults.append(f"{name}:{line}: the vocabulary is pure and must not import {top}")
    return faults


def layer_fault(importer: str, imported: str) -> str | None:
    """Say what is wrong with stage ``importer`` importing stage ``imported``, or None."""
    if importer == imported or {importer, imported} <= set(VOCABULARY):
        return None
    if DEPTH[imported] < DEPTH[importer]:
        return f"{importer} imports {imported}, which is above it; imports look down only"
    if DEPTH[imported] == DEPTH[importer]:
        return f"{importer} imports {imported}, which is beside it; siblings meet in service.py"
    return None


def check_sleeps(root: Path) -> list[str]:
    return [
        f"{name}:{number}: a real sleep; wait on a fact (or say '# virtual' where a mock clock runs)"
        for name, path in python_files(root, "tests")
        if name not in POLLING
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SLEEP.search(line) and "# virtual" not in line
    ]


def check_names(root: Path) -> list[str]:
    return [
        f"{name}:1: {word} says nothing; name a module by its role"
        for name, path in python_files(root, "tickr", "tests", "bench")
        for word in path.relative_to(root).with_suffix("").parts
        if word in BANNED_NAMES
    ]


def check_lengths(root: Path) -> list[str]:
    return [
        f"{name}:{length}: {length} lines, more than {MAX_LINES}; does it hold two ideas?"
        for name, path in python_files(root, "tickr", "tests", "bench")
        if (length := len(path.read_text().splitlines())) > MAX_LINES
    ]


def check_public_names(root: Path) -> list[str]:
    """``__all__`` is a literal that holds every public name of ``tickr/__init__.py``, and nothing else.

    What comes from the standard library is a tool; what is imported for types alone is made on demand.
    """
    tree = ast.parse((root / "tickr/__init__.py").read_text())
    listed: list[str] | None = None
    bound: set[str] = set()
    for node in statements(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = [str(name) for name in ast.literal_eval(node.value)]
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] not in sys.stdlib_module_names:
                bound |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            tops = {alias.asname or alias.name.split(".")[0] for alias in node.names}
            bound |= tops - sys.stdlib_module_names
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound |= {target.id for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
    if listed is None:
        return ["tickr/__init__.py:1: has no literal __all__"]
    public = {name for name in bound if not name.startswith("_")}
    faults = [f"tickr/__init__.py:1: {name} is public but not in __all__" for name in sorted(public - set(listed))]
    faults += [f"tickr/__init__.py:1: {name} is in __all__ but not there" for name in sorted(set(listed) - bound)]
    return faults


def statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements of a module, those inside ``if`` too."""
    for node in tree.body:
        yield from (*node.body, *node.orelse) if isinstance(node, ast.If) else (node,)


# -- Tickr keeps them -----------------------------------------------------------------------------------------------

CHECKS = [check_layers, check_sleeps, check_names, check_lengths, check_public_names]


@pytest.mark.parametrize("check", CHECKS)
def test_the_house_is_in_order(check: Callable[[Path], list[str]]) -> None:
    faults = check(ROOT)
    assert not faults, "\n" + "\n".join(faults)


def test_every_public_name_is_there() -> None:
    assert [name for name in tickr.__all__ if not hasattr(tickr, name)] == []


# -- and each of them bites -----------------------------------------------------------------------------------------


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


NAP = "sleep"  # so that the lines below are not what they show

GOOD = {
    "tickr/__init__.py": (
        "from typing import Any\nfrom tickr.worker.run import Jobs\n__all__ = ['Jobs', 'serve', '__version__']\n"
        "__version__ = '1'\nif TYPE_CHECKING:\n    from tickr.worker.run import serve\n_x: Any = 1\n"
    ),
    "tickr/__main__.py": "from tickr.cli import main\n",
    "tickr/cli/__init__.py": "def main():\n    from tickr.service import run\n    import trio\n",
    "tickr/service.py": "import tickr.store.contract\nfrom tickr import feed, retry\n",
    "tickr/worker/run.py": "from .claim import claim\nfrom ..feed import Feed\nimport trickrity\n",
    "tickr/worker/__init__.py": "from . import claim\n",
    "tickr/feed.py": "from tickr.store.contract import Store\n",
    "tickr/jobs.py": "import enum\nfrom tickr import retry\n",
    "tests/test_a.py": "await trio.sleep(0)\nclock.sleep(7)\nawait trio.sleep(5)  # virtual\nfrom trio import sleep\n",
    "tests/servers.py": f"time.{NAP}(0.1)\n",
    "bench/long.py": "x = 1\n" * MAX_LINES,
}


def test_a_good_house_passes(tmp_path: Path) -> None:
    root = tree(tmp_path, GOOD)
    assert [fault for check in CHECKS for fault in check(root)] == []


BAD = [
    (check_layers, "tickr/api/jobs.py", "import msgspec\nimport tickr.cli", "2: api imports cli, which is above it"),
    (
        check_layers,
        "tickr/store/mysql.py",
        "def f():\n    from tickr.feed import x",
        "2: store imports feed, which is above",
    ),
    (check_layers, "tickr/store/mysql.py", "from .. import feed", "1: store imports feed, which is above it"),
    (check_layers, "tickr/store/mysql.py", "from ..feed import x", "1: store imports feed, which is above it"),
    (check_layers, "tickr/worker/__init__.py", "from ..lease import x", "1: worker imports lease, which is beside it"),
    (check_layers, "tickr/bell.py", "from tickr.index.contract import x", "1: bell imports index, which is beside it"),
    (check_layers, "tickr/feed.py", "import tickr", "1: feed imports __init__, which is above it"),
    (check_layers, "tickr/feed.py", "from tickr import Job", "1: feed imports __init__, which is above it"),
    (check_layers, "tickr/feeds.py", "", "1: feeds has no place in the layers"),
    (
        check_layers,
        "tickr/jobs.py",
        "import enum\nimport trio.testing",
        "2: the vocabulary is pure and must not import trio",
    ),
    (
        check_layers,
        "tickr/retry.py",
        "from time import monotonic",
        "1: the vocabulary is pure and must not import time",
    ),
    (check_layers, "tickr/errors.py", "import tickr.batching", "1: errors imports batching, which is above it"),
    (check_layers, "tickr/__init__.py", "from tickr.cli import main\n__all__ = ['main']", "1: __init__ imports cli"),
    (check_sleeps, "tests/test_b.py", f"\nawait trio.{NAP}(0.1)", "2: a real sleep"),
    (check_sleeps, "tests/deep/test_b.py", f"time.{NAP}( 1e-3)", "1: a real sleep"),
    (check_sleeps, "tests/conftest.py", f"await {NAP}(1_0)", "1: a real sleep"),
    (check_sleeps, "tests/test_b.py", f"asyncio.{NAP}(.5)", "1: a real sleep"),
    (check_names, "tickr/store/utils.py", "", "1: utils says nothing"),
    (check_names, "tickr/core/__init__.py", "", "1: core says nothing"),
    (check_names, "tests/helpers.py", "", "1: helpers says nothing"),
    (check_lengths, "tickr/store/mysql.py", "x = 1\n" * (MAX_LINES + 1), "401: 401 lines, more than 400"),
    (check_public_names, "tickr/__init__.py", "from tickr.jobs import Job", "1: has no literal __all__"),
    (check_public_names, "tickr/__init__.py", "import trio\n__all__ = []", "1: trio is public but not in __all__"),
    (check_public_names, "tickr/__init__.py", "def f(): ...\n__all__ = []", "1: f is public but not in __all__"),
    (check_public_names, "tickr/__init__.py", "__all__ = ['Job']", "1: Job is in __all__ but not there"),
]


@pytest.mark.parametrize(("check", "name", "text", "fault"), BAD)
def test_a_fault_is_found(tmp_path: Path, check: Callable[[Path], list[str]], name: str, text: str, fault: str) -> None:
    faults = check(tree(tmp_path, {**GOOD, name: text}))
    assert len(faults) == 1
    assert faults[0].startswith(f"{name}:{fault}")
