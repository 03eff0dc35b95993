"""The shape of what is said of a call beside what its route says (``routes.Route``)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec
from msgspec import NODEFAULT, Struct

from tickr.api.parameters import Parameter

Codes = Mapping[int, tuple[str, ...]]
"""Codes of problems, by status."""


class Body(NamedTuple):
    """What a call is sent.

    Attributes:
      kind: the record that it is read as.
      examples: by what they show; each is taken as it is.
    """

    kind: Any
    examples: Mapping[str, Any]
    required: bool = True


class Answer(NamedTuple):
    """One way in which a call goes well.

    Attributes:
      kind: what it holds, as a type, or as several; None: nothing.
      headers: names of those that matter (``document.HEADERS``).
      media: what it may be beside, or instead of, JSON.
    """

    status: int
    about: str
    kind: Any = None
    headers: tuple[str, ...] = ()
    media: tuple[str, ...] = ()


class About(NamedTuple):
    """One call.

    Attributes:
      summary: a few words; ``text`` says more, in Markdown.
      query: the parameters that the call reads.
      headers: names of those that it reads beside the usual (``document.READ``).
      problems: codes of its own; those that every such call may have are added (``problems_of.py``).
    """

    summary: str
    answers: tuple[Answer, ...]
    text: str = ""
    query: tuple[Parameter, ...] = ()
    headers: tuple[str, ...] = ()
    body: Body | None = None
    problems: Codes = MappingProxyType({})


class Group(NamedTuple):
    """Calls that belong together; ``page``: where more is said of them, in docs/."""

    name: str
    about: str
    page: str
    calls: Mapping[str, About]


def without(kind: type[Struct], fields: Collection[str], name: str, doc: str) -> type[Struct]:
    """Return a record like ``kind``, which comes in, but without some of its fields."""
    left = [
        (one.name, one.type) if one.required else (one.name, one.type, _default(one))
        for one in msgspec.structs.fields(kind)
        if one.name not in fields
    ]
    return msgspec.defstruct(name, left, namespace={"__doc__": doc}, forbid_unknown_fields=True, frozen=True)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return msgspec.UNSET if field.default is NODEFAULT else field.default
