"""Ways to write a value that have one meaning only, and become the usual way."""

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

from robustlens.configuration.reading import Config

QUOTIENT = re.compile(r"\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*/\s*([0-9]+\.?[0-9]*|\.[0-9]+)\s*")
FRACTION = "fraction_of_range"  # among the schema's $defs
CHECKSUM = "^[0-9a-f]{"  # how the patterns of the schema's checksums begin
SWITCH = {True: "on", False: "off"}  # YAML reads `on` as true


def accept(config: Config, schema: Config) -> None:
    """Replace such values in `config`: 8.0/255 and 8 / 255 for 8/255, Linf and L_inf for linf, a checksum in capitals.

    What has no or several meanings stays as it is, to be refused.
    """
    _accept(config, schema, schema["$defs"])
    for recipe in _mappings(config.get("recipes")):
        _accept(recipe.get("training"), schema["$defs"]["training"], schema["$defs"])


def _mappings(tree: Any) -> list[Config]:
    return [value for value in tree.values() if isinstance(value, dict)] if isinstance(tree, dict) else []


def _accept(tree: Any, schema: Config, definitions: Config) -> None:
    for form in _forms(schema, definitions):
        if isinstance(tree, dict):
            others = form.get("additionalProperties")
            for key, value in tree.items():
                below = form.get("properties", {}).get(key, others)
                if isinstance(below, dict):
                    tree[key] = _usual(value, below, definitions)
                    _accept(tree[key], below, definitions)
        elif isinstance(tree, list) and "items" in form:
            for number, value in enumerate(tree):
                tree[number] = _usual(value, form["items"], definitions)
                _accept(tree[number], form["items"], definitions)


def _forms(schema: Config, definitions: Config) -> Iterator[Config]:
    """The schema, what it refers to, and the forms that it chooses from."""
    yield schema
    if "$ref" in schema:
        yield from _forms(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    for branch in schema.get("oneOf", []):
        yield from _forms(branch, definitions)


def _usual(value: Any, schema: Config, definitions: Config) -> Any:
    for form in _forms(schema, definitions):
        if isinstance(value, str) and form is definitions[FRACTION]:
            return _fraction(value)
        if isinstance(value, (str, bool)) and "enum" in form and value not in form["enum"]:
            return _one_of(form["enum"], value)
        if isinstance(value, str) and form.get("pattern", "").startswith(CHECKSUM):
            return value.strip().lower()
    return value


def _fraction(text: str) -> str:
    if not (match := QUOTIENT.fullmatch(text)):
        return text
    above, below = map(Decimal, match.groups())
    if above == above.to_integral_value() and below == below.to_integral_value():
        return f"{int(above)}/{int(below)}"
    return "{}/{}".format(*(Fraction(above) / Fraction(below)).as_integer_ratio()) if below else text


def _one_of(names: list[Any], value: str | bool) -> Any:
    value = SWITCH[value] if isinstance(value, bool) else value
    alike = [name for name in names if isinstance(name, str) and _bare(name) == _bare(value) != ""]
    return alike[0] if len(alike) == 1 else value


def _bare(name: str) -> str:
    """Without what people write differently: capitals, hyphens, underscores and spaces."""
    return re.sub(r"[-_\s]", "", name.replace("∞", "inf")).lower()
