"""Write docs/configuration.md from the schema and from the parameters that components declare."""

import argparse
import ast
from pathlib import Path

import yaml

from robustlens.parameters import PACKAGE, component, names

ROOT = Path(__file__).parent.parent
GROUPS = {
    "methods": "Methods, for `recipes.<name>.method`",
    "attacks": "Attacks, for `attacks.<name>.family`",
    "models": "Architectures, for `architecture.family`",
    "data": "Dataset readers, for `datasets.<name>.reader`",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "configuration.md")
    parser.parse_args().output.write_text(page())


def page() -> str:
    """The whole page, as Markdown."""
    schema = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
    lines = [
        "# Configuration",
        "",
        "Written by `scripts/document_configuration.py` from `schemas/config.schema.yaml` and from the components.",
        "",
        "`config.yaml` holds entries that every scale shares, and under `scales` an overlay a scale: mappings are",
        "merged key by key (one of another `name`, `kind`, `family` or `method` as a whole), everything else is",
        "replaced. The result of that merge has these keys:",
        "",
        "| key | what | default |",
        "|---|---|---|",
        *(f"| `{key}` | {what} | {default} |" for key, what, default in rows(schema, schema, "")),
        "",
        "A recipe's `training` and `architecture` entries replace those of its dataset.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {title}", ""]
        for name in names(group):
            lines.append(f"* `{name}`: {summary(group, name)}{parameters(group, name)}")
    lines += ["", "## Sampler, for `datasets.<name>.generation.sampler`", ""]
    lines.append(f"* {summary('generation', 'sampler')}{parameters('generation', 'sampler')}")
    return "\n".join(lines) + "\n"


def rows(schema: dict, node: dict, path: str) -> list[tuple[str, str, str]]:
    """(key, what it is, default) of everything below a node of the schema."""
    found = []
    for key, child in node.get("properties", {}).items():
        resolved = {**schema["$defs"].get(child.get("$ref", "").removeprefix("#/$defs/"), {}), **child}
        where = f"{path}.{key}" if path else key
        default = f"`{resolved['default']}`" if "default" in resolved else ""
        if "const" not in resolved:
            found.append((where, describe(schema, resolved), default))
        if isinstance(resolved.get("additionalProperties"), dict):
            entry = resolved["additionalProperties"]
            entry = {**schema["$defs"].get(entry.get("$ref", "").removeprefix("#/$defs/"), {}), **entry}
            found += rows(schema, entry, f"{where}.<name>")
        found += rows(schema, resolved, where)
        for branch in resolved.get("oneOf", []):
            found += rows(schema, branch, where)
    return list(dict.fromkeys(found))


def describe(schema: dict, node: dict) -> str:
    """The description of a key and what values it takes."""
    words = [node["description"].rstrip(".") + "."] if "description" in node else []
    kind = node.get("type", "")
    if "enum" in node:
        words.append("One of " + ", ".join(f"`{value}`" for value in node["enum"]) + ".")
    elif kind == "array":
        words.append("A list.")
    elif kind and kind != "object":
        words.append(
            {"integer": "A whole number", "boolean": "true or false", "string": "A name"}.get(str(kind), "A number")
        )
        limits = [("minimum", "at least"), ("exclusiveMinimum", "above"), ("exclusiveMaximum", "below")]
        bounds = [f"{text} {node[limit]}" for limit, text in limits if limit in node]
        words[-1] += (", " + ", ".join(bounds) if bounds else "") + "."
    return " ".join(words)


def summary(group: str, name: str) -> str:
    """The first line of the component's file."""
    path = PACKAGE / group / f"{name.replace('-', '_')}.py"
    return ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]


def parameters(group: str, name: str) -> str:
    spec = component(group, name, where="documentation")
    listed = [f"`{key}` ({kind.meaning}{default(spec.defaults, key)})" for key, kind in spec.kinds.items()]
    return " Parameters: " + "; ".join(listed) + "." if listed else ""


def default(defaults: dict, key: str) -> str:
    return f", default {defaults[key]}" if key in defaults else ""


if __name__ == "__main__":
    main()
