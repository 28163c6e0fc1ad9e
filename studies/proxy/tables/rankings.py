"""How well measures of generated images rank generators by what these do for robust training."""

from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import spearman
from robustlens.analysis.evaluations import sources
from robustlens.analysis.frames import paired, read_runs
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.published import PublishedNumbers
from robustlens.report.table import Table
from studies.proxy.ranking import agreement
from studies.proxy.results import CLEAN, REFERENCE, measures, of_attack, read_areas, read_points

# Row: measure, norm, and the sign that makes a lower value the better one.
MEASURES = {
    "Fréchet distance": ("frechet", "", 1),
    "score": ("score", "", -1),
    "W1, L2": ("wasserstein", "l2", 1),
}
FEWEST = 3  # generators that are ranked
# The generators of the blog post in published.yaml, and where the measures that it has are there.
BLOG = ("cifar10", "any")
ROBUST_OF_BLOG, OF_BLOG = "robust-by-generator", {"ARC": "arc-by-generator", "Fréchet distance": "frechet-by-generator"}
NOTE = (
    "Spearman's correlation, over the generators, of a measure with the gain in accuracy over as many real images a "
    "step. Its sign is such that 1 means the order of the gains. 95 % intervals by drawing seeds and images; they are "
    "about these few generators, and not about others. Discriminators, radius 0: their balanced accuracy without "
    "perturbations, at the most steps. Blog post: the same for the {generators} generators of CIFAR-10 in the first "
    "author's post of 25 April 2022, which is no table of the paper; there the gain is the robust accuracy by training "
    "on generated images alone. Computed here from its numbers."
)


def build(
    context: Context, *, evaluations: list[Path], closeness: list[Path], discrimination: list[Path], published: Path
) -> Table:
    """evaluations: indexes of suites, with the baseline. closeness, discrimination: one file per run. published: with
    the numbers of the author's blog post."""
    runs, close = read_points(context, evaluations), read_runs(closeness)
    arcs, curves = read_areas(discrimination), read_runs(discrimination)
    numbers, rows = PublishedNumbers(published), []
    for group, of_group in threats.groups(runs, context):
        dataset = of_group["dataset"].iloc[0]
        parts = [frame[frame["dataset"] == dataset] for frame in (close, arcs, curves)]
        values = _values(*parts)
        for label, by_recipe in values.items():
            cells = tuple(_cell(of_group, by_recipe, context.baseline, attack) for attack in (REFERENCE, CLEAN))
            rows.append(Row(label, (*cells, _of_blog(numbers, label.split(",")[0])), group))
    columns = (*(Column(context.attack_label(attack)) for attack in (REFERENCE, CLEAN)), Column("author's blog post"))
    titles = context.datasets_titles(list(close["dataset"].unique()))
    note = NOTE.format(generators=len(_generators(numbers)))
    notes = (note, *seeds_notes(runs["seed"], runs["recipe"], context), *threats.notes(runs, context))
    title = f"Rank correlation of measures of generators with the gains by their images, on {titles}."
    return Table(context.label, context.caption(title), "measure", columns, tuple(rows), notes)


def _values(close: pd.DataFrame, arcs: pd.DataFrame, curves: pd.DataFrame) -> dict[str, dict[str, float]]:
    """By measure the value of each recipe's generator, the lower the better."""
    found = {}
    for steps in sorted(arcs["steps"].unique()):
        found[f"ARC, {steps} steps"] = (
            arcs[arcs["steps"] == steps].groupby("recipe", sort=False)["arc"].mean().to_dict()
        )
    plain = curves[(curves["epsilon"] == 0) & (curves["steps"] == curves["steps"].max())]
    if len(plain):
        found["discriminators, radius 0"] = plain.groupby("recipe", sort=False)["accuracy"].mean().to_dict()
    for label, (measure, norm, sign) in MEASURES.items():
        by_recipe = close.groupby("recipe", sort=False)
        found[label] = {recipe: sign * measures(own, measure, norm).mean() for recipe, own in by_recipe}
    return found


def _cell(runs: pd.DataFrame, by_recipe: dict[str, float], baseline: str, attack: str) -> Cell:
    real = of_attack(runs, baseline, attack)
    mixed = {recipe: of_attack(runs, recipe, attack) for recipe in by_recipe}
    gains = {recipe: paired(rows, real, "points") for recipe, rows in mixed.items() if len(rows)}
    if len(gains) < FEWEST or len({part.shape for part in gains.values()}) > 1:
        return Cell(text=f"fewer than {FEWEST} generators")
    values = np.array([[by_recipe[recipe] for recipe in gains]])
    found = agreement(np.stack(list(gains.values())), values)
    seeds, images = next(iter(gains.values())).shape
    files = [file for rows in (real, *mixed.values()) for file in sources(rows)]
    return Cell(found.estimate, 2, low=found.low, high=found.high, n_seeds=seeds, n_images=images, sources=tuple(files))


def _generators(numbers: PublishedNumbers) -> list[str]:
    return numbers.recipes(*BLOG, next(iter(OF_BLOG.values())))


def _of_blog(numbers: PublishedNumbers, measure: str) -> Cell:
    if measure not in OF_BLOG:
        return Cell()
    robust, values = (
        np.array([numbers.find(*BLOG, name, metric).value for name in _generators(numbers)])
        for metric in (ROBUST_OF_BLOG, OF_BLOG[measure])
    )
    return Cell(float(spearman(robust, -values)), 2)
