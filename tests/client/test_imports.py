"""Who only submits loads neither a server nor a database driver; who imports tickr does not load the client."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import tickr.client
from tests.test_house import VOCABULARY, imports

ROOT = Path(__file__).parent.parent.parent
SERVER = {"trio_mysql", "quart", "quart_trio", "hypercorn", "redis", "sqlite3", "cryptography", "structlog", "click"}
OF_TICKR = {"__init__", "worker", *VOCABULARY}
"""What ``import tickr`` itself loads: the names for handlers."""


def loaded_by(statement: str) -> set[str]:
    """Return the names of all modules that are loaded after ``statement``."""
    program = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@pytest.mark.slow
def test_the_client_loads_nothing_of_a_server() -> None:
    loaded = loaded_by("import tickr.client")
    assert {"tickr.client", "httpx2", "anyio"} <= loaded
    assert {name.split(".")[0] for name in loaded} & SERVER == set()
    parts = {name.split(".")[1] for name in loaded if name.startswith("tickr.")}
    assert parts <= {"client", "trust", *OF_TICKR}


@pytest.mark.slow
def test_tickr_does_not_load_the_client() -> None:
    loaded = loaded_by("import tickr")
    assert {name.split(".")[0] for name in loaded} & {*SERVER, "httpx2", "anyio"} == set()
    assert not any(name.startswith("tickr.client") for name in loaded)


def test_the_client_imports_only_vocabulary_and_whom_to_trust() -> None:
    for path in sorted((ROOT / "tickr" / "client").glob("*.py")):
        module = f"tickr.client.{path.stem}".removesuffix(".__init__")
        for line, imported in imports(path, module):
            top, *rest = imported.split(".")
            allowed = top != "tickr" or rest[0] in ("client", "trust", *VOCABULARY)
            assert allowed, f"{path.name}:{line} imports {imported}"


def test_every_public_name_is_listed() -> None:
    tree = ast.parse((ROOT / "tickr" / "client" / "__init__.py").read_text())
    bound = {a.name for node in tree.body if isinstance(node, ast.ImportFrom) for a in node.names} - {"annotations"}
    assert bound == set(tickr.client.__all__)
