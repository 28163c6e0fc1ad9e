"""Where a message about the configuration belongs in the files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from robustlens.configuration import reading
from robustlens.errors import RobustlensError

KEY = re.compile(r"unknown key '([^']+)'|has no parameter '([^']+)'|^'([^']+)' does not match")


class Found(NamedTuple):
    """How many characters of a place in the configuration an entry has, its line, if it is in a file, and whether it is
    a section of many entries, which says nothing."""

    length: int
    line: int
    section: bool


NOTHING = Found(0, 0, section=True)


def with_place(message: str, shipped: Sequence[Path], given: Sequence[Path], entries: Mapping[str, Any]) -> str:
    """A message that begins with a place in the configuration, such as "config.attacks.pgd20: ...", with the file and
    the line of the last entry that says something there. Any other message stays as it is.

    shipped, given, entries: see `configuration.load`.
    """
    place, colon, rest = message.partition(": ")
    if not colon or " " in place or not place.startswith("config"):
        return message
    place = place.removeprefix("config")
    key = next((f".{name}" for match in [KEY.search(rest)] if match for name in match.groups() if name), "")
    try:
        sources = list(_sources(shipped, given, entries))
    except (RobustlensError, yaml.YAMLError):  # a file that can't be read is told of in the message itself
        return message
    found = [(source, _find(node, place + key)) for source, node in sources]
    source, best = max(found, key=lambda pair: pair[1].length, default=("", NOTHING))
    if (best.section and best.length <= len(place)) or source in rest:
        return message
    return f"{message} ({source}, line {best.line})" if source != reading.ENTRIES else f"{message} ({source})"


def _sources(shipped: Sequence[Path], given: Sequence[Path], entries: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The name of a file and a mapping of its, those first that win when all are merged."""
    scale = reading.chosen_scale(shipped, given, entries)
    files = [(_short(path), reading.compose(path)) for path in [*shipped, *given]]
    theirs = [*files[len(shipped) :], (reading.ENTRIES, yaml.compose(yaml.safe_dump(dict(entries))))]
    for name, root in reversed(theirs):
        yield name, _scale(root, scale)
        yield name, root
    for name, root in reversed(files[: len(shipped)]):
        yield name, _scale(root, scale)
    for name, root in reversed(files[: len(shipped)]):
        yield name, root


def _short(path: Path) -> str:
    path = Path(path).absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _scale(root: yaml.Node | None, scale: str) -> yaml.Node | None:
    scales = dict(_entries(root)).get("scales")
    return dict(_entries(scales[1])).get(scale, (None, None))[1] if scales else None


def _find(node: yaml.Node | None, place: str, length: int = 0, line: int = 0, depth: int = 0) -> Found:
    """The deepest entry on the way to a place, such as `.datasets.digits.tracking.energy_epochs[0]`."""
    best = Found(length, line, section=depth == 0 or (depth == 1 and isinstance(node, yaml.MappingNode)))
    for key, (at, value) in _entries(node):
        step = f"[{key}]" if isinstance(node, yaml.SequenceNode) else f".{key}"
        if place.startswith(step) and place[len(step) : len(step) + 1] in ("", ".", "["):
            below = _find(value, place[len(step) :], length + len(step), at, depth + 1)
            best = max(best, below, key=lambda found: found.length)
    return best


def _entries(node: yaml.Node | None) -> Iterator[tuple[Any, tuple[int, yaml.Node]]]:
    """The key or number of each entry of a mapping or list, with its line and value; merged mappings come last."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((number, (_line(value), value)) for number, value in enumerate(node.value))
    if isinstance(node, yaml.MappingNode):
        own = [(key, value) for key, value in node.value if key.tag != reading.MERGE_KEY]
        yield from ((key.value, (_line(key), value)) for key, value in own if isinstance(key, yaml.ScalarNode))
        known = {key.value for key, _ in own}
        for key, value in node.value:
            if key.tag == reading.MERGE_KEY:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                yield from (entry for one in merged for entry in _entries(one) if entry[0] not in known)


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1
