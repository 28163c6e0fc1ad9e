"""Where attacked images go: confusion matrices, classes in groups, and how symmetric and how concentrated errors are.

A matrix has the true class as row and the prediction as column. Its rates are shares of the images of the true class.
"""

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

Groups = Sequence[Sequence[int]]


def confusion_counts(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """How many images of each class get each prediction: (classes, classes). labels, predictions: (N,), from 0 to
    classes - 1."""
    return np.bincount(labels * classes + predictions, minlength=classes**2).reshape(classes, classes)


def confusion_rates(counts: np.ndarray) -> np.ndarray:
    """The rows of counts (..., C, C) as shares of their sums; NaN for a class without images."""
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=-1, keepdims=True)


def predicted(predictions: np.ndarray, classes: int) -> np.ndarray:
    """1 where an image gets a prediction, else 0: predictions (..., N) become (..., classes, N).

    The mean over the images of each class is a confusion matrix with rows and columns exchanged.
    """
    return (predictions[..., None, :] == np.arange(classes)[:, None]).astype(np.float64)


def aggregated(counts: np.ndarray, groups: Groups) -> np.ndarray:
    """The matrix (..., C, C) of counts between groups of classes: (..., G, G). Raises ValueError if the groups do not
    have each class once."""
    members = _members(counts.shape[-1], groups)
    return members @ counts @ members.T


def symmetry(rates: np.ndarray) -> np.ndarray:
    """1 - sum_{i<j} |m_ij - m_ji| / sum_{i<j} (m_ij + m_ji) of rates m (..., C, C), an index of ours.

    1: every class is taken for any other as often as that one for it; 0: of each pair only one is taken for the other.
    NaN where there are no errors. The diagonal does not count.
    """
    first, second = np.triu_indices(rates.shape[-1], 1)
    forth, back = rates[..., first, second], rates[..., second, first]
    with np.errstate(invalid="ignore"):
        return 1 - np.abs(forth - back).sum(axis=-1) / (forth + back).sum(axis=-1)


def share_within(rates: np.ndarray, groups: Groups) -> np.ndarray:
    """The share of the errors of rates (..., C, C) that stay in the group of the true class; every class counts with
    its rate of errors."""
    errors, same = _errors(rates), _same_group(rates.shape[-1], groups)
    with np.errstate(invalid="ignore"):
        return (errors * same).sum(axis=(-2, -1)) / errors.sum(axis=(-2, -1))


def even_share_within(rates: np.ndarray, groups: Groups) -> np.ndarray:
    """What `share_within` would be if the errors of each class were spread evenly over all other classes."""
    classes = rates.shape[-1]
    evenly = _errors(rates).sum(axis=-1, keepdims=True) / (classes - 1) * (1 - np.eye(classes))
    return share_within(evenly, groups)


def share_of_largest(rates: np.ndarray, chosen_by: np.ndarray, count: int) -> np.ndarray:
    """The share of the errors of rates (..., C, C) that go, of each true class, to the `count` wrong classes that are
    largest in `chosen_by`, rates of other images: those of the same images would make it too large by chance."""
    classes = rates.shape[-1]
    hidden = np.where(np.eye(classes, dtype=bool), -1.0, chosen_by)
    largest = np.argsort(-hidden, axis=-1, kind="stable")[..., :count]
    errors = _errors(rates)
    with np.errstate(invalid="ignore"):
        return np.take_along_axis(errors, largest, axis=-1).sum(axis=(-2, -1)) / errors.sum(axis=(-2, -1))


def clusters(rates: np.ndarray, count: int) -> list[list[int]]:
    """The classes of rates (C, C) in at most `count` groups of those that are taken for each other most, the groups in
    the order of their first classes. Ours, for data that have no superclasses: average linkage, where two classes are
    the nearer the larger (m_ij + m_ji) / 2 is.
    """
    nearness = (rates + rates.T) / 2
    np.fill_diagonal(nearness, nearness.max())
    tree = linkage(squareform(nearness.max() - nearness, checks=False), method="average")
    numbers = fcluster(tree, count, criterion="maxclust")
    found = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return sorted(found)


def _errors(rates: np.ndarray) -> np.ndarray:
    return rates * (1 - np.eye(rates.shape[-1]))


def _members(classes: int, groups: Groups) -> np.ndarray:
    """(G, C): 1 where a class is in a group."""
    if sorted(number for group in groups for number in group) != list(range(classes)):
        raise ValueError(f"groups {groups} must have each of the classes 0 to {classes - 1} once")
    return np.array([np.isin(np.arange(classes), group) for group in groups], dtype=np.int64)


def _same_group(classes: int, groups: Groups) -> np.ndarray:
    members = _members(classes, groups)
    return members.T @ members
