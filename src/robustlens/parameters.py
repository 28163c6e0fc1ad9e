"""Parameters of the components (methods, attacks, architectures, datasets, generators), declared where they are used.

A component is a file with one frozen dataclass; its fields are its parameters, with one of the types below. The
configuration is checked against those fields by reading the file's syntax tree: no component, and so no torch,
is imported to find out that `betta` should be `beta`.
"""

import ast
import copy
import difflib
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

from robustlens.errors import RobustlensError

PACKAGE = Path(__file__).parent
# What a component of a group is called in a message.
KINDS = {
    "methods": "method",
    "observers": "observer",
    "attacks": "attack",
    "models": "architecture",
    "heads": "head",
    "data": "dataset reader",
    "generators": "generator",
    "corrections": "correction",
    "generation": "sampler",
}


@dataclass(frozen=True)
class Kind:
    """What a parameter may be: `accepts(value)` decides, `meaning` completes "must be ..."."""

    accepts: Callable[[Any], bool]
    meaning: str


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def OneOf(*names: str) -> Kind:
    return Kind(lambda v: v in names, "one of " + ", ".join(names))


def OrNull(kind: Kind) -> Kind:
    return Kind(lambda v: v is None or kind.accepts(v), f"{kind.meaning}, or null")


Number = Kind(_number, "a number")
Positive = Kind(lambda v: _number(v) and v > 0, "a number above 0")
NonNegative = Kind(lambda v: _number(v) and v >= 0, "a number of at least 0")
Fractional = Kind(lambda v: _number(v) and 0 <= v <= 1, "a number between 0 and 1")
PositiveInt = Kind(lambda v: _integer(v) and v > 0, "a whole number above 0")
NonNegativeInt = Kind(lambda v: _integer(v) and v >= 0, "a whole number of at least 0")
PositiveInts = Kind(
    lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(_integer(i) and i > 0 for i in v),
    "a list of whole numbers above 0",
)
Numbers = Kind(lambda v: isinstance(v, (list, tuple)) and len(v) > 0 and all(map(_number, v)), "a list of numbers")
Name = Kind(lambda v: isinstance(v, str) and v != "", "a name")
Names = Kind(lambda v: isinstance(v, (list, tuple)) and all(map(Name.accepts, v)), "a list of names")
Flag = Kind(lambda v: isinstance(v, bool), "true or false")


@dataclass(frozen=True)
class Component:
    """One component as its file declares it: where it is, which parameters it takes, and for a method the names of the
    frozen networks of other runs that it needs (GIVEN), of the networks of other architectures that it trains (PARTS),
    of the further classifiers that it deploys (ALSO) and of the head that its classifier must have (HEAD)."""

    group: str
    name: str
    module: str
    class_name: str
    kinds: dict[str, Kind]
    defaults: dict[str, Any]
    given: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    head: str | None = None


def names(group: str) -> list[str]:
    """The names of all components of a group, one of KINDS."""
    found = []
    for path in sorted((PACKAGE / group).glob("*.py")):
        if path.stem != "__init__" and _component_class(path) is not None:
            found.append(path.stem.replace("_", "-"))
    return found


def component(group: str, name: str, where: str) -> Component:
    """The component `name` of `group`; an unknown name is an error that names the nearest valid one.

    where: the place in the configuration that asks for it, for the message.
    """
    if name not in names(group):
        raise RobustlensError(f"{where}: unknown {KINDS[group]} {name!r}{nearest(name, names(group))}")
    return _read(group, name)


def resolve(group: str, name: str, given: dict[str, Any], where: str) -> dict[str, Any]:
    """All parameters of a component: the given ones, checked, and the defaults of the others."""
    spec = component(group, name, where)
    for key, value in given.items():
        if key not in spec.kinds:
            raise RobustlensError(f"{where}: {name} has no parameter {key!r}{nearest(key, list(spec.kinds))}")
        if not spec.kinds[key].accepts(value):
            raise RobustlensError(f"{where}.{key}: must be {spec.kinds[key].meaning}, got {value!r}")
    missing = [key for key in spec.kinds if key not in given and key not in spec.defaults]
    if missing:
        raise RobustlensError(f"{where}: {name} needs the parameter {missing[0]!r}")
    return {**copy.deepcopy(spec.defaults), **given}


def create(group: str, name: str, given: dict[str, Any]) -> Any:
    """The component's object, ready to use. Imports its module."""
    parameters = resolve(group, name, given, where=f"{group}.{name}")
    spec = _read(group, name)
    parameters = {k: tuple(v) if isinstance(v, list) else v for k, v in parameters.items()}
    return getattr(importlib.import_module(spec.module), spec.class_name)(**parameters)


def nearest(name: str, valid: list[str]) -> str:
    """The end of an error message: the closest valid name, or all of them."""
    valid = list(map(str, valid))  # YAML reads some names as numbers
    close = difflib.get_close_matches(str(name), valid, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; valid are: {', '.join(sorted(valid)) or 'none'}"


def fraction(value: float | str) -> float:
    """8/255 written as such in the configuration, or a plain number."""
    return float(Fraction(value)) if isinstance(value, str) else float(value)


@cache
def _read(group: str, name: str) -> Component:
    path = PACKAGE / group / f"{name.replace('-', '_')}.py"
    node = _component_class(path)
    kinds, defaults, needs = {}, {}, {"GIVEN": (), "PARTS": (), "ALSO": (), "HEAD": None}
    for field in node.body:
        if isinstance(field, ast.Assign) and ast.unparse(field.targets[0]) in needs:
            needs[ast.unparse(field.targets[0])] = ast.literal_eval(field.value)
        if isinstance(field, ast.AnnAssign):
            kinds[field.target.id] = eval(ast.unparse(field.annotation), {"__builtins__": {}}, globals())
            if field.value is not None:
                default = ast.literal_eval(field.value)
                defaults[field.target.id] = list(default) if isinstance(default, tuple) else default
    return Component(group, name, f"robustlens.{group}.{path.stem}", node.name, kinds, defaults, *needs.values())


@cache
def _component_class(path: Path) -> ast.ClassDef | None:
    """The file's first class with the decorator @dataclass(frozen=True) whose fields are all of the kinds above."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if (
            isinstance(node, ast.ClassDef)
            and any(ast.unparse(decorator) == "dataclass(frozen=True)" for decorator in node.decorator_list)
            and all(_is_kind(field.annotation) for field in node.body if isinstance(field, ast.AnnAssign))
        ):
            return node
    return None


def _is_kind(annotation: ast.expr) -> bool:
    """Whether a field's annotation is one of the kinds above, such as `Positive` or `OneOf("ce", "kl")`."""
    if isinstance(annotation, ast.Call):
        return ast.unparse(annotation.func) in (OneOf.__name__, OrNull.__name__)
    return isinstance(globals().get(ast.unparse(annotation)), Kind)
