"""How much more accurate than TRADES every recipe is, and by how much it is in the paper (energy paper, main table);
and recipes that change another one than that one.
"""

from pathlib import Path

import pandas as pd

from robustlens.analysis.energy_data import with_points
from robustlens.analysis.frames import read_runs
from robustlens.report import names
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell
from robustlens.report.published import Published, PublishedNumbers
from robustlens.report.scale import caption
from robustlens.report.summary import accuracy_digits
from robustlens.report.table import Table

BASE = "trades"
METRICS = {"clean": "clean", "pgd20": "pgd", "autoattack": "autoattack"}  # attack -> published metric
CHANGES = (
    "A recipe that changes another one, as its name says (WEAT-adv + AWP), is compared with that one on the seeds that "
    "both have; all others are compared with TRADES."
)
READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]


def build(evaluations: list[Path], scale: str, published_file: Path, architectures: dict[str, str]) -> Table:
    """evaluations: files of evaluations under any suite; architectures: dataset -> name in the published file."""
    runs = read_runs(evaluations, READ)
    # Models of others have one checkpoint, `published`: they are other networks, and no seed of ours is theirs.
    runs = with_points(runs[(runs["checkpoint"] == "best") & runs["attack"].isin(METRICS)])
    published = PublishedNumbers(published_file)
    datasets = runs["dataset"].unique()
    rows = []
    for dataset in datasets:
        of_dataset = runs[runs["dataset"] == dataset]
        recipes = list(of_dataset["recipe"].unique())
        bases = {recipe: changed(recipe, recipes) for recipe in recipes if recipe != BASE}
        for base in sorted(set(bases.values()), key=lambda name: [BASE, *recipes].index(name)):
            group = (f"{names.dataset(dataset)}: " if len(datasets) > 1 else "") + f"minus {names.recipe(base)}"
            for recipe in (name for name in bases if bases[name] == base):
                paper = {
                    attack: _published_difference(published, dataset, architectures.get(dataset), recipe, metric)
                    for attack, metric in METRICS.items()
                    if base == BASE
                }
                first, second = (of_dataset[of_dataset["recipe"] == name] for name in (recipe, base))
                cells = tuple(_cell(first, second, attack, paper.get(attack)) for attack in METRICS)
                rows.append(Row(names.recipe(recipe), cells, group))
    title = (
        f"Accuracy on {names.datasets(datasets)} minus that of {names.recipe(BASE)} or, for a recipe that changes "
        "another one, of that one: in points, without and under attack, best checkpoints."
    )
    columns = tuple(Column(names.attack(attack)) for attack in METRICS)
    return Table("energy_differences", caption(title, scale), "recipe", columns, tuple(rows), tuple(_notes(runs, rows)))


def changed(recipe: str, recipes: list[str]) -> str:
    """What a recipe is compared with: the longest other name that its own begins with (`weat-adv` of `weat-adv-awp`),
    or else BASE.
    """
    return max((name for name in recipes if recipe.startswith(f"{name}-")), key=len, default=BASE)


def _cell(runs: pd.DataFrame, base: pd.DataFrame, attack: str, paper: Published | None) -> Cell:
    own, other = (part[part["attack"] == attack] for part in (runs, base))
    images = int(own.groupby("seed").size().min()) if len(own) else None
    return difference_cell(own, other, accuracy_digits(images), published=paper)


def _published_difference(
    published: PublishedNumbers, dataset: str, architecture: str | None, recipe: str, metric: str
) -> Published | None:
    """Of two published numbers of one source; numbers of two sources have two protocols and are not subtracted."""
    first, second = (published.find(dataset, architecture, name, metric) for name in (recipe, BASE))
    if first is None or second is None or first.source != second.source:
        return None
    source = f"{first.source}, the difference of two of its numbers"
    return Published(first.value - second.value, source, first.trust, first.note)


def _notes(runs: pd.DataFrame, rows: list[Row]) -> list[str]:
    single = dict.fromkeys(row.label for row in rows if any(cell.n_seeds == 1 for cell in row.cells))
    notes = [CHANGES, INTERVALS]
    if len(single) == len({row.label for row in rows}):
        notes.append("One seed of each recipe is compared.")
    elif single:
        notes.append(f"One seed is compared of {', '.join(single)}.")
    images = runs.groupby(["attack", "dataset", "recipe", "seed"]).size().groupby("attack").agg(["min", "max"])
    spans = [
        f"{names.attack(attack)} {low}" + (f" to {high}" if high > low else "")
        for attack, (low, high) in images.reindex([a for a in METRICS if a in images.index]).iterrows()
    ]
    return [*notes, f"Test images a seed: {', '.join(spans)}."]
