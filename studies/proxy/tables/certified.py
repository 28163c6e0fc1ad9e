"""Certified accuracy by randomised smoothing, with generated images and without."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from robustlens.analysis.certified import read_certified
from robustlens.analysis.evaluations import sources
from robustlens.certification.bounds import linf_radius
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import BEST, INTERVALS, best_of, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import accuracy_digits, over_seeds
from robustlens.report.table import Table
from studies.proxy.results import with_certificates

RADII = (0.0, 0.125, 0.25, 0.5)
NOTE = (
    "Share of test images whose class is certified, is their label, and stays the same within the L2 radius. Images "
    "that are abstained from count as wrong. Difference: minus training on real images alone, twice as many a step, at "
    "a radius of 0.25. Best checkpoints."
)
COMPARED_AT = 0.25


def build(context: Context, *, certified: list[Path]) -> Table:
    """certified: one file per run, from the stage `certify`."""
    proven, rows = read_certified(certified), []
    datasets = list(proven["dataset"].unique())
    for dataset in datasets:
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        here = proven[proven["dataset"] == dataset]
        digits = accuracy_digits(int(here["index"].nunique()))
        compared = with_certificates(here, COMPARED_AT)
        at_radius = [dict(iter(with_certificates(here, radius).groupby("recipe", sort=False))) for radius in RADII]
        best = [best_of(parts) for parts in at_radius]
        for recipe in here["recipe"].unique():
            cells = [
                replace(_cell(parts[recipe], digits), best=recipe in of_column)
                for parts, of_column in zip(at_radius, best, strict=True)
            ]
            pair = (compared[compared["recipe"] == name] for name in (recipe, context.baseline))
            difference = difference_cell(*pair, digits) if recipe != context.baseline else Cell()
            rows.append(Row(context.recipe_label(recipe), (*cells, difference), group))
    columns = (*(Column(f"{radius:g}", "radius (L2)") for radius in RADII), Column("difference, points"))
    title = f"Certified accuracy in % on {context.datasets_titles(datasets)}."
    notes = (
        NOTE,
        *[BEST] * any(cell.best for row in rows for cell in row.cells),
        _in_linf(datasets, context),
        settings(proven),
        INTERVALS,
        *seeds_notes(proven["seed"], proven["recipe"], context),
    )
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def settings(proven: pd.DataFrame) -> str:
    """How the certificates were made, in a sentence."""
    names = ("sigma", "draws", "alpha")
    listed = {name: ", ".join(f"{value:,g}" for value in sorted(proven[name].unique())) for name in names}
    images = ", ".join(f"{count:,}" for count in sorted(set(proven.groupby("dataset")["index"].nunique())))
    return (
        f"Smoothing after Cohen et al. (2019) with noise of a standard deviation of {listed['sigma']} and "
        f"{listed['draws']} draws, on {images} images; a certificate is wrong with a probability of at most "
        f"{listed['alpha']}."
    )


def _in_linf(datasets: Sequence[str], context: Context) -> str:
    """What the radii of the columns imply in L-inf."""
    of_datasets = []
    for dataset in datasets:
        values = context.values(dataset)
        pairs = ", ".join(f"{linf_radius(radius, values):.3g} for {radius:g}" for radius in RADII if radius)
        of_datasets.append(f"{pairs} on {context.dataset_title(dataset)}, whose images have {values:,} values")
    return (
        "Within an L2 ball lies the L\u221e ball whose radius is smaller by the square root of the number of an "
        f"image's values: {'; '.join(of_datasets)}."
    )


def _cell(rows: pd.DataFrame, digits: int) -> Cell:
    per_seed = rows.groupby("seed")["points"].mean()
    return over_seeds(per_seed, digits, "%", sources(rows), int(rows["index"].nunique()))
