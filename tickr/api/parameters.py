"""The parameters of queries: what each may be, said once, for who reads it and for who describes it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import Meta
from werkzeug.datastructures import MultiDict

from tickr.api.problems import Fault

Arguments = MultiDict[str, str]


class Parameter(NamedTuple):
    """One parameter.

    Attributes:
      name: in the query.
      kind: what a value is, as a type that msgspec checks and describes.
      rule: what to say about a value that is wrong.
      about: what it is for.
      most: how often it may come; None: as often as one likes.
      default: what counts where it does not come.
      check: whether a value is right, where ``kind`` does not say all of it.
    """

    name: str
    kind: Any
    rule: str
    about: str
    most: int | None = 1
    default: Any = None
    check: Callable[[str], bool] | None = None

    def takes(self, value: str) -> bool:
        if self.check is not None:
            return self.check(value)
        with suppress(msgspec.ValidationError):
            msgspec.convert(value, self.kind)
            return True
        return False

    def faults(self, args: Arguments) -> Iterator[Fault]:
        """Yield what is wrong with its values in a query, which are texts."""
        given = args.getlist(self.name)
        if self.most == 1:
            if len(given) > 1 or not all(map(self.takes, given)):
                yield self._once()
            return
        for value in given:
            if not self.takes(value):
                yield Fault(f"/{self.name}", self.rule)
        if self.most is not None and len(given) > self.most:
            yield Fault(f"/{self.name}", f"may come {self.most} times")

    def number(self, args: Arguments, faults: list[Fault]) -> int | None:
        """Return the whole number that a query has for it; None if it has none, or it is faulty."""
        given = args.getlist(self.name)
        if not given:
            return self.default  # type: ignore[no-any-return]
        with suppress(ValueError):
            (one,) = given
            if one.isascii() and one.isdigit() and len(one) <= MOST_DIGITS:
                return msgspec.convert(int(one), self.kind)  # type: ignore[no-any-return]
        faults.append(self._once())
        return None

    def _once(self) -> Fault:
        return Fault(f"/{self.name}", f"{self.rule}, once")


MOST_DIGITS = 9


def whole(name: str, most: int, about: str, default: int | None = None) -> Parameter:
    """Return a parameter that is a whole number from 1 to ``most``."""
    rule = f"must be a whole number from 1 to {most}"
    return Parameter(name, Annotated[int, Meta(ge=1, le=most)], rule, about, default=default)


def limit(default: int, most: int) -> Parameter:
    return whole("limit", most, "How many there are on a page.", default)


def flag(name: str, about: str, default: Literal["true", "false"] = "false") -> Parameter:
    return Parameter(name, Literal["true", "false"], "must be true or false", about, default=default)


DECRYPT = flag("decrypt", "Show what is encrypted in the clear, if this node has the key. The log says who asked.")
