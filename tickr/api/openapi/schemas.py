"""Records → JSON Schema 2020-12: what comes in as it is parsed, what goes out as it is encoded.

msgspec has the same, but cannot tell a default that is raw JSON. What a field must be is said in the words with which a
wrong one is refused. A record that refuses unknown fields comes in; of one that goes out every field that is always
there is required, and others may come with a later Tickr. Pure.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

import msgspec
from msgspec import Raw, Struct, UnsetType
from msgspec.inspect import (
    AnyType,
    BoolType,
    DateTimeType,
    DictType,
    EnumType,
    Field,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    Metadata,
    NoneType,
    RawType,
    StrType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

Schema = dict[str, Any]
_BOUNDS = (("ge", "minimum"), ("gt", "exclusiveMinimum"), ("le", "maximum"), ("lt", "exclusiveMaximum"))
_LENGTHS: dict[type, tuple[str, str]] = {
    StrType: ("minLength", "maxLength"),
    ListType: ("minItems", "maxItems"),
    VarTupleType: ("minItems", "maxItems"),
    DictType: ("minProperties", "maxProperties"),
}
_PLAIN: dict[type, str] = {BoolType: "boolean", NoneType: "null"}


class Schemas:
    """Makes schemas, and keeps those of records, which are named once and referred to.

    Args:
      words: what to say of the fields of a record, by their names; of ``of``: what each holds, JSON text that it is.

    Attributes:
      components: the records by name, as far as they were asked for.
    """

    def __init__(self, words: Mapping[type, Mapping[str, str]], raws: Mapping[tuple[type, str], Any]) -> None:
        self._words = words
        self._raws = raws
        self._names: dict[str, type] = {}
        self.components: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """Return the schema of a type that msgspec knows.

        Raises: ValueError: it cannot be described, or two records have one name.
        """
        return self._of(type_info(kind))

    def _of(self, kind: Type) -> Schema:
        if isinstance(kind, Metadata):
            return {**self._of(kind.type), **(kind.extra_json_schema or {})}
        if isinstance(kind, StructType):
            return {"$ref": f"#/components/schemas/{self._named(kind)}"}
        if isinstance(kind, UnionType):
            return self._any_of(kind.types)
        if isinstance(kind, EnumType):
            return _one_of([one.value for one in kind.cls])
        if isinstance(kind, LiteralType):
            return _one_of(kind.values)
        if isinstance(kind, DateTimeType):
            return {"type": "string", "format": "date-time"}
        if isinstance(kind, (AnyType, RawType)):
            return {}
        if isinstance(kind, IntType | FloatType):
            bounds = {said: _number(value) for name, said in _BOUNDS if (value := getattr(kind, name)) is not None}
            return {"type": "integer" if isinstance(kind, IntType) else "number", **bounds}
        if isinstance(kind, StrType):
            return {"type": "string", **_lengths(kind), **({"pattern": pattern(kind.pattern)} if kind.pattern else {})}
        if isinstance(kind, ListType | VarTupleType):
            return {"type": "array", "items": self._of(kind.item_type), **_lengths(kind)}
        if isinstance(kind, DictType):
            names = self._of(kind.key_type)
            named = {"propertyNames": {"pattern": names["pattern"]}} if "pattern" in names else {}
            values = self._of(kind.value_type)
            return {"type": "object", **named, "additionalProperties": values or True, **_lengths(kind)}
        if type(kind) not in _PLAIN:
            raise ValueError(f"{kind} cannot be described")
        return {"type": _PLAIN[type(kind)]}

    def _any_of(self, kinds: Iterable[Type]) -> Schema:
        """Return what is one of ``kinds``, in few words where they are all plain."""
        found = [self._of(kind) for kind in kinds]
        null = {"type": "null"}
        rest = [one for one in found if one != null]
        if len(rest) == 1 and null in found and not rest[0]:
            return {}
        if len(rest) == 1 and null in found and isinstance(rest[0].get("type"), str) and "enum" not in rest[0]:
            return {**rest[0], "type": [rest[0]["type"], "null"]}
        return {"anyOf": [*rest, *([null] if null in found else [])]}

    def _named(self, kind: StructType) -> str:
        """Return the name of a record, whose schema is among the components then."""
        cls = kind.cls
        name = re.sub(r"\W+", "_", getattr(cls, "__name__", str(cls))).strip("_")
        inner = [one.__name__ for one in getattr(cls, "__args__", ())]
        name = "".join([name, *(["Of", *inner] if inner else [])])
        if name not in self.components:
            self._names[name] = cls
            self.components[name] = {}  # for those that hold themselves
            self.components[name] = self._record(kind)
        elif self._names[name] != cls:
            raise ValueError(f"{cls} and {self._names[name]} have the same name: give one of them another")
        return name

    def _record(self, kind: StructType) -> Schema:
        cls = getattr(kind.cls, "__origin__", kind.cls)
        comes_in = kind.forbid_unknown_fields
        config = cls.__struct_config__
        may_be_unset = {one.name for one in msgspec.structs.fields(cls) if UnsetType in get_args(one.type)}
        required = [
            field.encode_name
            for field in kind.fields
            if field.name not in may_be_unset and (field.required or not (comes_in or config.omit_defaults))
        ]
        return {
            **({"description": told} if (told := _docstring(cls)) else {}),
            "type": "object",
            "properties": {field.encode_name: self._field(cls, field, comes_in) for field in kind.fields},
            **({"required": required} if required else {}),
            **({"additionalProperties": False} if comes_in else {}),
        }

    def _field(self, cls: type, field: Field, comes_in: bool) -> Schema:
        raw = self._raws.get((cls, field.name))
        schema = self._of(field.type) if raw is None else self.of(raw)
        word = self._word(cls, field.encode_name)
        if word is not None:
            schema = {"description": word, **schema}
        default = field.default
        if comes_in and default is not msgspec.NODEFAULT and default is not None:
            schema = {**schema, "default": _builtin(default)}
        return schema

    def _word(self, cls: type, name: str) -> str | None:
        """Return what is said of a field of ``cls``, or of the one that it extends."""
        for kind in cls.__mro__:
            if name in self._words.get(kind, {}):
                return self._words[kind][name]
        return None


def _docstring(cls: type) -> str:
    """Return what a record says of itself in its first paragraph, in Markdown."""
    told = cls.__doc__ or ""
    if told == cls.__base__.__doc__:
        return ""
    return " ".join(inspect.cleandoc(told).split("\n\n")[0].replace("``", "`").split())


def pattern(said: str) -> str:
    r"""Return a pattern as ECMA-262 has it, which knows no ``\A`` and ``\Z``."""
    return re.sub(r"\\Z\Z", "$", re.sub(r"\A\\A", "^", said))


def _one_of(values: Iterable[Any]) -> Schema:
    given = list(values)
    return {"type": "string" if isinstance(given[0], str) else "integer", "enum": given}


def _lengths(kind: Any) -> Schema:
    least, most = _LENGTHS[type(kind)]
    return {
        **({least: kind.min_length} if kind.min_length is not None else {}),
        **({most: kind.max_length} if kind.max_length is not None else {}),
    }


def _number(value: float) -> float | int:
    return int(value) if math.isfinite(value) and value == int(value) else value


def _builtin(value: Any) -> Any:
    if isinstance(value, Raw):
        return msgspec.json.decode(value)
    plain = msgspec.to_builtins(value)
    return _number(plain) if isinstance(plain, float) else plain


def is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)
