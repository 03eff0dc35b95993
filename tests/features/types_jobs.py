"""Handlers whose arguments and results are more than JSON has words for, and a value of each such type."""

from __future__ import annotations

import enum
import math
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec

import tickr

jobs = tickr.Jobs()


class Size(enum.Enum):
    SMALL = "s"
    LARGE = "l"


class Point(NamedTuple):
    x: int
    y: int


@dataclass(frozen=True)
class Line:
    item: str
    price: Decimal
    size: Size = Size.SMALL


class Order(msgspec.Struct, frozen=True):
    id: uuid.UUID
    lines: tuple[Line, ...]
    due: date | None = None


class Round(msgspec.Struct, tag="round", frozen=True):
    radius: float


class Square(msgspec.Struct, tag="square", frozen=True):
    side: float


class Name:
    """A class that msgspec knows nothing of."""


ORDER = Order(
    uuid.UUID(int=7), (Line("cup", Decimal("1.10")), Line("pot", Decimal("20"), Size.LARGE)), date(2026, 11, 22)
)

SAMPLES: dict[str, tuple[Any, Any, str]] = {
    "bytes": (bytes, b"\x00\xffPNG", '"AP9QTkc="'),
    "datetime": (datetime, datetime(2026, 11, 22, 8, 30, tzinfo=UTC), '"2026-11-22T08:30:00Z"'),
    "date": (date, date(2026, 11, 22), '"2026-11-22"'),
    "time": (time, time(8, 30), '"08:30:00"'),
    "timedelta": (timedelta, timedelta(hours=36), '"P1DT43200S"'),
    "Decimal": (Decimal, Decimal("19.90"), '"19.90"'),
    "UUID": (uuid.UUID, uuid.UUID(int=7), '"00000000-0000-0000-0000-000000000007"'),
    "int": (int, 2**70, "1180591620717411303424"),
    "float": (float, math.pi, "3.141592653589793"),
    "set[int]": (set[int], {3}, "[3]"),
    "frozenset[str]": (frozenset[str], frozenset({"a"}), '["a"]'),
    "tuple[int, str]": (tuple[int, str], (1, "a"), '[1,"a"]'),
    "dict[date, int]": (dict[date, int], {date(2026, 11, 22): 1}, '{"2026-11-22":1}'),
    "dict[int, bytes]": (dict[int, bytes], {5: b"a"}, '{"5":"YQ=="}'),
    'Literal["a", "b"]': (Literal["a", "b"], "a", '"a"'),
    "Enum": (Size, Size.LARGE, '"l"'),
    "NamedTuple": (Point, Point(1, 2), "[1,2]"),
    "dataclass": (Line, Line("cup", Decimal("1.10")), '{"item":"cup","price":"1.10","size":"s"}'),
    "msgspec.Struct": (
        Order,
        msgspec.structs.replace(ORDER, lines=()),
        '{"id":"00000000-0000-0000-0000-000000000007","lines":[],"due":"2026-11-22"}',
    ),
    "Struct | Struct": (Round | Square, Square(2.0), '{"type":"square","side":2.0}'),
}
"""By the annotation: the type, a value of it, and how that stands in a payload."""


def key(annotation: str) -> str:
    """Return under which key of the payload the value of an annotation goes."""
    return "".join(sign if sign.isalnum() else "_" for sign in annotation)


def check(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a handler, once each is of its type again."""
    for annotation, (_, value, _) in SAMPLES.items():
        assert given[key(annotation)] == value, annotation
        assert type(given[key(annotation)]) is type(value), annotation
    return given


def _register(type_: str, **options: Any) -> None:
    """Register a handler with a parameter for each annotation, as its author would write it out."""
    parameters = ", ".join(f"{key(name)}: kind_of_{key(name)}" for name in SAMPLES)
    names = ", ".join(f"{key(name)}={key(name)}" for name in SAMPLES)
    word = "async def" if options.get("run_in") is None else "def"
    within: dict[str, Any] = {f"kind_of_{key(name)}": kind for name, (kind, _, _) in SAMPLES.items()}
    within |= {"check": check, "__name__": __name__}
    exec(f"{word} {type_}({parameters}) -> dict:\n    return check(dict({names}))", within)
    globals()[type_] = jobs.handler(type_, **options)(within[type_])  # a process finds it by its name


_register("in_loop")
_register("in_thread", run_in="thread")
_register("in_process", run_in="process")


@jobs.handler("ship")
async def ship(order: Order) -> Order:
    assert all(isinstance(line.price, Decimal) for line in order.lines)
    return order


@jobs.handler("ship_all")
async def ship_all(job: tickr.Job, orders: list[Order]) -> set[uuid.UUID]:
    for order in orders:
        await job.submit("ship", {"order": order}, name=str(order.id))
    return {end.result_as(Order).id for end in await job.children()}


@jobs.handler("nameless")
async def nameless() -> Name:
    return Name()
