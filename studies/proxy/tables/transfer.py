"""Both sides of the transfer bound on images, and the terms that the robustness of a classifier splits into."""

from pathlib import Path

import numpy as np

from robustlens.analysis.frames import read_runs
from robustlens.closeness import gaussian_world
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import seeds_notes
from robustlens.report.context import Context
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.proxy.analytic import CLASSIFIER, MOVES, proxy_world, real_world
from studies.proxy.results import measures

NORMS = {"l2": "L2", "linf": "L\u221e"}
BOUND = {"robustness-real": "real", "robustness-generated": "generated", "gap": "difference", "wasserstein": "bound"}
FLOOR = {"floor": "floor"}
TERMS = {
    "empirical": "seen",
    "generalisation-penalty": "unseen",
    "shift-penalty": "shift",
    "robustness": "real",
}
NOTE = (
    "Robustness: the mean distance of an image to the nearest point that a linear classifier gets wrong, which is 0 "
    "for an image that it gets wrong; exact. One classifier: it learns from the training images; its robustness on "
    "real test images (real), on generated ones (generated) and their difference, which can't be above the bound, the "
    "conditional Wasserstein distance of the same images. A bound above both robustnesses says nothing. Floor: that "
    "distance between real and other real images. Terms: the classifier learns from generated images; its robustness "
    "on these (seen), how far its robustness on other generated images is from that (unseen), how far its robustness "
    "on real images is from the latter (shift), and its robustness on real images (real), which is at least the first "
    "minus the two penalties. Means over draws of images."
)

# Of the analytic world: how far classes are moved; points of each class that a classifier learns from; how many learn.
LENGTH, PER_CLASS, SAMPLES = 1.0, 5, 100
ANALYTIC = "analytic world, computed, L2"
ANALYTIC_NOTE = (
    "Analytic world: two Gaussian classes in the plane, with a deviation of 1 about (2, 0) and (\u22122, 0), and as "
    f"generated ones the same with each class moved by {LENGTH:g}: to the boundary between them, away from it, both in "
    "one direction across it, or along it. One classifier: the best one of the real classes, in closed form; the bound "
    "is the length of the move, and the floor 0, because no sample is drawn. Terms: from means over "
    f"{SAMPLES} logistic regressions on {PER_CLASS} generated points of each class, each exact for its "
    "classifier."
)


def build(context: Context, *, closeness: list[Path]) -> Table:
    """closeness: one file per run, from the stage `measure_closeness`."""
    close, rows = read_runs(closeness), []
    datasets = list(close["dataset"].unique())
    for dataset in datasets:
        for norm, called in NORMS.items():
            group = f"{context.dataset_title(dataset)}, {called}" if len(datasets) > 1 else called
            here = close[(close["dataset"] == dataset)]
            for recipe in here["recipe"].unique():
                own = here[here["recipe"] == recipe]
                cells = tuple(_cell(own, name, norm) for name in (*BOUND, *FLOOR, *TERMS))
                rows.append(Row(context.recipe_label(recipe), cells, group))
    rows += [Row(move, _analytic(move), ANALYTIC) for move in MOVES]
    columns = (
        *(Column(label, "robustness, one classifier") for label in (*BOUND.values(), *FLOOR.values())),
        *(Column(label, "terms of robustness") for label in TERMS.values()),
    )
    title = f"The transfer bound and the terms of robustness, on {context.datasets_titles(datasets)}."
    notes = (NOTE, ANALYTIC_NOTE, *seeds_notes(close["seed"], close["recipe"], context))
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cell(own, measure: str, norm: str) -> Cell:
    return over_seeds(measures(own, measure, norm), 3, "", own["source"].unique())


def _analytic(move: str) -> tuple[Cell, ...]:
    """A proxy of the analytic world, moved so: nothing of it comes from files."""
    real, generated = real_world(), proxy_world(move, LENGTH)
    on_real, on_generated = (gaussian_world.robustness(world, CLASSIFIER, "l2") for world in (real, generated))
    terms = gaussian_world.decomposition(real, generated, "l2", PER_CLASS, SAMPLES, np.random.default_rng(0))
    values = {
        "robustness-real": on_real,
        "robustness-generated": on_generated,
        "gap": abs(on_real - on_generated),
        "wasserstein": terms.conditional,
        "floor": 0.0,
        "empirical": terms.empirical,
        "generalisation-penalty": terms.generalisation_penalty,
        "shift-penalty": terms.shift_penalty,
        "robustness": terms.robustness,
    }
    return tuple(Cell(values[name], 3) for name in (*BOUND, *FLOOR, *TERMS))
