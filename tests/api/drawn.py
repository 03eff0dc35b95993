"""JSON Schema, as far as the description uses it → what Hypothesis draws of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Schema = dict[str, Any]
# NUL and halves of pairs are refused everywhere; that is no matter of a schema.
TEXT = st.characters(exclude_characters="\0", exclude_categories=("Cs",))
ASCII = st.characters(codec="ascii", exclude_characters="\0")
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(TEXT, max_size=20)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=3),
    max_leaves=5,
)


def instances(schema: Schema, components: dict[str, Schema]) -> SearchStrategy[Any]:
    """Return what draws values that ``schema`` allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return st.deferred(lambda: instances(components[name], components))
    if "anyOf" in schema:
        return st.one_of([instances(one, components) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    kinds = schema.get("type", [])
    if isinstance(kinds, list):
        return st.one_of([instances({**schema, "type": kind}, components) for kind in kinds]) if kinds else ANY
    if kinds == "object":
        return _objects(schema, components)
    if kinds == "array":
        sizes = {"min_size": schema.get("minItems", 0), "max_size": min(3, schema.get("maxItems", 3))}
        return st.lists(instances(schema["items"], components), **sizes)
    return _scalars(kinds, schema)


def _objects(schema: Schema, components: dict[str, Schema]) -> SearchStrategy[Any]:
    if "properties" in schema:
        known = {name: instances(one, components) for name, one in schema["properties"].items()}
        required = schema.get("required", ())
        return st.fixed_dictionaries(
            {name: known[name] for name in required}, optional={n: s for n, s in known.items() if n not in required}
        )
    names = st.text(TEXT, min_size=1, max_size=8)
    if "propertyNames" in schema:
        names = st.from_regex(schema["propertyNames"]["pattern"].removesuffix("$") + r"\Z", alphabet=TEXT)
    more = schema.get("additionalProperties", True)
    values = ANY if more is True else instances(more, components)
    return st.dictionaries(names, values, max_size=min(3, schema.get("maxProperties", 3)))


def _scalars(kind: str, schema: Schema) -> SearchStrategy[Any]:
    if kind == "null":
        return st.none()
    if kind == "boolean":
        return st.booleans()
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    if kind == "integer":
        return st.integers(low, high)
    if kind == "number":
        return st.floats(low, high, exclude_min="exclusiveMinimum" in schema, allow_nan=False, allow_infinity=False)
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.timezones()).map(lambda at: f"{at.replace(tzinfo=None).isoformat()}Z")
    sizes = {"min_size": schema.get("minLength", 0), "max_size": min(40, schema.get("maxLength", 40))}
    if "pattern" in schema:
        longest = schema.get("maxLength", 10**6)
        drawn = st.from_regex(schema["pattern"].removesuffix("$") + r"\Z", alphabet=ASCII)
        return drawn.filter(lambda text: len(text) <= longest)
    return st.text(TEXT, **sizes)
