"""Published numbers, each with its source and how far it can be trusted."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from robustlens.errors import RobustlensError
from robustlens.parameters import fraction, nearest

ANY_ARCHITECTURE = "any"
SECTIONS = ("architectures", "labels", "blocks")
NEEDED = ("source", "trust", "dataset", "architecture", "metrics", "values")
OPTIONAL = ("note", "norm", "epsilon", "deviations")
NORMS = ("linf", "l2")
USUAL = ("linf", fraction("8/255"))  # the ball of nearly all papers: norm and epsilon
METRICS = {"pgd20": "pgd"}  # attacks that papers give another name
UNVERIFIED = "unverified"  # the trust of numbers that must not appear as published
# Those of numbers that nothing is judged by: somebody's note on the paper may be wrong, and a reading off by a point.
UNJUDGED = ("third-party summary", "read off a picture")
UNCOMPARED = "normalisation"  # a network is the same one whatever its input is shifted and scaled by


Ball = tuple[str, float]


@dataclass(frozen=True)
class Published:
    """One number of a paper. trust: where it was read; note: what a reader must know to compare with it. std: what the
    paper prints behind ±, if anything."""

    value: float
    source: str
    trust: str
    note: str = ""
    std: float | None = None


class PublishedNumbers:
    """The numbers of a study's `published.yaml`, found by (dataset, architecture, recipe, metric) and the ball that
    they were measured in, which a block names unless it is the usual one (`norm: l2`, `epsilon: 128/255`). What a paper
    prints behind ± is in `deviations`, which has the form of `values` for some of its recipes.

    path: None gives no numbers. Those of a block whose trust is `unverified` are checked like others, but never found.
    Raises RobustlensError for a key, a norm, an epsilon or an architecture that is not known there, a row with more or
    fewer values or deviations than metrics, what is no number, a deviation below 0 or without a value, and a number
    that is given twice.
    """

    def __init__(self, path: Path | None):
        self.numbers: dict[tuple[str, str, str, str, Ball], Published] = {}
        content = yaml.safe_load(Path(path).read_text()) if path else {}
        _check(content, SECTIONS, f"{path}")
        self._architectures: Mapping[str, Mapping[str, Any]] = content.get("architectures", {})
        self._labels: Mapping[str, str] = content.get("labels", {})
        for number, block in enumerate(content.get("blocks", []), start=1):
            self._read(block, f"{path}, block {number}")

    def _read(self, block: Mapping[str, Any], where: str) -> None:
        _check(block, (*NEEDED, *OPTIONAL), where)
        missing = [key for key in NEEDED if key not in block]
        if missing:
            raise RobustlensError(f"{where}: {missing[0]!r} is missing")
        known = [*self._architectures, ANY_ARCHITECTURE]
        if block["architecture"] not in known:
            name = block["architecture"]
            raise RobustlensError(f"{where}: no architecture {name!r} is described{nearest(name, known)}")
        if block.get("norm", NORMS[0]) not in NORMS:
            raise RobustlensError(f"{where}: no norm {block['norm']!r}{nearest(block['norm'], NORMS)}")
        if "norm" in block and "epsilon" not in block:
            raise RobustlensError(f"{where}: 'epsilon' is missing beside the norm {block['norm']}")
        metrics, deviations = block["metrics"], block.get("deviations", {})
        for what in ("values", "deviations"):
            for recipe, row in block.get(what, {}).items():
                if len(row) != len(metrics):
                    raise RobustlensError(
                        f"{where}: {recipe} has {len(row)} {what} for {len(metrics)} metrics; write null for a number "
                        "that is not known"
                    )
                if wrong := [n for n in row if n is not None and not isinstance(n, int | float)]:
                    raise RobustlensError(f"{where}: {what} of {recipe} must be numbers or null, not {wrong[0]!r}")
        for recipe in deviations:
            if recipe not in block["values"]:
                hint = nearest(recipe, list(block["values"]))
                raise RobustlensError(f"{where}: deviations of {recipe!r}, which has no values{hint}")
        for recipe, values in block["values"].items():
            for metric, value, std in zip(metrics, values, deviations.get(recipe, [None] * len(metrics)), strict=True):
                self._add(where, block, recipe, metric, value, std)

    def _add(
        self, where: str, block: Mapping[str, Any], recipe: str, metric: str, value: float | None, std: float | None
    ) -> None:
        ball = (block.get("norm", USUAL[0]), fraction(block["epsilon"]) if "epsilon" in block else USUAL[1])
        key = (block["dataset"], block["architecture"], recipe, metric, ball)
        if std is not None and (value is None or std < 0):
            problem = "without a value" if value is None else "below 0"
            raise RobustlensError(f"{where}: the deviation of {recipe}'s {metric} is {std:g}, {problem}")
        if value is None:
            return
        if key in self.numbers:
            raise RobustlensError(f"{where}: the number {key} is given twice; keep one")
        if block["trust"] == UNVERIFIED:
            return
        self.numbers[key] = Published(value, block["source"], block["trust"], block.get("note", ""), std)

    def architecture(self, resolved: Mapping[str, Any] | None) -> str | None:
        """What the file calls an architecture, given with all its parameters; None if it has no name for it."""
        own = _compared(resolved or {})
        return next((name for name, facts in self._architectures.items() if _compared(facts) == own), None)

    def label(self, recipe: str) -> str:
        """Of a recipe that only this file knows; without one it keeps its identifier."""
        return self._labels.get(recipe, recipe)

    def find(
        self, dataset: str, architecture: str | None, recipe: str, metric: str, ball: Ball = USUAL
    ) -> Published | None:
        """The published number, or None. ball: norm and epsilon that ours was measured in."""
        return self.numbers.get((dataset, architecture, recipe, metric, ball))

    def recipes(self, dataset: str, architecture: str, metric: str) -> list[str]:
        """The recipes with a number of this metric, in the order of the file."""
        return [key[2] for key in self.numbers if (key[0], key[1], key[3]) == (dataset, architecture, metric)]


def metric(attack: str) -> str:
    """What the files of published numbers call the accuracy under an attack."""
    return METRICS.get(attack, attack)


def _compared(architecture: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in architecture.items() if key != UNCOMPARED}


def _check(content: Any, keys: Iterable[str], where: str) -> None:
    if not isinstance(content, Mapping):
        raise RobustlensError(f"{where}: must be a mapping with the keys {', '.join(keys)}")
    for key in content:
        if key not in keys:
            raise RobustlensError(f"{where}: unknown key {key!r}{nearest(key, list(keys))}")
