"""Published numbers, each with its source and how far it can be trusted."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from robustlens.errors import RobustlensError


@dataclass(frozen=True)
class Published:
    """One number of a paper. trust: where it was read; note: what a reader must know to compare with it."""

    value: float
    source: str
    trust: str
    note: str = ""


class PublishedNumbers:
    """The numbers of one file under `published/`, found by (dataset, architecture, recipe, metric)."""

    def __init__(self, path: Path):
        content = yaml.safe_load(Path(path).read_text())
        self.numbers: dict[tuple[str, str, str, str], Published] = {}
        for block in content["blocks"]:
            for recipe, values in block["values"].items():
                for metric, value in zip(block["metrics"], values, strict=True):
                    self._add(path, block, recipe, metric, value)

    def _add(self, path: Path, block: dict, recipe: str, metric: str, value: float | None) -> None:
        key = (block["dataset"], block["architecture"], recipe, metric)
        if value is None:
            return
        if key in self.numbers:
            raise RobustlensError(f"{path}: the number {key} stands there twice; keep one")
        self.numbers[key] = Published(value, block["source"], block["trust"], block.get("note", ""))

    def find(self, dataset: str, architecture: str | None, recipe: str, metric: str) -> Published | None:
        """The published number, or None."""
        return self.numbers.get((dataset, architecture, recipe, metric))

    def recipes(self, dataset: str, architecture: str, metric: str) -> list[str]:
        """The recipes with a number of this metric, in the order of the file."""
        return [key[2] for key in self.numbers if (key[0], key[1], key[3]) == (dataset, architecture, metric)]
