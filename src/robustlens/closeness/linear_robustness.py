"""Robustness of linear classifiers, exactly: where both sides of the bound on how robustness transfers can be measured.

Rob(h, D) = E_{(x, y) ~ D} inf { |x - x'| : h(x') != y }, the mean distance to the nearest point that is misclassified,
which is 0 for an image that is misclassified itself. Points may be anywhere, not only in [0, 1].

Our statement of the bound (Sehwag et al. 2022, theorem 1, whose wording we have not seen): if the classes are as
frequent in D as in D~, then for every classifier h

    |Rob(h, D) - Rob(h, D~)| <= cwd(D, D~), the mean over the classes of W1(D|y, D~|y).

From x to x' the distance to a set changes by at most |x - x'|. So its means over D|y and over D~|y differ by at most
the mean distance of any pairing; take the best pairing, and the mean over y. Samples are distributions, too: for two
samples with n images of each class, the bound holds up to rounding.
"""

import warnings
from typing import NamedTuple

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from robustlens.closeness.drawing import check_all_there, drawn
from robustlens.closeness.norms import norm_called, vectors
from robustlens.closeness.wasserstein import Conditional, between
from robustlens.errors import RobustlensError

ITERATIONS = 1000


class LinearClassifier(NamedTuple):
    """x gets the class k with the largest w_k.x + b_k. weights: float64 (K, d); bias: float64 (K,)."""

    weights: np.ndarray
    bias: np.ndarray

    def scores(self, images: np.ndarray) -> np.ndarray:
        """Of images (N, ...) with d values each: float64 (N, K)."""
        return vectors(images) @ self.weights.T + self.bias


class Transfer(NamedTuple):
    """Both sides of the bound, on the same images. real, generated: Rob of each, over all classes. gap: the distance of
    the two; conditional: its `value` is the bound."""

    real: float
    generated: float
    gap: float
    conditional: Conditional


def fit_linear(images: np.ndarray, labels: np.ndarray, classes: int, cost: float = 1.0) -> LinearClassifier:
    """Multinomial logistic regression by scikit-learn, with its penalty |w|^2 / (2 cost) beside the sum of the losses.

    It stops after ITERATIONS steps of L-BFGS, at the minimum or not: the bound holds for every classifier.
    Raises RobustlensError for a class without images.
    """
    check_all_there(labels, classes, "training")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = LogisticRegression(C=cost, max_iter=ITERATIONS).fit(vectors(images), labels)
    weights, bias = fitted.coef_, fitted.intercept_
    if classes == 2:  # has one row, for the second class against the first
        weights, bias = np.concatenate([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return LinearClassifier(weights, bias)


def distances_to_wrong(classifier: LinearClassifier, images: np.ndarray, labels: np.ndarray, norm: str) -> np.ndarray:
    """inf { |x - x'| : h(x') != y } of each image, float64 (N,): min_k (s_y - s_k)_+ / |w_y - w_k|_*, where s are the
    scores and |.|_* is the dual norm.

    Misclassified are the points of the half-spaces s_k >= s_y, of which each is that far away. inf for an image that no
    change misclassifies, as with equal rows of weights.
    """
    return _nearest(classifier, images, labels, norm)[0]


def pushed(classifier: LinearClassifier, images: np.ndarray, labels: np.ndarray, norm: str) -> np.ndarray:
    """Each image moved to a nearest point at which it is misclassified, or is about to be; float64, shape as before.

    So the bound is reached (Sehwag et al. 2022, lemma 3; our statement): these images D' have Rob(h, D') = 0, and
    cwd(D, D') = Rob(h, D), for samples as for distributions: no pairing has a shorter mean distance than that, and the
    pairing of each image with where it went has no longer one.
    Raises RobustlensError for an image that no change misclassifies.
    """
    distances, others = _nearest(classifier, images, labels, norm)
    if not np.isfinite(distances).all():
        raise RobustlensError(
            "some images are misclassified nowhere, so that they cannot be pushed there; take a classifier without "
            "equal rows of weights"
        )
    moved, rows = distances > 0, vectors(images).copy()
    across = classifier.weights[labels[moved]] - classifier.weights[others[moved]]
    direction = np.sign(across) if norm == "linf" else across / np.linalg.norm(across, axis=1, keepdims=True)
    rows[moved] -= distances[moved, None] * direction
    return rows.reshape(images.shape)


def transfer(
    classifier: LinearClassifier,
    images: np.ndarray,
    labels: np.ndarray,
    generated: np.ndarray,
    generated_labels: np.ndarray,
    norm: str,
    per_class: int,
    random: np.random.Generator,
) -> Transfer:
    """The bound on `per_class` real and as many generated images of each class, drawn by `random`. The gap must not be
    above it; whoever calls judges that.

    Raises RobustlensError for a class with fewer images on either side.
    """
    classes = len(classifier.bias)
    first = drawn(labels, classes, per_class, random, "real")
    second = drawn(generated_labels, classes, per_class, random, "generated")
    conditional = between(images, first, generated, second, norm)
    first, second = first.ravel(), second.ravel()
    real = float(distances_to_wrong(classifier, images[first], labels[first], norm).mean())
    other = float(distances_to_wrong(classifier, generated[second], generated_labels[second], norm).mean())
    return Transfer(real, other, abs(real - other), conditional)


def _nearest(
    classifier: LinearClassifier, images: np.ndarray, labels: np.ndarray, norm: str
) -> tuple[np.ndarray, np.ndarray]:
    """The distances, and the class of the half-space that each is the distance to, int64 (N,)."""
    scores, measure = classifier.scores(images), norm_called(norm)
    distances, others = np.empty(len(scores)), np.empty(len(scores), np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        margins = scores[own, label, None] - scores[own]
        lengths = measure.dual_length(classifier.weights[label] - classifier.weights)
        with np.errstate(divide="ignore", invalid="ignore"):  # equal weights
            steps = np.where(margins > 0, margins / lengths, 0.0)
        steps[:, label] = np.inf
        others[own] = steps.argmin(axis=1)
        distances[own] = steps.min(axis=1)
    return distances, others
