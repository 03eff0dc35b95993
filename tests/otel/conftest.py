"""What the tests of submissions borrow from those of the client."""

from __future__ import annotations

from tests.client.conftest import shared_tickr

__all__ = ["shared_tickr"]
