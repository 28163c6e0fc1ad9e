"""Whether the fields of a declaration hold what they are annotated with: a string in place of a tuple of strings would
otherwise be read letter by letter."""

import dataclasses
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

WORDS = {str: "a string", bool: "True or False", NoneType: "None", Callable: "a function"}


def mistakes(declared: Any) -> Iterator[str]:
    """A sentence for every field of a dataclass that holds something else, such as "`per` must be a tuple of strings,
    not 'dataset'"."""
    annotated = get_type_hints(type(declared))
    for field in dataclasses.fields(declared):
        yield from _mistakes(getattr(declared, field.name), annotated[field.name], f"`{field.name}`")


def _mistakes(value: Any, expected: Any, where: str) -> Iterator[str]:
    """Of a mapping, list or tuple, those of its parts. Parts that are declarations are looked into by their own call of
    `mistakes`."""
    chosen = next((one for one in _alternatives(expected) if _fits(value, one)), None)
    of_parts = get_args(chosen)
    if chosen is None:
        yield f"{where} must be {_words(expected)}, not {reprlib.repr(value)}"
    elif get_origin(chosen) is Mapping:
        for name, part in value.items():
            yield from _mistakes(name, of_parts[0], f"{where}: a name")
            yield from _mistakes(part, of_parts[1], f"{where}: {name!r}")
    elif get_origin(chosen) in (Sequence, tuple):
        for part in value:
            yield from _mistakes(part, of_parts[0], f"{where}: an entry")


def _alternatives(expected: Any) -> tuple[Any, ...]:
    return get_args(expected) if isinstance(expected, UnionType) else (expected,)


def _fits(value: Any, kind: Any) -> bool:
    """Whatever its parts are."""
    kind = get_origin(kind) or kind
    return isinstance(value, kind) and not (kind is Sequence and isinstance(value, str))


def _words(expected: Any) -> str:
    *others, last = map(_of_one, _alternatives(expected))
    return f"{', '.join(others)} or {last}" if others else last


def _of_one(kind: Any) -> str:
    origin, of_parts = get_origin(kind) or kind, get_args(kind)
    if origin is Mapping:
        return f"a mapping from {_plural(of_parts[0])} to {_words(of_parts[1])}"
    if origin in (Sequence, tuple):
        return f"a {'tuple' if origin is tuple else 'list'} of {_plural(of_parts[0])}"
    return WORDS.get(origin, f"{origin.__name__}(...)")


def _plural(kind: Any) -> str:
    return "strings" if kind is str else _words(kind)
