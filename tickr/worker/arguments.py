"""How a payload becomes the arguments of a handler: a checker is built once from the handler's signature.

``read_signature`` runs when a handler is registered and refuses, in words for the handler's author, what could never
be called from a JSON object. ``Arguments.bind`` runs before each attempt and refuses, in words for the submitter, a
payload that does not fit. Pure.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

NOTHING = inspect.Parameter.empty


class BadPayload(Exception):
    """The payload does not fit the handler; the message names the key. No retry can help."""


class Arguments:
    """What one handler takes.

    Args:
      job_name: the parameter that receives the job view, or None.
      parameters: the others by name; each takes the payload's key of the same name, ``from_`` takes ``from``.
      rest: type of the values that ``**kwargs`` takes, or NOTHING if the handler takes no more keys.
    Raises: TypeError: msgspec knows no such type.
    """

    __slots__ = ("_decoder", "_names", "_only_job", "_optional", "_rest", "_taken", "job_name")

    def __init__(self, job_name: str | None, parameters: Mapping[str, inspect.Parameter], rest: Any) -> None:
        self.job_name = job_name
        self._only_job = job_name is not None and not parameters and rest is NOTHING
        self._optional = any(one.default is not NOTHING for one in parameters.values())
        keys = {name: _key(name) for name in parameters}
        self._taken = frozenset(keys.values())
        self._names = frozenset(parameters) | {job_name}
        shape = msgspec.defstruct(
            "Payload",
            # A default stays the function's own: a key that is missing is simply not passed.
            [
                (name, _type(one), msgspec.NODEFAULT if one.default is NOTHING else msgspec.UNSET)
                for name, one in parameters.items()
            ],
            kw_only=True,
            rename=keys,
            forbid_unknown_fields=rest is NOTHING,
        )
        self._decoder = msgspec.json.Decoder(shape)
        self._rest = None if rest is NOTHING else msgspec.json.Decoder(rest)

    def bind(self, payload: str) -> dict[str, Any]:
        """Return the keyword arguments that ``payload`` (JSON text) stands for, the job view not among them.

        Raises: BadPayload.
        """
        if self._only_job:
            return {}
        try:
            found = msgspec.structs.asdict(self._decoder.decode(payload))
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:  # ValidationError is a DecodeError
            raise BadPayload(str(error)) from error
        if self._optional:
            found = {name: value for name, value in found.items() if value is not msgspec.UNSET}
        return found if self._rest is None else found | self._bind_rest(payload, self._rest)

    def _bind_rest(self, payload: str, of: msgspec.json.Decoder[Any]) -> dict[str, Any]:
        rest = {}
        for key, text in _members.decode(payload).items():
            if key in self._taken:
                continue
            if key in self._names:
                raise BadPayload(f"The key `{key}` is the handler's own")
            try:
                rest[key] = of.decode(text)
            except msgspec.DecodeError as error:
                raise BadPayload(f"{error} - in `$.{key}`") from error
        return rest


_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_signature(function: Callable[..., Any], view: type) -> Arguments:
    """Return what ``function`` takes; its first parameter may be a ``view`` or be named ``job``.

    Raises: TypeError: a payload could not be passed to it; the message says why and what would do.
    """
    parameters = read_annotations(function)
    job_name = _take_job(parameters, view)
    rest: Any = NOTHING
    for name, one in list(parameters.items()):
        if one.kind is one.VAR_KEYWORD:
            rest = _type(parameters.pop(name))
        elif one.kind in (one.POSITIONAL_ONLY, one.VAR_POSITIONAL):
            raise TypeError(f"parameter `{name}` can not be given by name, and payload keys are")
        elif one.annotation is view:
            raise TypeError(f"parameter `{name}` is the job; it must come first")
        _check_type(name, _type(one))
    return Arguments(job_name, parameters, rest)


def read_annotations(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of ``function``, their annotations evaluated. Raises: TypeError: they can not be."""
    try:
        return dict(inspect.signature(function, eval_str=True).parameters)
    except NameError as error:
        raise TypeError(f"its annotations can not be resolved: {error}; import the name for real") from error
    except (ValueError, SyntaxError) as error:
        raise TypeError(f"its signature can not be read: {error}") from error


def _take_job(parameters: dict[str, inspect.Parameter], view: type) -> str | None:
    """Take the parameter for the job view out of ``parameters`` and return its name."""
    first = next(iter(parameters.values()), None)
    if first is None or not (first.annotation is view or first.name == "job"):
        return None
    if first.annotation not in (view, NOTHING, Any):
        raise TypeError("parameter `job` receives the job; annotate it with tickr.Job, or choose another name")
    if first.kind not in (first.POSITIONAL_OR_KEYWORD, first.KEYWORD_ONLY):
        raise TypeError(f"parameter `{first.name}` receives the job and can not be given by name")
    del parameters[first.name]
    return first.name


def _key(name: str) -> str:
    """Return the payload's key for a parameter: a Python keyword can only be a parameter with ``_`` behind it."""
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


def _type(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is NOTHING else parameter.annotation


def _check_type(name: str, of: Any) -> None:
    try:
        msgspec.json.Decoder(of)
        unknown = next(_custom_types(msgspec.inspect.type_info(of), set()), None)
    except (TypeError, ValueError, NameError) as error:
        raise TypeError(f"parameter `{name}`: {error}") from error
    if unknown is not None:
        raise TypeError(
            f"parameter `{name}`: JSON can not be made into {unknown!r}; take simpler types or a msgspec.Struct"
        )


def _custom_types(info: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the types inside ``info`` that msgspec would only accept from a hook, which payloads do not have."""
    if isinstance(info, msgspec.inspect.CustomType):
        yield info.cls
    elif isinstance(info, tuple):
        for part in info:
            yield from _custom_types(part, seen)
    elif isinstance(info, (msgspec.inspect.Type, msgspec.inspect.Field)) and id(info) not in seen:
        seen.add(id(info))
        for field in info.__struct_fields__:
            yield from _custom_types(getattr(info, field), seen)
