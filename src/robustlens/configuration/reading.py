"""Configuration files, read strictly and merged into one mapping.

The order, in which later ones win: the top level of every shipped file (config.yaml, then those of the
studies), the chosen scale of every shipped file, then of each given file (`--configfile`) its top level and its chosen
scale, and `--config` at the end.
"""

import contextlib
import copy
import json
import re
from collections import ChainMap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from robustlens.configuration import former
from robustlens.errors import RobustlensError
from robustlens.parameters import nearest

Config = dict[str, Any]

# What the other keys of a mapping mean depends on the value of these.
IDENTITIES = ("name", "kind", "family", "method")
NO_SCALES = ("downloads", "receipts")  # folders of results/ beside those of the scales
# Entries that two shipped files may only define equally.
SHARED = (
    *("threats", "recipes", "attacks", "generators", "corrections", "certifications"),
    *("datasets", "models", "suites"),
)


@dataclass(frozen=True)
class File:
    """What a configuration file says; `name` is for messages."""

    name: str
    content: Config

    @property
    def top(self) -> Config:
        return {key: value for key, value in self.content.items() if key != "scales"}

    @property
    def scales(self) -> Config:
        return self.content.get("scales") or {}

    def at(self, scale: str) -> Config:
        """The overlay that this file has for a scale."""
        return self.scales.get(scale) or {}


def combined(shipped: Sequence[Path], given: Sequence[Path], entries: Mapping[str, Any]) -> Config:
    """All files and `--config` entries merged for the chosen scale; a null that stands somewhere is still in it.

    Raises RobustlensError for a file that can't be read, an unknown scale, a key of a former version, and shipped files
    that contradict one another.
    """
    ours = [_file(path) for path in shipped]
    theirs = [*(_file(path) for path in given), _entries(entries)]
    scale = _scale([*ours, *theirs])
    _refuse_contradictions(ours, scale)
    layers = [(file.name, file.top) for file in ours]
    layers += [(file.name, file.at(scale)) for file in ours]
    layers += [layer for file in theirs for layer in ((file.name, file.top), (file.name, file.at(scale)))]
    config: Config = {}
    for name, layer in layers:
        former.refuse(layer, name)
        config = _without_lost_attacks(config, layer, merge(config, layer))
    if isinstance(config.get("datasets"), dict):
        config["datasets"] = _in_order(config["datasets"], [*ours, *theirs], scale)
    return config | {"scale": scale}


def _in_order(datasets: Config, files: list[File], scale: str) -> Config:
    """By the first file that defines them, but one that is `like` another after that. Of several datasets with the
    same images the first gives its name to their folder: no study's may come before the one that was there."""
    defined = [_defined(file, "datasets", scale) for file in files]
    ordered: Config = {}

    def add(name: str, above: tuple[str, ...] = ()) -> None:
        model = _mapping(datasets, name).get("like")
        if isinstance(model, str) and model in datasets and model not in above:
            add(model, (*above, name))
        ordered.setdefault(name, datasets[name])

    for name in sorted(datasets, key=lambda name: next(n for n, names in enumerate(defined) if name in names)):
        add(name)
    return ordered


def scales(shipped: Sequence[Path], given: Sequence[Path]) -> list[str]:
    """The names of all scales, in the order of the files."""
    return list(dict.fromkeys(name for path in (*shipped, *given) for name in _file(path).scales))


def merge(base: Any, overlay: Any) -> Any:
    """`overlay` on top of `base`: mappings are merged key by key, everything else is replaced. So is a mapping that is
    about something else than the one below it, such as a `schedule` of another `name`."""
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    for key in IDENTITIES:
        if isinstance(overlay.get(key), str) and key in base and overlay[key] != base[key]:
            return overlay
    return base | {key: merge(base[key], value) if key in base else value for key, value in overlay.items()}


def without_nulls(tree: Any) -> Any:
    """A copy in which nothing is shared and in which no mapping has a key whose value is null."""
    if isinstance(tree, dict):
        return {key: without_nulls(value) for key, value in tree.items() if value is not None}
    return [without_nulls(value) for value in tree] if isinstance(tree, list) else tree


def cleaned(config: Config) -> Config:
    """A copy without nulls, except in what recipes put in place of a dataset's training: there they remove something
    when both are merged."""
    found, recipes = without_nulls(config), config.get("recipes")
    for name, recipe in recipes.items() if isinstance(recipes, dict) else ():
        if isinstance(recipe, dict) and isinstance(recipe.get("training"), dict):
            found["recipes"][name]["training"] = copy.deepcopy(recipe["training"])
    return found


def _without_lost_attacks(before: Config, overlay: Config, merged: Config) -> Config:
    """A suite whose list of attacks the overlay replaces keeps no `samples` and `best_only` of those that it lost; what
    the overlay itself says of them stays, to be refused."""
    for name in _mapping(overlay, "suites"):
        old, new = _mapping(_mapping(before, "suites"), name).get("attacks"), _mapping(overlay["suites"], name)
        if not (isinstance(old, list) and isinstance(new.get("attacks"), list)):
            continue
        lost = [attack for attack in old if attack not in new["attacks"]]
        kept = dict(merged["suites"][name])
        if isinstance(kept.get("samples"), dict):
            said = _mapping(new, "samples")
            kept["samples"] = {key: n for key, n in kept["samples"].items() if key not in lost or key in said}
        if isinstance(kept.get("best_only"), list) and "best_only" not in new:
            kept["best_only"] = [attack for attack in kept["best_only"] if attack not in lost]
        merged = merged | {"suites": merged["suites"] | {name: kept}}
    return merged


def _mapping(tree: Config, key: str) -> Config:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}


def added(shipped: Sequence[Path], given: Sequence[Path], section: str, scale: str) -> list[str]:
    """The names that the given files define in a section, and no shipped file does."""
    ours, theirs = (
        dict(ChainMap(*(_defined(_file(path), section, scale) for path in paths))) for paths in (shipped, given)
    )
    return sorted(map(str, theirs.keys() - ours.keys()))


# Scales and shipped files ---------------------------------------------------------------------------------------------


def chosen_scale(shipped: Sequence[Path], given: Sequence[Path], entries: Mapping[str, Any]) -> str:
    """The name of the scale that these files and entries choose. Raises RobustlensError as `combined`."""
    return _scale([*(_file(path) for path in (*shipped, *given)), _entries(entries)])


def _scale(files: list[File]) -> str:
    """The scale that the last file to name one names; some file has an overlay for it."""
    scale = next((file.content["scale"] for file in reversed(files) if file.content.get("scale") is not None), None)
    known = list(dict.fromkeys(name for file in files for name in file.scales))
    if not isinstance(scale, str) or scale not in known:
        raise RobustlensError(f"config: unknown scale {scale!r}{nearest(scale, known)}")
    if scale in NO_SCALES:
        raise RobustlensError(f"config.scales.{scale}: results/{scale}/ is what all scales share; give it another name")
    return scale


def _refuse_contradictions(files: list[File], scale: str) -> None:
    """Studies share what is in config.yaml and what they define equally; none changes what another one uses."""
    for number, file in enumerate(files):
        if number > 0:
            _refuse_foreign(file)
        for earlier in files[:number]:
            for section in SHARED:
                ours, theirs = (_defined(other, section, scale) for other in (earlier, file))
                for name in ours.keys() & theirs.keys():
                    if ours[name] != theirs[name]:
                        raise RobustlensError(
                            f"{file.name}: config.{section}.{name} is defined otherwise in {earlier.name}; give one of "
                            "them another name, so that no study changes what another one uses"
                        )


def _refuse_foreign(file: File) -> None:
    """A study's own file names no scale, and nothing of other studies."""
    own = Path(file.name).parent.name.replace("_", "-")
    if "scale" in file.content:
        raise RobustlensError(f"{file.name}: config.scale: a study's file can't choose a scale; remove the line")
    for overlay in (file.top, *(file.at(scale) for scale in file.scales)):
        for name in _mapping(overlay, "studies"):
            if name != own:
                raise RobustlensError(f"{file.name}: config.studies.{name}: this file is of the study {own} alone")


def _defined(file: File, section: str, scale: str) -> Config:
    return merge(_mapping(file.top, section), _mapping(file.at(scale), section))


# Files ----------------------------------------------------------------------------------------------------------------


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
    """libyaml's where it is there, which is ten times as fast."""


# YAML 1.1 asks for a point in 5e-4, YAML 1.2 and everyday usage do not.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)
MERGE_KEY = "tag:yaml.org,2002:merge"
NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
DECIMAL = re.compile(r"[-+]?[0-9]+")
ENTRIES = "--config"  # what messages call them


def read_yaml(path: Path) -> Any:
    """A YAML or JSON file, in which 5e-4 is a number and no mapping has a key twice.

    Raises RobustlensError that names the file, and the line where there is one.
    """
    try:
        text = Path(path).read_bytes()
        with contextlib.suppress(ValueError):  # no JSON, or a key occurs twice: YAML knows the lines
            if text.lstrip().startswith(b"{"):
                return json.loads(text, object_pairs_hook=_once)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_twice(node, loader, str(path))
        return loader.construct_document(node)
    except OSError as error:
        raise RobustlensError(f"{path}: can't be read: {error.strerror or error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of a date that is none
        raise RobustlensError(f"{path}: is not valid YAML: {_in_one_line(error)}") from error


def refuse_twice(text: str, where: str) -> None:
    """Raise for YAML in which a mapping has a key twice. What is no YAML is a text."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
    except yaml.YAMLError:
        return
    if node is not None:
        _refuse_twice(node, loader, where)


def _once(pairs: list[tuple[str, Any]]) -> Config:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return dict(pairs)


def _refuse_twice(root: yaml.Node, loader: _Loader, where: str) -> None:
    """Raise for a mapping that has a key twice, of which YAML would keep the last silently, and for a mapping or
    list that contains itself."""
    done: set[int] = set()

    def visit(node: yaml.Node, above: tuple[int, ...]) -> None:
        if id(node) in above:
            raise RobustlensError(f"{where}: the entry on line {_line(node)} contains itself")
        if isinstance(node, yaml.ScalarNode):
            _refuse_surprise(node, loader, f"{where}: line {_line(node)}")
        if id(node) in done or isinstance(node, yaml.ScalarNode):
            return
        done.add(id(node))
        pairs = node.value if isinstance(node, yaml.MappingNode) else [(item, item) for item in node.value]
        lines: dict[Any, int] = {}
        for key, value in pairs:
            if isinstance(node, yaml.MappingNode) and isinstance(key, yaml.ScalarNode) and key.tag != MERGE_KEY:
                name = loader.construct_object(key)
                if name in lines:
                    first, second = lines[name], _line(key)
                    on = f"line {first}" if first == second else f"lines {first} and {second}"
                    raise RobustlensError(f"{where}: the key {name!r} occurs twice, on {on}; join them")
                lines[name] = _line(key)
            visit(value, (*above, id(node)))

    visit(root, ())


def _refuse_surprise(node: yaml.ScalarNode, loader: _Loader, where: str) -> None:
    """Raise for a number that YAML 1.1 reads as another one than everybody: 010 is 8 to it, and 1:30 is 90."""
    if not node.style and node.tag in NUMBERS:  # without quotation marks
        read, written = loader.construct_object(node), node.value.replace("_", "")
        if ":" in written or (DECIMAL.fullmatch(written) and int(written) != read):
            raise RobustlensError(f"{where}: {node.value} would be read as {read}; write the number that you mean")


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _in_one_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split())
    place = f"line {mark.line + 1}, column {mark.column + 1}"
    return f"{place}: {' '.join(filter(None, (error.problem, error.context)))}"


def compose(path: Path) -> yaml.Node | None:
    """A file that can be read, as nodes that know their lines."""
    return yaml.compose(Path(path).read_bytes(), Loader=_Loader)


def _entries(entries: Mapping[str, Any]) -> File:
    return _checked(File(ENTRIES, _typed(dict(entries))))


def _file(path: Path) -> File:
    return _checked(File(str(path), read_yaml(path)))


def _checked(file: File) -> File:
    content = {} if file.content is None else file.content
    if not isinstance(content, dict):
        raise RobustlensError(f"{file.name}: its top level is not a mapping of keys to values, but {_short(content)}")
    scales = content.get("scales")
    if not isinstance(scales, (dict, type(None))):
        raise RobustlensError(f"config.scales: {_short(scales)} is not a mapping of names to overlays ({file.name})")
    for name, overlay in (scales or {}).items():
        if not isinstance(overlay, (dict, type(None))):
            raise RobustlensError(f"config.scales.{name}: {_short(overlay)} is not a mapping ({file.name})")
    return File(file.name, content)


def _short(value: Any) -> str:
    return repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}..."


def _typed(entries: Config) -> Config:
    """`--config` entries as a file would have them: Snakemake reads all that is inside of a mapping as text."""
    loader = _Loader("")

    def typed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: typed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [typed(inner) for inner in value]
        if not isinstance(value, str):
            return value
        node = yaml.ScalarNode(loader.resolve(yaml.ScalarNode, value, (True, False)), value)
        _refuse_surprise(node, loader, ENTRIES)
        return loader.construct_object(node)

    return {key: typed(value) if isinstance(value, (dict, list)) else value for key, value in entries.items()}
