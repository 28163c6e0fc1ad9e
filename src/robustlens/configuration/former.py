"""Keys of former versions, which are answered with what they are now."""

import re
from typing import Any

from robustlens.errors import RobustlensError

# The cohorts are those of the one study that there was when each had a key of its own. Studies since then have only
# known `cohorts`, so none is added here.
# Where a key stood, and what it is now. `*` is any name; the n-th one is `{n}` of the answer.
FORMER = {
    "studies.*.recipes": "studies.{0}.cohorts.main.recipes",
    "studies.*.attack_energies": "studies.{0}.cohorts.attack-energies",
    "studies.*.generation": "studies.{0}.cohorts.generation",
    "studies.*.generation_grid": "studies.{0}.cohorts.generation-grid",
    "studies.*.further": "studies.{0}.cohorts.further",
    "studies.*.subsets": "studies.{0}.cohorts.subsets",
    "suites.*.batch_size": "datasets.<dataset>.evaluation.batch_size",
    "datasets.*.threat.*": "the name of an entry of `threats`, which has norm, epsilon and step_size",
}


def refuse(tree: dict[str, Any], where: str) -> None:
    """Raise RobustlensError for a former key of a configuration; `where` names its file."""
    for pattern, now in FORMER.items():
        for place in _found(tree, pattern.split("."), ()):
            names = [name for name, part in zip(place, pattern.split("."), strict=True) if part == "*"]
            shown = re.sub(r"\.\*$", "", pattern)
            place = ".".join(place[: len(shown.split("."))])
            raise RobustlensError(f"config.{place}: now {now.format(*names)} ({where})")


def _found(tree: Any, pattern: list[str], place: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The places of a tree that are like the pattern."""
    if not pattern:
        return [place]
    if not isinstance(tree, dict):
        return []
    first, *rest = pattern
    keys = [key for key in tree if first in ("*", key)]
    return [found for key in keys for found in _found(tree[key], rest, (*place, str(key)))]
