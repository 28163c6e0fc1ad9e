"""Write docs/configuration.md from the schema and from the parameters that components declare."""

import argparse
import ast
import json
from pathlib import Path

import yaml

from robustlens.configuration.former import FORMER
from robustlens.parameters import PACKAGE, component, names

ROOT = Path(__file__).parent.parent
SCHEMA = yaml.safe_load((ROOT / "schemas" / "config.schema.yaml").read_text())
NAME = SCHEMA["$defs"]["name"]["pattern"]
GROUPS = {
    "methods": "Methods, for `recipes.<name>.method`",
    "attacks": "Attacks, for `attacks.<name>.family`",
    "models": "Architectures, for `architecture.family`",
    "generators": "Generators, for `generators.<name>.family`",
    "corrections": "Corrections of the last layer, for `corrections.<name>.family`",
    "certification": "Certifications, for `certifications.<name>.family`",
    "observers": "Observers, for `recipes.<name>.observers`",
    "data": "Dataset readers, for `datasets.<name>.reader`",
}
KINDS = {
    "string": "Text",
    "boolean": "True or false",
    "integer": "A whole number",
    "number": "A number",
    ("integer", "null"): "A whole number",
    ("number", "string"): "A number or a fraction",
    ("string", "integer"): "Text or a whole number",
    ("number", "array"): "A number or a list",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "configuration.md")
    parser.parse_args().output.write_text(page())


MERGING = """
## Several files

`config.yaml` holds what all studies share, `studies/<study>/config.yaml` what one of them adds, and
`snakemake --configfile FILE ...` what you want to change. All have the same form: entries for every scale at the top
level, and under `scales.<name>` what one scale adds or changes. They are merged in this order, and later ones win:

1. the top level of `config.yaml`, then of the studies' files in alphabetical order;
2. `scales.<scale>` of these files, in the same order;
3. each file given by `--configfile`, in the order of the command line: its top level, then its `scales.<scale>`;
4. `--config KEY=VALUE`.

Several files come after one `--configfile`, and several entries after one `--config`; a second one would replace the
first, and is an error. Targets come before these options, or after `--`: `snakemake energy --configfile a.yaml b.yaml`.

`scale` is what the last of them says. A file of yours may define a scale of its own.

How one mapping is merged over another:

* Keys are merged one by one, and mappings below them in the same way. Lists and single values are replaced.
* A mapping whose `family`, `kind`, `name` or `method` changes is replaced as a whole: parameters of PGD mean nothing to
  another attack. So `recipes: {trades: {method: mail-trades}}` has the defaults of MAIL-TRADES, and not the label of
  TRADES.
* `null` removes a key, as if it had not been written, and its default applies. `studies: {<study>: null}` takes a study
  out of a scale. In a dataset that is `like` another one, `null` also drops the other's entry.
* A suite whose `attacks` are replaced by a list without some of them loses their `samples` and `best_only`, too; so
  `suites: {robustness: {attacks: [clean, pgd20]}}` drops AutoAttack. `samples: {autoattack: null}` gives an attack all
  test images.

The files of this repository may not contradict one another: where two of them define the same threat, recipe, attack,
generator, certification, dataset, model or suite, the definitions must be equal, and a study's file mentions no other
study. A key that occurs twice in one mapping is an error. An error names the file and the line that it is about.

## Values

Images are in [0, 1], and so are all lengths and normalisations: an epsilon of 8 of 255 levels is `8/255`, and `8` is
refused. Numbers may be written as `5e-4`, fractions as `8 / 255` or `8.0/255`; `010` and `1:30`, which YAML reads as 8
and 90, are refused. Where there is a choice of words, capitals, hyphens and underscores don't matter: `Linf`, `L_inf`
and `linf` are the same norm. Checksums may be in capitals. The parameters of a component (a method, an attack, an
architecture, ...) are written as its file has them.

## Keys

The result of merging has these keys; any other one is an error.
"""


def page() -> str:
    """The whole page, as Markdown."""
    lines = [
        "# Configuration",
        "",
        "Written by `scripts/document_configuration.py` from `schemas/config.schema.yaml` and from the components.",
        MERGING,
        "| key | what | default |",
        "|---|---|---|",
        *(f"| `{key}` | {what} | {default} |" for key, what, default in rows(SCHEMA, "")),
        "",
        "A recipe's `training` and `architecture` entries replace those of its dataset. A dataset that says",
        "`like: <name>` takes over what it does not say itself, except for `title`, `archives` and `classes` if it has",
        "another reader, and for `title` if it has `archives` of its own. Datasets that are read in the same way from",
        "the same archives, with the same splits and classes, share their prepared images, whatever their `crop`.",
        "",
        "A colour and a marker together tell recipes apart in figures; labels and titles must be printable by LaTeX.",
        "No two recipes of one table or figure may have the same label.",
    ]
    for group, title in GROUPS.items():
        lines += ["", f"## {title}", ""]
        for name in names(group):
            lines.append(f"* `{name}`: {summary(group, name)}{parameters(group, name)}")
    lines += ["", "## Sampler, for `datasets.<name>.generation.sampler`", ""]
    lines.append(f"* {summary('generation', 'sampler')}{parameters('generation', 'sampler')}")
    lines += ["", "## Former keys", "", "They are errors that name the new key.", "", "| formerly | now |", "|---|---|"]
    for key, now in FORMER.items():
        lines.append(f"| `{key.removesuffix('.*').replace('*', '<name>')}` | {former(now)} |")
    return "\n".join(lines) + "\n"


def former(now: str) -> str:
    return f"`{now.format('<name>')}`" if " " not in now else now


def rows(node: dict, path: str) -> list[tuple[str, str, str]]:
    """(key, what it is, default) of everything below a node of the schema."""
    found = []
    for key, child in node.get("properties", {}).items():
        resolved = followed(child)
        where = f"{path}.{key}" if path else key
        default = f"`{json.dumps(resolved['default'])}`" if "default" in resolved else ""
        if "const" not in resolved:
            found.append((where, describe(resolved), default))
        if isinstance(resolved.get("additionalProperties"), dict):
            found += rows(followed(resolved["additionalProperties"]), f"{where}.<name>")
        found += rows(resolved, where)
        for branch in resolved.get("oneOf", []):
            found += rows(branch, where)
    return list(dict.fromkeys(found))


def followed(node: dict) -> dict:
    """A node with what its `$ref` has that it does not have itself."""
    while "$ref" in node:
        target = SCHEMA["$defs"][node["$ref"].removeprefix("#/$defs/")]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return node


def describe(node: dict) -> str:
    """The description of a key and what values it takes."""
    words = [node["description"].rstrip(".") + "."] if "description" in node else []
    kind = node.get("type", "")
    if "enum" in node:
        values = [f"`` {value} ``" if value in "`|" else f"`{value}`" for value in node["enum"]]
        words.append("One of " + ", ".join(value.replace("|", "\\|") for value in values) + ".")
    elif kind == "array":
        words.append("A list.")
    elif kind and kind != "object":
        words.append("A name" if node.get("pattern") == NAME else KINDS[kind if isinstance(kind, str) else tuple(kind)])
        limits = [("minimum", "at least"), ("exclusiveMinimum", "above"), ("exclusiveMaximum", "below")]
        bounds = [f"{text} {node[limit]}" for limit, text in limits if limit in node]
        words[-1] += (", " + ", ".join(bounds) if bounds else "") + "."
    return " ".join(words)


def summary(group: str, name: str) -> str:
    """The first paragraph of the component's file."""
    path = PACKAGE / group / f"{name.replace('-', '_')}.py"
    return ast.get_docstring(ast.parse(path.read_text())).split("\n\n")[0].replace("\n", " ")


def parameters(group: str, name: str) -> str:
    spec = component(group, name, where="documentation")
    listed = [f"`{key}` ({kind.meaning}{default(spec.defaults, key)})" for key, kind in spec.kinds.items()]
    return " Parameters: " + "; ".join(listed) + "." if listed else ""


def default(defaults: dict, key: str) -> str:
    if key not in defaults:
        return ""
    value = defaults[key]
    return f", default {value if isinstance(value, str) else json.dumps(value)}"


if __name__ == "__main__":
    main()
