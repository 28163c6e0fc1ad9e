"""Recipes that train without one class, beside the recipe that trains on all of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from robustlens.analysis.class_removal import Answers, Comparison, Fates, attacked_into, comparisons, fates
from robustlens.analysis.evaluations import largest, sources
from robustlens.analysis.frames import read_evaluations, read_runs, seeds_by_images
from robustlens.errors import RobustlensError
from robustlens.report import threats
from robustlens.report.context import Context
from studies.classwise import results

READ = [*results.READ, "prediction_natural"]
RULE = (
    "B: the class that PGD-20 turns most images of A into, of the images that are classified correctly without an "
    "attack. C, a control: of the removed classes other than A and B, the one that fewest of these images are turned "
    "into. Of classes with equally many, that with the lowest number is taken."
)


@dataclass(frozen=True)
class Removal:
    """What a recipe on a dataset says with all classes and without each of some; of the seeds and images that all have.

    classes: how many the dataset has. seeds: how many there are. files: what the answers come from.
    """

    answers: Answers
    classes: int
    seeds: int
    files: tuple[str, ...]

    def compared(self) -> list[Comparison]:
        return comparisons(attacked_into(self.answers, self.classes), list(self.answers.without))

    def fates(self) -> Fates | None:
        """Of all classes that have a comparison; None where none has."""
        compared = self.compared()
        return fates(self.answers, compared) if compared else None


def read_removal(context: Context, evaluations: Iterable[Path], history: Iterable[Path]) -> pd.DataFrame:
    """The rows of the best checkpoints under PGD-20, each recipe under the threat of its training, with the class that
    it trains without as `removed`, which is NaN for a recipe that trains on all.

    history: `history.parquet` files; a class is removed if none of its images is among the tracked training images.
    """
    runs = read_runs(history, ["epoch", "split", "class_total"])
    removed = {run: _removed(*run, of_run) for run, of_run in runs.groupby(["dataset", "recipe"])}
    rows = threats.of_training(largest(read_evaluations(evaluations, READ)), context)
    rows = rows[(rows["checkpoint"] == "best") & (rows["attack"] == results.REFERENCE)]
    of_row = [removed.get(run, np.nan) for run in zip(rows["dataset"], rows["recipe"], strict=True)]
    return rows.assign(removed=of_row)


def _removed(dataset: str, recipe: str, runs: pd.DataFrame) -> float:
    missing = set.intersection(
        *(set(np.flatnonzero(np.array(total) == 0)) for total in runs.loc[runs["split"] == "train", "class_total"])
    )
    if len(missing) > 1:
        raise RobustlensError(f"{recipe} on {dataset} trains without {len(missing)} classes; leave out one at a time")
    return float(missing.pop()) if missing else np.nan


def removals(context: Context, rows: pd.DataFrame) -> dict[str, Removal]:
    """Of one dataset, by the recipe that trains on all classes. rows: of `read_removal`."""
    found = {}
    for base, whole in rows[rows["removed"].isna()].groupby("recipe", sort=False):
        changed = [recipe for recipe in rows["recipe"].unique() if context.changes(recipe) == base]
        less = rows[rows["recipe"].isin(changed) & rows["removed"].notna()]
        if len(less):
            found[base] = _removal(whole, {int(k): part for k, part in less.groupby("removed")})
    return found


def _removal(whole: pd.DataFrame, parts: dict[int, pd.DataFrame]) -> Removal:
    natural = seeds_by_images(whole, "prediction_natural")
    tables = [seeds_by_images(part, "prediction_adversarial") for part in (whole, *parts.values())]
    seeds, images = natural.index, natural.columns
    for table in tables:
        seeds, images = seeds.intersection(table.index), images.intersection(table.columns)
    natural, adversarial, *without = (t.loc[seeds, images].to_numpy().astype(np.int64) for t in (natural, *tables))
    labels = whole.drop_duplicates("index").set_index("index")["label"].loc[images].to_numpy()
    answers = Answers(labels, natural, adversarial, dict(zip(parts, without, strict=True)))
    used = pd.concat([part[part["seed"].isin(seeds)] for part in (whole, *parts.values())])
    return Removal(answers, int(labels.max()) + 1, len(seeds), tuple(sources(used)))
