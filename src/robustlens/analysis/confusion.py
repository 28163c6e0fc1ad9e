"""Where attacked images go: confusion matrices, classes in groups, and how symmetric and how concentrated errors are.

A matrix has the true class as row and the prediction as column. Its rates are shares of the images of the true class.

Of a thousand classes with fifty images each, most cells are empty. A packed matrix (..., C, K) leaves them out:
`columns` (C, K), ascending in each row, has the class that each entry is of.
"""

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Groups = Sequence[Sequence[int]]
SPARE = 3  # empty entries in each row of a packed matrix, so that the largest two are the same as in the whole one


def confusion_counts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class get each prediction: (classes, classes). labels, predictions: (N,), from 0 to
    classes - 1."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def confusion_rates(counts: np.ndarray) -> np.ndarray:
    """The rows of counts (..., C, C) as shares of their sums; NaN for a class without images."""
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=-1, keepdims=True)


def columns_of(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """The columns (classes, K) of packed matrices that have room for these predictions (..., N) on images of these
    labels (N,): in each row the classes that occur there, and the lowest others, at least SPARE where there are as
    many, until all rows are of one length."""
    seen = np.zeros((classes, classes), dtype=bool)
    seen[np.broadcast_to(labels, predictions.shape), predictions] = True
    length = min(classes, seen.sum(axis=1).max() + SPARE)
    return np.sort(np.argsort(~seen, axis=1, kind="stable")[:, :length], axis=1)


def predicted(labels: np.ndarray, predictions: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """1 where an image gets a prediction, else 0: labels (N,) and predictions (..., N) become (..., K, N).

    The mean over the images of each class is a packed matrix with rows and columns exchanged.
    """
    return (predictions[..., None, :] == columns[labels].T).astype(np.float64)


def aggregated(counts: np.ndarray, groups: Groups) -> np.ndarray:
    """The matrix (..., C, C) of counts between groups of classes: (..., G, G). Of rates, classes count equally. Raises
    ValueError if the groups do not have each class once."""
    members = _members(counts.shape[-1], groups)
    return members @ counts @ members.T


def symmetry(rates: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
    """1 - sum_{i<j} |m_ij - m_ji| / sum_{i<j} (m_ij + m_ji) of rates m (..., C, K), an index of ours.

    1: every class is taken for any other as often as that one for it; 0: of each pair only one is taken for the other.
    NaN where there are no errors. The diagonal does not count. columns: of packed rates, here as in what follows.
    """
    columns = _columns(rates, columns)
    forth = _errors(rates, columns)
    mirrored, there = _mirrored(columns)
    back = np.where(there, forth.reshape(*forth.shape[:-2], -1)[..., mirrored], 0.0)
    once = np.where(there, 0.5, 1.0)  # a pair of two entries is met twice
    with np.errstate(invalid="ignore"):
        return 1 - (once * np.abs(forth - back)).sum(axis=(-2, -1)) / forth.sum(axis=(-2, -1))


def share_within(rates: np.ndarray, groups: Groups, columns: np.ndarray | None = None) -> np.ndarray:
    """The share of the errors of rates (..., C, K) that stay in the group of the true class; every class counts with
    its rate of errors."""
    columns = _columns(rates, columns)
    errors, group = _errors(rates, columns), _group_of_each(len(columns), groups)
    with np.errstate(invalid="ignore"):
        return (errors * (group[columns] == group[:, None])).sum(axis=(-2, -1)) / errors.sum(axis=(-2, -1))


def even_share_within(rates: np.ndarray, groups: Groups, columns: np.ndarray | None = None) -> np.ndarray:
    """What `share_within` would be if the errors of each class were spread evenly over all other classes."""
    columns = _columns(rates, columns)
    wrong, group = _errors(rates, columns).sum(axis=-1), _group_of_each(len(columns), groups)
    others = np.bincount(group)[group] - 1  # of the same group
    with np.errstate(invalid="ignore"):
        return (wrong * others).sum(axis=-1) / (len(columns) - 1) / wrong.sum(axis=-1)


def share_of_largest(
    rates: np.ndarray, chosen_by: np.ndarray, count: int, columns: np.ndarray | None = None
) -> np.ndarray:
    """The share of the errors of rates (..., C, K) that go, of each true class, to the `count` wrong classes that are
    largest in `chosen_by`, rates of other images: those of the same images would make it too large by chance. Of equal
    ones the lowest number counts. Of packed rates count is below SPARE."""
    columns = _columns(rates, columns)
    hidden = np.where(_diagonal(columns), -1.0, chosen_by)
    largest = np.argsort(-hidden, axis=-1, kind="stable")[..., :count]
    errors = _errors(rates, columns)
    with np.errstate(invalid="ignore"):
        return np.take_along_axis(errors, largest, axis=-1).sum(axis=(-2, -1)) / errors.sum(axis=(-2, -1))


def clusters(rates: np.ndarray, count: int) -> list[list[int]]:
    """The classes of rates (C, C) in at most `count` groups of those that are taken for each other most, the groups in
    the order of their first classes. Ours, for data that have no superclasses: weighted average linkage (WPGMA), where
    two classes are the nearer the larger (m_ij + m_ji) / 2 is, and of a group the two parts that it was joined from
    count equally. If all classes counted equally (UPGMA), those that are seldom taken for others would stay alone, and
    nearly all others come together; if the least near two counted (complete linkage), most groups of many classes would
    be equally far, because a thousand classes have pairs without an error everywhere.
    """
    nearness = (rates + rates.T) / 2
    np.fill_diagonal(nearness, nearness.max())
    tree = linkage(squareform(nearness.max() - nearness, checks=False), method="weighted")
    numbers = fcluster(tree, count, criterion="maxclust")
    found = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return sorted(found)


def _columns(rates: np.ndarray, columns: np.ndarray | None) -> np.ndarray:
    """Those of rates that are not packed are all classes, in every row."""
    return np.indices(rates.shape[-2:])[1] if columns is None else columns


def _diagonal(columns: np.ndarray) -> np.ndarray:
    return columns == np.arange(len(columns))[:, None]


def _errors(rates: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return rates * ~_diagonal(columns)


def _mirrored(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For the entry of i taken for j, (C, K): where that of j taken for i is among all entries, row by row, and whether
    there is one."""
    classes, rows = len(columns), np.arange(len(columns))[:, None]
    places = np.full((classes, classes), -1)
    places[rows, columns] = np.arange(columns.size).reshape(columns.shape)
    found = places[columns, rows]
    return found, found >= 0


def _members(classes: int, groups: Groups) -> np.ndarray:
    """(G, C): 1 where a class is in a group."""
    if sorted(number for group in groups for number in group) != list(range(classes)):
        raise ValueError(f"groups {groups} must have each of the classes 0 to {classes - 1} once")
    return np.array([np.isin(np.arange(classes), group) for group in groups], dtype=np.int64)


def _group_of_each(classes: int, groups: Groups) -> np.ndarray:
    """(C,): the number of the group that a class is in."""
    return _members(classes, groups).argmax(axis=0)
