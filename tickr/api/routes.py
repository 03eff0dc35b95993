"""What is known of every call beside what it does: a ``Route`` for each, made where it is added to the application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tickr.scopes import Scope


class Route(NamedTuple):
    """A call of the API.

    Attributes:
      method: GET stands for HEAD as well.
      path: a rule of Werkzeug's: ``/jobs/<job_id>``.
      name: unlike that of every other.
      view: what carries it out.
      scope: what its caller needs; None: no more than to be let in.
    """

    method: str
    path: str
    name: str
    view: Callable[..., Any]
    scope: Scope | None
