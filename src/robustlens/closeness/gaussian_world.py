"""A world of two classes in which closeness and robustness are known: isotropic Gaussians, real and generated ones that
differ by a shift of each class, and linear classifiers.

All closed forms are our statements, with their proofs in short; Phi and phi are the distribution function and the
density of N(0, 1).
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.integrate import quad
from scipy.stats import norm as normal

from robustlens.closeness.linear_robustness import LinearClassifier, distances_to_wrong, fit_linear
from robustlens.closeness.norms import norm_called
from robustlens.errors import RobustlensError


@dataclass(frozen=True, eq=False)
class Gaussians:
    """Two classes y, 0 and 1, equally frequent: x|y ~ N(c_y, s^2 I). centres: c, float64 (2, d). deviation: s > 0."""

    centres: np.ndarray
    deviation: float

    def shifted(self, shifts: np.ndarray) -> "Gaussians":
        """With centres c_y + shifts[y], for shifts (2, d) or (d,)."""
        return Gaussians(self.centres + shifts, self.deviation)

    def sample(self, per_class: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """`per_class` points of each class, float64 (2 per_class, d), and their labels int64, class after class."""
        labels = np.repeat(np.arange(2), per_class)
        noise = random.standard_normal((len(labels), self.centres.shape[1]))
        return self.centres[labels] + self.deviation * noise, labels


def two_sided(mean: np.ndarray, deviation: float) -> Gaussians:
    """Class 1 about `mean` (d,), and class 0 about -mean."""
    return Gaussians(np.array([-1.0, 1.0])[:, None] * np.asarray(mean, np.float64), deviation)


def half_space(weights: np.ndarray, bias: float) -> LinearClassifier:
    """The classifier that says 1 where w.x + b > 0, for weights (d,)."""
    weights = np.asarray(weights, np.float64)
    return LinearClassifier(np.array([0 * weights, weights]), np.array([0.0, bias]))


def robustness(world: Gaussians, classifier: LinearClassifier, norm: str) -> float:
    """Rob, as `linear_robustness` defines it: 1/2 sum_y g(m_y, s |w|_2) / |w|_* where w = w_y - w_k and k is the other
    class, m_y = w.c_y + b_y - b_k, and g(m, t) = E (m + t z)_+ = m Phi(m/t) + t phi(m/t).

    Because the distance of x is (w.x + b)_+ / |w|_*, and w.x + b is normal, too.
    """
    measure = norm_called(norm)
    of_class = [_positive_part(m, spread) / measure.dual_length(w) for m, spread, w in _margins(world, classifier)]
    return float(np.mean(of_class))


def robust_accuracy(world: Gaussians, classifier: LinearClassifier, norm: str, epsilon: float) -> float:
    """The share of points whose whole ball of radius epsilon is classified rightly: 1/2 sum_y
    Phi((m_y - epsilon |w|_*) / (s |w|_2)), with the names of `robustness`."""
    measure = norm_called(norm)
    of_class = [(m - epsilon * measure.dual_length(w)) / spread for m, spread, w in _margins(world, classifier)]
    return float(normal.cdf(of_class).mean())


def conditional_wasserstein(world: Gaussians, other: Gaussians, norm: str) -> float:
    """The mean over y of W1 = |c_y - c'_y|: no pairing is shorter (Jensen), and a translation is as short.

    Raises RobustlensError for different deviations, for which it has no such form.
    """
    if world.deviation != other.deviation:
        raise RobustlensError(
            f"W1 of Gaussians with deviations {world.deviation} and {other.deviation}: it is known for equal ones only"
        )
    return float(norm_called(norm).length(world.centres - other.centres).mean())


def best_accuracy(shift: np.ndarray, deviation: float, norm: str, epsilon: float) -> float:
    """d_epsilon: the best accuracy of a discriminator between N(0, s^2 I) and N(shift, s^2 I), equally frequent, on
    points that are moved by up to epsilon: Phi(|r|_2 / s), where r is what is left of half the shift after a move.

    L2: |r| = (|shift|/2 - epsilon)_+. L-inf: r_i = sign(shift_i) (|shift_i|/2 - epsilon)_+.
    Moving both by as much towards each other leaves Gaussians that are 2 r apart; the half-space through the middle
    across r reaches their best accuracy against every move.
    """
    return float(normal.cdf(_left(shift, norm, epsilon) / deviation))


def arc(shift: np.ndarray, deviation: float, norm: str) -> float:
    """The area under `best_accuracy` above chance: the integral of d_epsilon - 1/2 over epsilon from 0.

    L2: s [a (Phi(a) - 1/2) + phi(a) - phi(0)] with a = |shift| / 2s. L-inf: numerically, from kink to kink.
    That chance is subtracted, and nothing else divided by, is ours: published areas may be defined in another way.
    """
    shift = np.asarray(shift, np.float64)
    if norm_called(norm).order == 2:
        a = float(np.linalg.norm(shift)) / (2 * deviation)
        return float(deviation * (a * (normal.cdf(a) - 0.5) + normal.pdf(a) - normal.pdf(0)))
    kinks = np.unique([0.0, *np.abs(shift) / 2])
    return math.fsum(
        quad(lambda epsilon: best_accuracy(shift, deviation, norm, epsilon) - 0.5, start, stop, epsabs=1e-13)[0]
        for start, stop in itertools.pairwise(kinks)
    )


def arc_of_spheres(inner: float, outer: float) -> float:
    """The same of uniform distributions on concentric spheres of these radii, in L2: (outer - inner) / 4.

    Up to epsilon = (outer - inner) / 2 a sphere half-way between them tells them apart; then they can meet.
    Their W1 is outer - inner, which `least_distance` reaches.
    """
    return (outer - inner) / 4


def least_distance(arc: float) -> float:
    """4 ARC: W1 of two distributions is at least that, and so is cwd where classes are as frequent in both (Sehwag et
    al. 2022, theorem 2, whose wording we have not seen; our statement).

    Points within 2 epsilon can be moved to one point, so that d_epsilon <= 1/2 + 1/2 Pr[|x - x'| > 2 epsilon] for every
    pairing; its mean distance is 2 times the integral of that probability. Of an area that trained discriminators
    give, which is an estimate, it proves nothing. ARC sees no labels: where all are wrong it stays as it is.
    """
    return 4 * arc


class Decomposition(NamedTuple):
    """What becomes of the robustness of classifiers on generated samples, each a mean over samples.

    empirical: Rob on the sample that was learnt from. generalisation_penalty: |that on all that could be generated -
    empirical|; shift_penalty: |Rob on real points - that|, where | | is taken of the means. robustness: Rob on real
    points, which is at least `bound` = empirical - the two penalties. conditional: cwd, at least the shift penalty.
    """

    empirical: float
    generalisation_penalty: float
    shift_penalty: float
    robustness: float
    bound: float
    conditional: float


def decomposition(
    real: Gaussians, generated: Gaussians, norm: str, per_class: int, samples: int, random: np.random.Generator
) -> Decomposition:
    """For logistic regression (`fit_linear`) on `samples` samples of `per_class` generated points of each class.

    The three terms are those of a drawing by the first author of Sehwag et al. 2022 (post of 25 April 2022); that they
    bound the robustness from below, and how they are computed, is our statement. On both distributions Rob is exact.
    """
    conditional, measured = conditional_wasserstein(real, generated, norm), []
    for _ in range(samples):
        points, labels = generated.sample(per_class, random)
        learnt = fit_linear(points, labels, classes=2)
        empirical = distances_to_wrong(learnt, points, labels, norm).mean()
        measured.append((empirical, robustness(generated, learnt, norm), robustness(real, learnt, norm)))
    empirical, on_generated, on_real = np.mean(measured, axis=0).tolist()
    generalisation, shift = abs(on_generated - empirical), abs(on_real - on_generated)
    return Decomposition(empirical, generalisation, shift, on_real, empirical - generalisation - shift, conditional)


def _margins(world: Gaussians, classifier: LinearClassifier) -> list[tuple[float, float, np.ndarray]]:
    """Of each class y: m_y, s |w|_2 and w, as in `robustness`."""
    found = []
    for label, other in ((0, 1), (1, 0)):
        across = classifier.weights[label] - classifier.weights[other]
        margin = across @ world.centres[label] + classifier.bias[label] - classifier.bias[other]
        found.append((margin, world.deviation * np.linalg.norm(across), across))
    return found


def _positive_part(mean: float, deviation: float) -> float:
    """E (mean + deviation z)_+ for z ~ N(0, 1)."""
    return mean * normal.cdf(mean / deviation) + deviation * normal.pdf(mean / deviation)


def _left(shift: np.ndarray, norm: str, epsilon: float) -> float:
    """|r|_2 of `best_accuracy`."""
    half = np.abs(shift) / 2
    if norm_called(norm).order == 2:
        return max(float(np.linalg.norm(half)) - epsilon, 0.0)
    return float(np.linalg.norm(np.maximum(half - epsilon, 0.0)))
