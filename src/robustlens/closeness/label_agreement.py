"""Whether generated images are of the class that they are said to be of, by the word of a classifier of real images."""

from typing import NamedTuple

import numpy as np
from sklearn.svm import SVC

from robustlens.closeness.drawing import check_all_there, subsample
from robustlens.closeness.norms import vectors
from robustlens.errors import RobustlensError

COST = 10.0
MOST = 5000  # training images of the SVM, whose time grows with the square of their number


class Agreement(NamedTuple):
    """agreement: the share of the generated images that get their label; by_class: of those of each class, float64
    (classes,), NaN where there are none. held_out: the share of held-out real images that get theirs, without which the
    other says little. images, held_out_images: their numbers. trained_on: how many images the classifier saw, None for
    one that was not trained here."""

    agreement: float
    by_class: np.ndarray
    held_out: float
    images: int
    held_out_images: int
    trained_on: int | None = None


def agreement(
    predictions: np.ndarray,
    labels: np.ndarray,
    held_out_predictions: np.ndarray,
    held_out_labels: np.ndarray,
    classes: int,
) -> Agreement:
    """Of the predictions int (N,) and (M,) of any classifier that saw neither the generated nor the held-out images.

    Raises RobustlensError where there are no images on one side.
    """
    for values, whose in ((labels, "generated"), (held_out_labels, "held-out")):
        if not len(values):
            raise RobustlensError(f"no {whose} images to compare labels of; take at least one")
    right, total = (
        np.bincount(labels, weights, minlength=classes).astype(np.float64) for weights in (predictions == labels, None)
    )
    with np.errstate(invalid="ignore"):
        by_class = right / total
    held_out = float((held_out_predictions == held_out_labels).mean())
    return Agreement(float(right.sum() / total.sum()), by_class, held_out, len(labels), len(held_out_labels))


def svm_agreement(
    images: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    held_out_labels: np.ndarray,
    train: np.ndarray,
    train_labels: np.ndarray,
    classes: int,
    random: np.random.Generator,
    most: int = MOST,
) -> Agreement:
    """Of scikit-learn's SVM with the kernel exp(-|x - x'|^2 / (d v)) and C = COST, where d is the number of values of
    an image and v their variance. It is good at small images, such as digits, and bad at photographs, as `held_out`
    shows: take the predictions of a network for those (`agreement`).

    train: real images, of which at most `most` are used, drawn by `random`.
    Raises RobustlensError for a class without training images, and where there are no images on one side.
    """
    where = subsample(len(train_labels), most, random)
    check_all_there(train_labels[where], classes, "training")
    fitted = SVC(C=COST, kernel="rbf", gamma="scale").fit(vectors(train[where]), train_labels[where])
    predictions, others = (fitted.predict(vectors(some)) if len(some) else some for some in (images, held_out))
    return agreement(predictions, labels, others, held_out_labels, classes)._replace(trained_on=len(where))
