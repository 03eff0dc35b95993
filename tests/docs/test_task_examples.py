"""The tutorial and the how-tos do what they show. In a file of their own, so that they run beside the longer pages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import TASKS, name_of
from tests.docs.test_examples import follow_page


@pytest.mark.slow
@pytest.mark.parametrize("page", TASKS, ids=name_of)
async def test_the_examples_of_a_task_do_what_it_shows(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await follow_page(page, tmp_path, request)
