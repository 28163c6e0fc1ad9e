"""W1 against permutations, sorted numbers, translations and a linear program; its samples against loops."""

import itertools
import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment, linprog
from scipy.spatial.distance import cdist
from sklearn.datasets import load_digits

from robustlens.closeness import drawing
from robustlens.closeness.wasserstein import conditional_wasserstein, floor, wasserstein
from robustlens.errors import RobustlensError

NORMS = ("l2", "linf")


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def distance(x: np.ndarray, y: np.ndarray, norm: str) -> float:
    differences = [float(a) - float(b) for a, b in zip(x.ravel(), y.ravel(), strict=True)]
    return math.sqrt(math.fsum(d * d for d in differences)) if norm == "l2" else max(map(abs, differences))


def transported(cost: np.ndarray) -> float:
    """The transport of equal weights as a linear program."""
    n, m = cost.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    shares = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    return linprog(cost.ravel(), A_eq=np.concatenate([rows, columns]), b_eq=shares).fun


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("n", range(1, 7))
def test_it_is_the_best_of_all_permutations(n, norm):
    random = seeded(n)
    a, b = random.random((2, n, 1, 2, 2))
    means = [
        math.fsum(distance(a[i], b[j], norm) for i, j in enumerate(order)) / n
        for order in itertools.permutations(range(n))
    ]
    assert wasserstein(a, b, norm) == pytest.approx(min(means), rel=1e-13)
    assert n < 3 or max(means) > 1.05 * min(means)


def test_in_one_dimension_it_pairs_in_order():
    a, b = seeded(1).random((2, 200, 1))
    expected = abs(np.sort(a, axis=0) - np.sort(b, axis=0)).mean()
    assert [wasserstein(a, b, norm) for norm in NORMS] == pytest.approx([expected] * 2, rel=1e-12)


@pytest.mark.parametrize(("norm", "length"), [("l2", 1.3), ("linf", 1.2)])
def test_of_a_translation_it_is_the_length_of_the_shift(norm, length):
    a, shift = seeded(2).random((80, 3)), np.array([0.3, -1.2, 0.4])
    assert wasserstein(a, seeded(3).permutation(a + shift), norm) == pytest.approx(length, abs=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_identical_images_are_at_0_exactly(norm):
    a = seeded(4).random((100, 3, 16, 16)).astype(np.float32)
    assert wasserstein(a, seeded(5).permutation(a), norm) == 0.0


@pytest.mark.parametrize("sizes", [(4, 12), (12, 4), (1, 7), (5, 5)])
def test_of_a_multiple_it_is_the_transport_between_both(sizes):
    a, b = (seeded(number).random((n, 3)) for number, n in enumerate(sizes))
    for norm, metric in zip(NORMS, ("euclidean", "chebyshev"), strict=True):
        assert wasserstein(a, b, norm) == pytest.approx(transported(cdist(a, b, metric)), rel=1e-9)


def test_of_a_multiple_it_is_no_assignment_of_a_part():
    """A matching of 50 images with the nearest 50 of 800 is not W1; 50, each 16 times, with 800 is."""
    a, b = seeded(6).random((50, 8)), seeded(7).random((800, 8))
    cost = cdist(a, b)
    assert wasserstein(a, b, "l2") == pytest.approx(wasserstein(a.repeat(16, axis=0), b, "l2"), rel=1e-12)
    assert wasserstein(a, b, "l2") > 1.2 * cost[linear_sum_assignment(cost)].mean()


@pytest.mark.parametrize("sizes", [(150, 800), (800, 150), (3, 2), (0, 4), (4, 0), (0, 0)])
def test_other_numbers_are_refused(sizes):
    with pytest.raises(RobustlensError, match=rf"^W1 of {sizes[0]} and {sizes[1]} images: draw as many of each"):
        wasserstein(np.zeros((sizes[0], 2)), np.zeros((sizes[1], 2)), "l2")


def test_images_that_cannot_be_compared_are_refused():
    with pytest.raises(RobustlensError, match=r"^W1 between images of shape \(1, 4\) and of \(4,\)"):
        wasserstein(np.zeros((2, 1, 4)), np.zeros((2, 4)), "l2")
    with pytest.raises(RobustlensError, match=r"^norm 'l1': distances are measured in one of l2, linf"):
        wasserstein(np.zeros((2, 4)), np.zeros((2, 4)), "l1")
    for value in (np.nan, np.inf):
        with pytest.raises(RobustlensError, match=r"^W1 of images that are not finite"):
            wasserstein(np.full((2, 4), value), np.zeros((2, 4)), "l2")


# Samples of each class ------------------------------------------------------------------------------------------------


def labelled(seed: int, each: int = 9, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Images about 0, 10 and 20, mixed, and their labels."""
    labels = seeded(seed).permutation(np.repeat(np.arange(classes), each))
    return 10.0 * labels[:, None] + seeded(seed + 100).random((len(labels), 2)), labels


@pytest.mark.parametrize("norm", NORMS)
def test_of_all_images_it_is_the_mean_of_the_classes(norm):
    (a, labels_a), (b, labels_b) = labelled(0), labelled(1)
    found = conditional_wasserstein(a, labels_a, b, labels_b, 3, norm, 9, seeded())
    expected = [wasserstein(a[labels_a == k], b[labels_b == k], norm) for k in range(3)]
    assert found.by_class == pytest.approx(expected, rel=1e-12) and found.per_class == 9
    assert found.value == pytest.approx(sum(expected) / 3, rel=1e-12) and max(expected) < 1


def test_images_are_drawn_once_each_by_seed_and_of_both_sides():
    (a, labels_a), (b, labels_b) = labelled(0), labelled(1, each=20)
    arguments = (a, labels_a, b, labels_b, 3, "l2", 4)
    first, again, other = (conditional_wasserstein(*arguments, seeded(seed)) for seed in (0, 0, 1))
    assert first.by_class.tolist() == again.by_class.tolist() != other.by_class.tolist() and first.per_class == 4
    positions = drawing.drawn(labels_b, 3, 20, seeded(), "real")
    assert sorted(positions.ravel().tolist()) == list(range(60))
    assert (labels_b[positions] == np.arange(3)[:, None]).all()
    left_out = {tuple(drawing.drawn(labels_b, 3, 19, seeded(seed), "real")[0]) for seed in range(40)}
    assert set(range(60)) & set.union(*map(set, left_out)) == set(np.flatnonzero(labels_b == 0).tolist())


def test_a_class_with_too_few_images_is_refused_by_name():
    (a, labels_a), (b, labels_b) = labelled(0), labelled(1)
    for labels, whose in (((labels_a != 1), "real"), ((labels_b != 1), "generated")):
        ours = labels_a[labels] if whose == "real" else labels_a
        theirs = labels_b[labels] if whose == "generated" else labels_b
        with pytest.raises(RobustlensError, match=rf"^class 1 has 0 {whose} images, and 5 of each class are needed"):
            conditional_wasserstein(a, ours, b, theirs, 3, "l2", 5, seeded())
    with pytest.raises(RobustlensError, match=r"^class 0 has 9 real images, and 10 of each class are needed"):
        floor(a, labels_a, 3, "l2", 5, seeded())


def test_the_floor_is_between_different_real_images():
    """Of four images of a class at 0, 1, 3 and 7, two and the other two: 3 1/2 where 0 and 7 are together, else 5/2 or
    9/2. The same images on both sides would be at 0."""
    images, labels = np.array([0.0, 1, 3, 7] * 2)[:, None], np.repeat([0, 1], 4)
    pairs = {
        wasserstein(images[list(one)], images[[i for i in range(4) if i not in one]], "l2")
        for one in itertools.combinations(range(4), 2)
    }
    found = [floor(images, labels, 2, "l2", 2, seeded(seed)) for seed in range(30)]
    assert {value for one in found for value in one.by_class.tolist()} == pairs and min(pairs) > 0
    assert all(one.value == one.by_class.mean() and one.per_class == 2 for one in found)


def test_the_floor_of_digits_is_as_measured_elsewhere():
    """1.311 (L2, 60 a class), 1.289 and 0.513 (L2 and L-inf, 75 a class), by another implementation."""
    pixels, labels = load_digits(return_X_y=True)
    for norm, per_class, expected in (("l2", 60, 1.311), ("l2", 75, 1.289), ("linf", 75, 0.513)):
        found = floor(pixels / 16, labels, 10, norm, per_class, seeded(1))
        assert found.value == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    ("d", "n", "expected"), [(64, 50, 9.757), (64, 160, 9.364), (64, 500, 9.148), (3072, 160, 76.622)]
)
def test_samples_of_one_distribution_are_apart(d, n, expected):
    """As measured elsewhere, and a shift of 1 makes little difference."""
    a, b = seeded(8).standard_normal((2, n, d))
    floor_of_it = wasserstein(a, b, "l2")
    assert floor_of_it == pytest.approx(expected, rel=0.01)
    b[:, 0] += 1
    assert abs(wasserstein(a, b, "l2") - floor_of_it) < 0.1


def test_a_subsample_is_of_different_images_in_order():
    assert drawing.subsample(5, 5, seeded()).tolist() == drawing.subsample(5, 9, seeded()).tolist() == [0, 1, 2, 3, 4]
    some = drawing.subsample(1_000_000, 1000, seeded(3))
    assert len(some) == 1000 and (np.diff(some) > 0).all() and some[0] >= 0 and some[-1] < 1_000_000
    assert some.mean() == pytest.approx(5e5, rel=0.06)  # not the first ones
    assert some.tolist() == drawing.subsample(1_000_000, 1000, seeded(3)).tolist()
    assert some.tolist() != drawing.subsample(1_000_000, 1000, seeded(4)).tolist()
