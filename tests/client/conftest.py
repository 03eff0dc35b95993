"""One Tickr for the tests that only ask it, on each face of the client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.faces import FACES, face
from tests.processes import TickrProcess


@pytest.fixture(scope="session")
def shared_tickr() -> Iterator[TickrProcess]:
    """A running Tickr on the memory store. Who asks for it is slow."""
    with TickrProcess(store="memory:", index="heap:") as process:
        yield process


@pytest.fixture(params=FACES)
def face_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(shared_tickr: TickrProcess, face_name: str) -> Iterator[Any]:
    """A client of the shared Tickr that looks blocking; see ``faces``."""
    with face(face_name, shared_tickr.url) as one:
        yield one
