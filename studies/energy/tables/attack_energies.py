"""What each attack does to the energies of a model (section 3 of the paper, as numbers)."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_evaluations, seeds_by_images, with_deltas
from robustlens.analysis.statistics import crossed_interval
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.table import Table

COLUMNS = ("E(x)", "E(x*)", "ΔE(x)", "E(x, y)", "E(x*, y)", "ΔE(x, y)", "success, %", "distance")
UNBOUNDED = ("cw",)
CHECKPOINTS = {"last": "last checkpoint", "published": "as published"}
NOTES = (
    "ΔE(x) = E(x) \u2212 E(x*): positive when the attack lowers the energy, negative when it raises it.",
    "success: share of the correctly classified images that the attack turns wrong. distance: mean over all images, in "
    "the norm of the threat.",
    "Where APGD, FAB, Square or CW fails it returns the image itself, which then counts with ΔE = 0; PGD and KL-PGD "
    "always return their last point. Targeted PGD leads each image to another class, drawn at random; its success "
    "counts any wrong class, not only that one.",
    "CW minimises a distance instead of staying within ε: its rows are not comparable with the others at equal ε.",
)


def build(context: Context, *, evaluations: list[Path]) -> Table:
    """evaluations: indexes of suites; their last checkpoints, or the only one of third-party models, are shown."""
    frame = with_deltas(read_evaluations(evaluations))
    frame = frame[frame["checkpoint"].isin(("last", "published"))]
    datasets, under = frame["dataset"].unique(), threats.labels(frame, context)
    rows = []
    for (dataset, recipe, threat, attack), part in frame.groupby(["dataset", "recipe", "threat", "attack"], sort=False):
        model = context.recipe_label(recipe) + (f" on {context.dataset_title(dataset)}" if len(datasets) > 1 else "")
        group = [model, CHECKPOINTS[part["checkpoint"].iloc[0]], under[dataset, threat]]
        label = context.attack_label(attack) + (" (unbounded)" if attack in UNBOUNDED else "")
        rows.append(Row(label, _cells(part), ", ".join(filter(None, group))))
    images = frame.groupby(["dataset", "recipe", "threat", "seed", "attack"]).size()
    count = f"{images.min()}" if images.min() == images.max() else f"{images.min()} to {images.max()}"
    seeds = frame["seed"].nunique()
    over = f"{seeds} seeds; in brackets 95 % intervals over seeds and images, both taken as random"
    one = "one seed; in brackets 95 % intervals over images, not over seeds"
    notes = (
        f"Means over {count} test images and {over if seeds > 1 else one}.",
        *NOTES,
        *threats.notes(frame, context),
    )
    title = f"Energies before and after each attack on {context.datasets_titles(datasets)}."
    columns = tuple(Column(label) for label in COLUMNS)
    return Table(context.label, context.caption(title), "attack", columns, tuple(rows), notes)


def _cells(part: pd.DataFrame) -> tuple[Cell, ...]:
    """The cells of one attack on one model, from the rows of all seeds."""
    of_cell = {
        "n_seeds": part["seed"].nunique(),
        "n_images": int(part.groupby("seed").size().min()),
        "sources": tuple(part["source"].unique()),
    }

    def mean(values: pd.Series, digits: int, unit: str) -> Cell:
        return Cell(value=float(values.groupby(part["seed"]).mean().mean()), digits=digits, unit=unit, **of_cell)

    def shift(name: str) -> Cell:
        interval = crossed_interval(seeds_by_images(part, name).to_numpy())
        numbers = {"value": interval.estimate, "low": interval.low, "high": interval.high}
        return Cell(**numbers, digits=2, unit="nat", **of_cell)

    right = part["prediction_natural"] == part["label"]
    fooled = (part["prediction_adversarial"] != part["label"]).astype(float).where(right)
    return (
        mean(part["marginal_natural"], 2, "nat"),
        mean(part["marginal_adversarial"], 2, "nat"),
        shift("delta_marginal"),
        mean(part["joint_natural"], 2, "nat"),
        mean(part["joint_adversarial"], 2, "nat"),
        shift("delta_joint"),
        mean(100 * fooled, 1, "%"),
        mean(part["distance"], 3, "pixel range"),
    )
