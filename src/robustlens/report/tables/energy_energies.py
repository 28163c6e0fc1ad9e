"""Energies of natural and attacked images at the end of training, on validation and on test images."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import RUN, last_epoch, read_runs, with_deltas
from robustlens.report import names
from robustlens.report.cells import Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.scale import caption
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


def build(history: list[Path], evaluations: list[Path], scale: str) -> Table:
    """history: `history.parquet` files; evaluations: `robustness.parquet` files."""
    validation = last_epoch(read_runs(history))
    validation = validation[validation["split"] == "validation"]
    test = read_runs(evaluations, ["checkpoint", "attack", *SAMPLED])
    test = with_deltas(test[(test["checkpoint"] == "last") & (test["attack"] == "pgd20")])
    means = (
        test.groupby(RUN, sort=False)[list(ENERGIES)]
        .mean()
        .join(test.groupby(RUN, sort=False).agg(source=("source", "first"), images=("source", "size")))
    )
    datasets = validation["dataset"].unique()
    rows = []
    for dataset in datasets:
        prefix = f"{names.dataset(dataset)}, " if len(datasets) > 1 else ""
        for part, group in (
            (validation, "validation images, last epoch"),
            (means.reset_index(), "test images, PGD-20"),
        ):
            rows += _rows(part[part["dataset"] == dataset], prefix + group)
    notes = [
        *seeds_notes(validation["seed"], validation["recipe"]),
        "ΔE(x) = E(x) \u2212 E(x*) and ΔE(x, y) = E(x, y) \u2212 E(x*, y): negative when the attack raises the energy. "
        "x* on validation images: PGD on the cross-entropy, as tracked during training; on test images: PGD-20 on the "
        "last checkpoint.",
    ]
    title = f"Mean marginal and joint energies on {names.datasets(datasets)} at the end of training."
    columns = tuple(Column(label) for label in ENERGIES.values())
    return Table("energy_energies", caption(title, scale), "recipe", columns, tuple(rows), tuple(notes))


def _rows(runs: pd.DataFrame, group: str) -> list[Row]:
    """A row a recipe, from a frame with a row a run. The history does not say how many images its means are of."""
    rows = []
    for recipe in runs["recipe"].unique():
        of_recipe = runs[runs["recipe"] == recipe]
        images = int(of_recipe["images"].min()) if "images" in of_recipe else None
        cells = [over_seeds(of_recipe[name], 3, "nat", of_recipe["source"], images) for name in ENERGIES]
        rows.append(Row(names.recipe(recipe), tuple(cells), group))
    return rows
