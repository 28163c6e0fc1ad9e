"""Energies of natural and attacked images at the end of training, on validation and on test images."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import RUN, last_epoch, read_evaluations, read_runs, with_deltas
from robustlens.report import threats
from robustlens.report.cells import Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table

ENERGIES = {
    "marginal_natural": "E(x)",
    "marginal_adversarial": "E(x*)",
    "delta_marginal": "ΔE(x)",
    "joint_natural": "E(x, y)",
    "delta_joint": "ΔE(x, y)",
}
SAMPLED = ["marginal_natural", "joint_natural", "marginal_adversarial", "joint_adversarial"]


def build(context: Context, *, history: list[Path], evaluations: list[Path]) -> Table:
    """history: `history.parquet` files; evaluations: indexes of suites."""
    validation = last_epoch(read_runs(history))
    validation = validation[validation["split"] == "validation"]
    test = read_evaluations(evaluations, ["checkpoint", "attack", *SAMPLED])
    test = with_deltas(test[(test["checkpoint"] == "last") & (test["attack"] == "pgd20")])
    datasets, under = validation["dataset"].unique(), threats.labels(test, context)
    rows = []
    for dataset in datasets:
        prefix = f"{context.dataset_title(dataset)}, " if len(datasets) > 1 else ""
        of_dataset, tested = (part[part["dataset"] == dataset] for part in (validation, test))
        rows += _rows(of_dataset, f"{prefix}validation images, last epoch", context)
        for threat, part in tested.groupby("threat", sort=False):
            group = ", ".join(filter(None, ["test images", "PGD-20", under[dataset, threat]]))
            rows += _rows(_means(part), prefix + group, context)
    notes = [
        *seeds_notes(validation["seed"], validation["recipe"], context),
        "ΔE(x) = E(x) \u2212 E(x*) and ΔE(x, y) = E(x, y) \u2212 E(x*, y): negative when the attack raises the energy. "
        "x* on validation images: PGD on the cross-entropy, as tracked during training; on test images: PGD-20 on the "
        "last checkpoint.",
        *threats.notes(test, context),
    ]
    title = f"Mean marginal and joint energies on {context.datasets_titles(datasets)} at the end of training."
    columns = tuple(Column(label) for label in ENERGIES.values())
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), tuple(notes))


def _means(test: pd.DataFrame) -> pd.DataFrame:
    """One row per run: its mean energies, source and number of images."""
    runs = test.groupby(RUN, sort=False)
    described = runs.agg(source=("source", "first"), images=("source", "size"))
    return runs[list(ENERGIES)].mean().join(described).reset_index()


def _rows(runs: pd.DataFrame, group: str, context: Context) -> list[Row]:
    """One row per recipe, from one per run. The history does not say how many images its means are of."""
    rows = []
    for recipe in runs["recipe"].unique():
        of_recipe = runs[runs["recipe"] == recipe]
        images = int(of_recipe["images"].min()) if "images" in of_recipe else None
        cells = [over_seeds(of_recipe[name], 3, "nat", of_recipe["source"], images) for name in ENERGIES]
        rows.append(Row(context.recipe_label(recipe), tuple(cells), group))
    return rows
