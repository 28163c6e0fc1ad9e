"""Quality of the images generated from each classifier (generation table of the paper)."""

import json
from pathlib import Path

import pandas as pd

from robustlens.analysis.frames import read_scores
from robustlens.errors import RobustlensError
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.context import Context
from robustlens.report.published import ANY_ARCHITECTURE, PublishedNumbers
from robustlens.report.summary import over_seeds, seeds_note
from robustlens.report.table import Table
from studies.energy.class_distances import class_distances

# column key in scores.json -> (digits, unit, metric in the published file for Inception features)
MEASURES = {
    "score_mean": (2, "", "inception_score"),
    "frechet": (2, "", "fid"),
    "frechet_two_half_spread": (2, "", None),
    "kid_mean": (3, "", None),
    "nearest_training_distance_median": (2, "pixel range, L2", None),
    "n_generated": (0, "images", None),
}
PAPER = "weat"  # what the published file calls the paper's own classifier
OF_CLASS = {"frechet": 2, "kid": 3}  # digits of a distance class by class


def build(context: Context, *, scores: list[Path], anchors: list[Path], published: Path) -> Table:
    """scores: `scores.json` files; anchors: those of real images, each in the folder of its dataset.

    Inception features bring the names IS and FID and, at a scale that has no caveat, the published rows; a classifier's
    features bring neither.
    """
    runs = read_scores(scores)
    kinds = runs["features"].unique()
    if len(kinds) != 1:
        raise RobustlensError(
            f"generation scores from different feature networks ({', '.join(kinds)}); score all with one"
        )
    labels = runs["names"].iloc[0]
    numbers = PublishedNumbers(published if kinds[0] == "inception" and context.as_published else None)
    of_real_images = {path.parent.name: path for path in anchors}
    datasets = runs["dataset"].unique()
    of_class, _ = class_distances(runs)
    rows = []
    for dataset in datasets:
        group = context.dataset_title(dataset) if len(datasets) > 1 else ""
        of_dataset = runs[runs["dataset"] == dataset]
        for recipe in of_dataset["recipe"].unique():
            of_recipe = of_dataset[of_dataset["recipe"] == recipe]
            rows.append(Row(context.recipe_label(recipe), _cells(of_recipe, of_class), group))
        if dataset in of_real_images:
            path = of_real_images[dataset]
            anchor = pd.DataFrame([json.loads(path.read_text()) | {"source": path.as_posix()}])
            rows.append(Row(str(anchor["scored"].iloc[0]), _cells(anchor, of_class), group, of_seeds=False))
        rows += _published_rows(numbers, dataset, group)
    columns = (
        *(Column(labels["score"]), Column(labels["frechet"]), Column("halves")),
        *(Column(labels["kid"]), Column("nearest"), Column("images")),
        *(Column("easiest class"), Column("hardest class")),
    )
    title = f"Images generated from each classifier on {context.datasets_titles(datasets)}."
    notes = (seeds_note(runs["seed"]), *_notes(runs.iloc[0], labels, kinds[0], of_class))
    if any(PAPER in _published_recipes(numbers, dataset) for dataset in datasets):
        # docs/fidelity.md, departure 11
        notes += (
            f"{numbers.label(PAPER)} (published): by default the released script keeps no component of the PCA start, "
            "so all its chains may have begun at the mean image of their class.",
        )
    return Table(context.label, context.caption(title), "recipe", columns, tuple(rows), notes)


def _cells(runs: pd.DataFrame, of_class: str) -> tuple[Cell, ...]:
    images = int(runs["n_generated"].min())
    measures = [
        over_seeds([images] if key == "n_generated" else runs[key], digits, unit, runs["source"], images)
        for key, (digits, unit, _) in MEASURES.items()
    ]
    return (*measures, *_extreme_classes(runs, of_class))


def _extreme_classes(runs: pd.DataFrame, measure: str) -> tuple[Cell, Cell]:
    """The classes of the smallest and of the largest distance, averaged over seeds; empty where there is none."""
    known = [distances for distances in runs.get(f"{measure}_per_class", []) if isinstance(distances, dict)]
    if not known:
        return Cell(), Cell()
    means = pd.DataFrame(known).mean()
    sources = tuple(runs["source"])
    return tuple(
        Cell(text=f"{label} ({means[label]:.{OF_CLASS[measure]}f})", sources=sources)
        for label in (means.idxmin(), means.idxmax())
    )


def _published_recipes(numbers: PublishedNumbers, dataset: str) -> list[str]:
    """Models that only the published file knows."""
    metrics = [metric for _, _, metric in MEASURES.values() if metric]
    return list(dict.fromkeys(r for m in metrics for r in numbers.recipes(dataset, ANY_ARCHITECTURE, m)))


def _published_rows(numbers: PublishedNumbers, dataset: str, group: str) -> list[Row]:
    return [
        Row(
            f"{numbers.label(recipe)} (published)",
            (
                *(
                    Cell(published=numbers.find(dataset, ANY_ARCHITECTURE, recipe, metric), digits=digits)
                    for digits, _, metric in MEASURES.values()
                ),
                *(Cell(), Cell()),
            ),
            group,
        )
        for recipe in _published_recipes(numbers, dataset)
    ]


def _notes(run: pd.Series, labels: dict[str, str], kind: str, of_class: str) -> list[str]:
    needs = {
        "frechet": "each label has more of both than there are features",
        "kid": f"each label has at least two of both (its {labels['frechet']} would need more)",
    }
    notes = [
        f"{labels['frechet']}: to {run['n_reference']} images of the {run['reference_split']} split (lower is better); "
        "halves: how far the distances of two random halves of the samples lie apart.",
        f"{labels['score']}: {run['score_splits']} parts (higher is better); the {run['reference_split']} images "
        f"themselves score {run['reference_score_mean']:.2f}.",
        "nearest: median L2 distance to the nearest training image; near 0 the samples are copies.",
        f"easiest, hardest class: the label whose own samples have the smallest and the largest {labels[of_class]} to "
        f"the real images of that label (in brackets), if {needs[of_class]}.",
    ]
    if kind == "classifier":
        notes.append(
            "Features come from one of this project's classifiers, so the scores compare recipes with each other only: "
            "they are neither Inception Score nor FID."
        )
    return notes
