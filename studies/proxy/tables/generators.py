"""Generators by what is measured of their images, and by what these do for robust training."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_runs
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.proxy.results import CLEAN, REFERENCE, measures, of_attack, read_areas, read_points

# Column, measure, norm, how it is scaled, unit, digits; and the measure of real images that it is compared with.
MEASURES = (
    ("Fréchet distance", "frechet", "", 1, "", 2, ""),
    ("score", "score", "", 1, "", 2, ""),
    ("W1, L2", "wasserstein", "l2", 1, "", 3, "floor"),
    ("copy ratio", "copy-ratio", "l2", 1, "", 2, ""),
    ("near copies", "share-near", "l2", 100, "%", 1, ""),
    ("labels agree", "agreement", "", 100, "%", 1, "agreement-real"),
)
NOTE = (
    "Gain: accuracy of robust training on real and generated images minus that on as many real images a step and as "
    "many steps; best checkpoints, paired by seed and image. Fréchet distance and score: as in the other studies. W1: "
    "conditional Wasserstein distance of pixels to real images; the row of real images has that of other real images. "
    "Copy ratio: median distance to the nearest training image of the class, divided by that of real test images. "
    "Near copies: share of generated images that are nearer than the nearest 1 % of test images. Labels agree: share "
    "whose label is that of an SVM trained on one half of the test images; the row of real images is of the other "
    "half. ARC: area, above chance, under the accuracy (0 to 1) of discriminators of real and generated images "
    "against the L2 radius that the images may be moved by. It is given for several numbers of training steps at each "
    "radius, because it has not converged, and it sees neither labels nor copies."
)


def build(context: Context, *, evaluations: list[Path], closeness: list[Path], discrimination: list[Path]) -> Table:
    """evaluations: indexes of suites, with the baseline. closeness, discrimination: one file per run, from the stages
    `measure_closeness` and `discriminate`."""
    runs, close, arcs = read_points(context, evaluations), read_runs(closeness), read_areas(discrimination)
    budgets, rows = sorted(arcs["steps"].unique()), []
    for group, of_group in threats.groups(runs, context):
        here = close[close["dataset"] == of_group["dataset"].iloc[0]]
        for recipe in here["recipe"].unique():
            own = here[here["recipe"] == recipe]
            cells = [_cell(own, *settings) for *settings, _ in MEASURES]
            cells += [_arc(arcs, own, steps) for steps in budgets]
            gains = [_gain(of_group, recipe, context.baseline, attack) for attack in (CLEAN, REFERENCE)]
            rows.append(Row(context.recipe_label(recipe), (*cells, *gains), group))
        if len(here):
            real = [_cell(here, name, beside, *more) if beside else Cell() for name, _, *more, beside in MEASURES]
            rows.append(Row("real images", (*real, *(Cell() for _ in budgets), Cell(), Cell()), group, of_seeds=False))
    columns = (
        *(Column(f"{name}, %" if unit else name) for name, *_, unit, _, _ in MEASURES),
        *(Column(f"{steps} steps", "ARC") for steps in budgets),
        *(Column(context.attack_label(attack), "gain, points") for attack in (CLEAN, REFERENCE)),
    )
    title = f"Generators and what their images do for robust training, on {context.datasets_titles(_names(close))}."
    shown = runs[runs["recipe"].isin([*close["recipe"], context.baseline])]
    each = sorted({int(n) for n in close[close["measure"] == "per-class"]["value"]})
    counted = f"W1: on {', '.join(map(str, each))} images of each class (ours)."
    notes = (
        NOTE,
        counted,
        INTERVALS,
        *seeds_notes(shown["seed"], shown["recipe"], context),
        *threats.notes(runs, context),
    )
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _names(close: pd.DataFrame) -> list[str]:
    return list(close["dataset"].unique())


def _cell(own: pd.DataFrame, _name: str, measure: str, norm: str, scale: float, unit: str, digits: int) -> Cell:
    values = scale * measures(own, measure, norm)
    return over_seeds(values, digits, unit, own["source"].unique())


def _arc(arcs: pd.DataFrame, own: pd.DataFrame, steps: int) -> Cell:
    same = (arcs["recipe"] == own["recipe"].iloc[0]) & (arcs["dataset"] == own["dataset"].iloc[0])
    here = arcs[same & (arcs["steps"] == steps)]
    return over_seeds(here.groupby("seed")["arc"].mean(), 3, "", here["source"].unique())


def _gain(runs: pd.DataFrame, recipe: str, baseline: str, attack: str) -> Cell:
    mixed, real = (of_attack(runs, name, attack) for name in (recipe, baseline))
    return difference_cell(mixed, real, accuracy_digits(int(mixed["index"].nunique()) or None))
