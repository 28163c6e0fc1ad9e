"""Training without some of the images: what that does to accuracy and to overfitting (energy subsets of the paper)."""

from pathlib import Path

import pandas as pd

from robustlens.analysis.evaluations import falls, sources, with_points
from robustlens.analysis.frames import RUN, read_evaluations, read_runs
from robustlens.report import threats
from robustlens.report.cells import Cell, Column, Row
from robustlens.report.comparison import INTERVALS, difference_cell, seeds_notes
from robustlens.report.context import Context
from robustlens.report.lists import separated
from robustlens.report.summary import over_seeds
from robustlens.report.table import Table
from studies.energy.subsets import RANDOM, baseline, whole

DIGITS = 1  # of accuracies, because nine columns are many
FALL = "PGD-20, best \u2212 last"
MEASURES = ("clean, best", "PGD-20, best", "PGD-20, last", FALL)
SELECTION = (
    "images: number of training images. The best checkpoint of another run of the same seed decides which are left "
    "out. It is a fixed part of every class: the images of the highest or of the lowest E(x), those around the median "
    "E(x) of the class, those of the highest E(x) among the correctly classified ones, random ones, or the "
    "misclassified ones of the highest loss (all of them where they are fewer than that part). Where a row names a "
    "bound, all images beyond it are left out, whatever their class. To train on fewer images makes a difference by "
    "itself. Therefore differences are to the training without random images, where there is one. It lacks as many "
    "images as the other rows; where a row has another number of images, this matters, too."
)
ONE_SEED = (
    "With one seed the intervals are over test images: they say nothing about how much the accuracy would change if "
    "the same images were trained on again, from another seed."
)
FEW = 0.01  # of the training images; when fewer were left out, the difference says little about leaving them out
READ = ["checkpoint", "attack", "index", "label", "prediction_adversarial"]


def build(context: Context, *, evaluations: list[Path], history: list[Path]) -> Table:
    """evaluations, history: of recipes and of those that train like them on fewer images.

    Histories of older runs do not say how many images they trained on; that is missing then.
    """
    tested, trained = with_points(read_evaluations(evaluations, READ)), _training_images(history)
    recipes = list(tested["recipe"].unique())
    wholes = list(dict.fromkeys(whole(recipe, recipes, context) for recipe in recipes))
    rows, notes = [], threats.notes(tested, context)
    for name, of_group in threats.groups(tested, context):
        dataset = of_group["dataset"].iloc[0]
        measured = {recipe: _measured(runs) for recipe, runs in of_group.groupby("recipe")}
        counts = {name: trained[(trained["dataset"] == dataset) & (trained["recipe"] == name)] for name in measured}
        for base in (name for name in wholes if name in measured):
            group = [name] * bool(name) + [context.recipe_label(base)] * (len(wholes) > 1)
            for recipe in (name for name in recipes if name in measured and whole(name, recipes, context) == base):
                label = f"{context.recipe_label(base)}, all images" if recipe == base else context.recipe_label(recipe)
                compared = measured.get(baseline(recipe, list(measured), context) or "")
                cells = (_image_count(counts[recipe]), *_cells(measured[recipe], compared))
                rows.append(Row(label, cells, ", ".join(group)))
                if recipe != base:
                    notes += _few_left_out(", ".join([*group, label]), counts[recipe], counts[base])
    columns = [Column("images")]
    for label in MEASURES:
        columns += [Column("points" if label == FALL else "%", label), Column("difference", label)]
    datasets = context.datasets_titles(tested["dataset"].unique())
    title = (
        f"{separated(map(context.recipe_label, wholes))} on {datasets}, trained without some of the images: "
        f"accuracy on test images, and its difference, in points, to training {_compared_with(recipes, context)}."
    )
    one_seed = [ONE_SEED] * any(cell.low is not None and cell.n_seeds == 1 for row in rows for cell in row.cells[1:])
    notes = (SELECTION, *notes, *seeds_notes(tested["seed"], tested["recipe"], context), INTERVALS, *one_seed)
    return Table(context.label, context.caption(title), "trained", tuple(columns), tuple(rows), notes)


def _compared_with(recipes: list[str], context: Context) -> str:
    at_random = any(known.leaves_out == RANDOM for name in recipes if (known := context.recipes.get(name)))
    return "without random images" if at_random else "on all of them"


def _measured(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of one recipe behind each of MEASURES: seed, index, points and files."""
    attacked = runs[runs["attack"] == "pgd20"]
    parts = [runs[(runs["checkpoint"] == "best") & (runs["attack"] == "clean")]]
    parts += [attacked[attacked["checkpoint"] == checkpoint] for checkpoint in ("best", "last")]
    parts.append(falls(attacked).rename(columns={"fall": "points"}))
    return dict(zip(MEASURES, parts, strict=True))


def _cells(own: dict[str, pd.DataFrame], compared: dict[str, pd.DataFrame] | None) -> list[Cell]:
    """compared: None for what others are compared with."""
    cells = []
    for label in MEASURES:
        rows, runs = own[label], own[label].groupby("seed")["points"]
        images = int(runs.size().min()) if len(rows) else None
        unit = "points" if label == FALL else "%"
        cells.append(over_seeds(runs.mean(), DIGITS, unit, sources(rows), images))
        cells.append(Cell(unit="points") if compared is None else difference_cell(rows, compared[label], DIGITS))
    return cells


def _training_images(history: list[Path]) -> pd.DataFrame:
    """One row per run: dataset, recipe, seed, source, images (NaN where the history does not say)."""
    columns = [*RUN, "source", "train_images"]
    return read_runs(history).reindex(columns=columns).drop_duplicates(RUN).rename(columns={"train_images": "images"})


def _image_count(runs: pd.DataFrame) -> Cell:
    known = runs.dropna(subset="images")
    if known.empty:
        return Cell(unit="images")
    counts = known["images"]
    spread = {"low": counts.min(), "high": counts.max()} if counts.nunique() > 1 else {}
    sources = tuple(known["source"])
    return Cell(value=float(counts.mean()), unit="images", n_seeds=len(known), sources=sources, **spread)


def _few_left_out(label: str, runs: pd.DataFrame, base: pd.DataFrame) -> list[str]:
    """Notes when runs of a recipe trained on as many images as those of the whole one, or on hardly fewer."""
    pairs = runs.merge(base, on="seed").dropna(subset=["images_x", "images_y"])
    left_out = pairs["images_y"] - pairs["images_x"]
    notes = []
    for number in sorted(left_out[left_out < FEW * pairs["images_y"]].unique()):
        such = pairs[left_out == number]
        where = "" if len(such) == len(pairs) else f", of seed {', '.join(map(str, such['seed']))}"
        if number == 0:
            notes.append(f"{label}{where}: no training image is in this group, so nothing was left out.")
        else:
            images = f"{number:.0f} of {such['images_y'].iloc[0]:.0f}"
            notes.append(f"{label}{where}: only {images} training images left out, because the group has no more.")
    return notes
