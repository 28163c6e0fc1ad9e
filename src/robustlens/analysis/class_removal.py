"""Training without one of the classes: what becomes of the images that were attacked into it.

Class A is compared without its confuser B, the class that most of its images are attacked into, and without a control
C, which few are attacked into: any training again changes what becomes of images near a decision boundary, whichever
class it leaves out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its parts are imported when they are first used: scipy.stats takes longer than a whole table

from robustlens.analysis.classwise import class_means, resampled_interval
from robustlens.analysis.confusion import confusion_counts
from robustlens.analysis.statistics import Interval

SMALLEST = 3  # classes: A, B and C


@dataclass(frozen=True)
class Comparison:
    """attacked: class A. confuser, control: the classes B and C, without which it is compared."""

    attacked: int
    confuser: int
    control: int


@dataclass(frozen=True)
class Answers:
    """What classifiers trained on all classes say, and those trained without one, about the same N images.

    labels: (N,). natural, adversarial: predictions (seeds, N) of those trained on all classes, without and under
    attack. without: by the class that was left out, the predictions (seeds, N) under attack.
    """

    labels: np.ndarray
    natural: np.ndarray
    adversarial: np.ndarray
    without: Mapping[int, np.ndarray]


def attacked_into(answers: Answers, classes: int) -> np.ndarray:
    """How many images of each class (row) are classified correctly without an attack, and as which class (column) under
    it: (classes, classes), over all seeds."""
    labels = np.broadcast_to(answers.labels, answers.natural.shape)
    right = answers.natural == labels
    return confusion_counts(labels[right], answers.adversarial[right], classes)


def comparisons(counts: np.ndarray, removed: Sequence[int]) -> list[Comparison]:
    """The comparison of each class whose confuser was removed.

    B is the class that most images of A are attacked into. C is the one that fewest are attacked into, of the removed
    classes other than A and B. Of equal ones the lowest number counts. A class that no image is attacked out of has no
    comparison, nor has one whose B was not removed or that has no C.
    counts: of `attacked_into`. removed: classes. Raises ValueError for fewer than three classes, and for a removed
    class that is none of them.
    """
    classes = len(counts)
    if classes < SMALLEST:
        raise ValueError(f"{classes} classes: a comparison takes three, one that is attacked and two that are removed")
    unknown = sorted(set(removed) - set(range(classes)))
    if unknown:
        raise ValueError(f"removed class {unknown[0]}: the classes are 0 to {classes - 1}")
    found = []
    for attacked in range(classes):
        others = counts[attacked] * (np.arange(classes) != attacked)
        confuser = int(others.argmax())
        controls = [k for k in sorted(removed) if k not in (attacked, confuser)]
        if others[confuser] > 0 and confuser in removed and controls:
            found.append(Comparison(attacked, confuser, min(controls, key=lambda k: others[k])))
    return found


@dataclass(frozen=True)
class Fates:
    """What became of the images that were attacked into B. values: (seeds, 5, N), 1 or 0, in the order of KINDS, and 0
    for every other image; labels: (N,)."""

    values: np.ndarray
    labels: np.ndarray

    @property
    def count(self) -> int:
        """How many images there are, over all seeds."""
        return int(self.values[:, 0].sum())

    def share(self, kind: int) -> float:
        """Of one of KINDS, among all of these images."""
        return float(self.values[:, kind].sum() / self.values[:, 0].sum())


KINDS = (
    "attacked into B",
    "robust without B",
    "attacked elsewhere without B",
    "robust without C",
    "attacked elsewhere without C",
)
ROBUST_WITHOUT_B, ROBUST_WITHOUT_C = KINDS.index("robust without B"), KINDS.index("robust without C")


def fates(answers: Answers, compared: Sequence[Comparison]) -> Fates:
    """Of the images of the compared classes that are classified correctly without an attack and as B under it, when all
    classes are trained on. Elsewhere: neither A nor B; what is neither robust nor attacked elsewhere is attacked into B
    again. An image that is misclassified without an attack is not robust."""
    values, labels = [], []
    for comparison in compared:
        of_class = answers.labels == comparison.attacked
        natural, adversarial = answers.natural[:, of_class], answers.adversarial[:, of_class]
        chosen = (natural == comparison.attacked) & (adversarial == comparison.confuser)
        kinds = [chosen]
        for removed in (comparison.confuser, comparison.control):
            again = answers.without[removed][:, of_class]
            robust = again == comparison.attacked
            kinds += [chosen & robust, chosen & ~robust & (again != comparison.confuser)]
        values.append(np.stack(kinds, axis=1).astype(np.float64))
        labels.append(answers.labels[of_class])
    return Fates(np.concatenate(values, axis=-1), np.concatenate(labels))


def shares(means: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The share of each of KINDS among the first of them: (draws, 5), each image counted once.

    means: (draws, seeds, 5, classes), of the values of `Fates`. images: of each class.
    """
    totals = (means * images).sum(axis=(1, 3))
    with np.errstate(invalid="ignore"):
        return totals / totals[:, :1]


def share_interval(found: Fates, kind: int) -> Interval:
    """Of the share of one of KINDS; see `resampled_interval`. A and B stay those that were chosen.

    Where all images fare alike in all seeds, that would have no width; there it is the exact binomial interval (Clopper
    and Pearson 1934) of as many independent images, each counted once.
    """
    share = found.share(kind)
    if share in (0.0, 1.0):
        chosen = found.values[:, 0]
        images, seeds = (int(chosen.any(axis=axis).sum()) for axis in (0, 1))
        exact = scipy.stats.binomtest(round(share * images), images).proportion_ci()
        factors = "images only (all fare alike)" if seeds == 1 else f"images (all fare alike, in {seeds} seeds)"
        return Interval(share, float(exact.low), float(exact.high), factors)
    images = np.unique(found.labels, return_counts=True)[1]
    return resampled_interval(found.values, found.labels, lambda means: shares(means, images)[:, kind], (0, 1))


def difference_interval(found: Fates) -> Interval:
    """Of the share that is robust without B minus the share of the same images that is robust without C."""
    images = np.unique(found.labels, return_counts=True)[1]

    def statistic(means: np.ndarray) -> np.ndarray:
        of_draw = shares(means, images)
        return of_draw[:, ROBUST_WITHOUT_B] - of_draw[:, ROBUST_WITHOUT_C]

    return resampled_interval(found.values, found.labels, statistic, (-1, 1))


def accuracy_changes(answers: Answers, classes: int) -> np.ndarray:
    """By how much the robust accuracy (0..1) of each class (row) changes, on average over the seeds, when a class
    (column) is removed: (classes, classes); NaN on the diagonal and for a class that was not removed."""
    changes = np.full((classes, classes), np.nan)
    before = (answers.adversarial == answers.labels).mean(axis=0)
    for removed, again in answers.without.items():
        after = (again == answers.labels).mean(axis=0)
        changes[:, removed] = class_means(after - before, answers.labels, classes)
    np.fill_diagonal(changes, np.nan)
    return changes
