"""Confusion matrices of the runs of a recipe under one attack."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from robustlens.analysis.classwise import resampled_interval
from robustlens.analysis.confusion import clusters, columns_of, confusion_counts, confusion_rates, predicted
from robustlens.analysis.frames import seeds_by_images
from robustlens.analysis.statistics import Interval
from studies.classwise.class_names import ClassNames
from studies.classwise.halves import each_way, halves
from studies.classwise.results import REFERENCE

ATTACKS = (REFERENCE, "autoattack")  # under which it is shown where images go
CASCADE = (
    "AutoAttack takes an image to the class that the first of its four attacks to fool the classifier reaches; what is "
    "misclassified without an attack stays as it is."
)
ENOUGH = 10  # test images of a class for each class that they may be taken for
CLUSTERS = 3  # of the classes of a dataset without superclasses
NAMED, FIRST = 10, 3  # classes of a cluster that are all named; of more, those that are


def predictions(parts: Sequence[pd.DataFrame]) -> tuple[np.ndarray, np.ndarray]:
    """The predictions on attacked images (seeds, parts, N), and the labels (N,), of the seeds and images that all parts
    have. Each part: one recipe under one attack."""
    tables = [seeds_by_images(part, "prediction_adversarial") for part in parts]
    seeds, images = tables[0].index, tables[0].columns
    for table in tables[1:]:
        seeds, images = seeds.intersection(table.index), images.intersection(table.columns)
    numbers = np.stack([table.loc[seeds, images].to_numpy().astype(np.int64) for table in tables], axis=1)
    labels = parts[0].drop_duplicates("index").set_index("index")["label"].loc[images].to_numpy()
    return numbers, labels


def few_images(part: pd.DataFrame, classes: int) -> bool:
    """Whether chance empties most of a confusion matrix, which makes it lopsided and its largest errors a matter of
    chance: a class has fewer than ENOUGH images for each of the classes. part: rows of one recipe under one attack."""
    return bool(part.groupby(["seed", "label"]).size().min() < ENOUGH * classes)


def mean_rates(part: pd.DataFrame, classes: int) -> np.ndarray:
    """The confusion matrix (classes, classes), as shares of the images of each true class, averaged over the seeds; NaN
    in the row of a class without images."""
    numbers, labels = predictions([part])
    return np.mean([confusion_rates(confusion_counts(labels, run, classes)) for run in numbers[:, 0]], axis=0)


def matrix_interval(
    parts: Sequence[pd.DataFrame],
    classes: int,
    measure: Callable[..., np.ndarray],
    within: tuple[float, float],
) -> Interval | None:
    """Interval of a measure of the matrices of runs, averaged over seeds and parts; None where a class has no images.

    measure: takes packed matrices (..., classes, K) and, by name, their `columns`.
    """
    numbers, labels = predictions(parts)
    if not numbers.size or len(np.unique(labels)) < classes:
        return None
    columns = columns_of(labels, numbers, classes)

    def statistic(means: np.ndarray) -> np.ndarray:
        return measure(_matrices(means), columns=columns).mean(axis=(1, 2))

    return resampled_interval(predicted(labels, numbers, columns), labels, statistic, within)


def halved_interval(
    parts: Sequence[pd.DataFrame],
    classes: int,
    measure: Callable[..., np.ndarray],
    within: tuple[float, float],
) -> Interval | None:
    """As `matrix_interval`, of a measure of two matrices, of one half of the images and of the other, averaged over
    both ways; None where a class has not both."""
    numbers, labels = predictions(parts)
    strata = halves(labels)
    if not numbers.size or len(np.unique(strata)) < 2 * classes:
        return None
    columns = columns_of(labels, numbers, classes)

    def statistic(means: np.ndarray) -> np.ndarray:
        found = [measure(_matrices(one), _matrices(other), columns=columns) for one, other in each_way(means)]
        return np.mean(found, axis=0).mean(axis=(1, 2))

    return resampled_interval(predicted(labels, numbers, columns), strata, statistic, within)


def groups_of(names: ClassNames, parts: Mapping[str, pd.DataFrame]) -> tuple[list[str], list[Sequence[int]]]:
    """The names and classes of a dataset's superclasses or, where it has none, of clusters of the mean matrix of all
    recipes. parts: recipe -> rows under one attack."""
    if names.superclasses:
        return list(names.superclasses), list(names.superclasses.values())
    rates = np.mean([mean_rates(part, len(names.names)) for part in parts.values()], axis=0)
    found = clusters(np.nan_to_num(rates), min(CLUSTERS, len(names.names)))
    return [_title([names.names[c] for c in group]) for group in found], found


def _title(members: Sequence[str]) -> str:
    """Of a cluster, by the names of its classes."""
    if len(members) <= NAMED:
        return ", ".join(members)
    return f"{', '.join(members[:FIRST])} and {len(members) - FIRST} more"


def _matrices(means: np.ndarray) -> np.ndarray:
    """Rows: true classes."""
    return np.swapaxes(means, -1, -2)
