"""The closed forms against tabled values, random draws, transports and matchings."""

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from scipy.spatial.distance import cdist

from robustlens.closeness.gaussian_world import (
    Gaussians,
    arc,
    arc_of_spheres,
    best_accuracy,
    conditional_wasserstein,
    decomposition,
    half_space,
    least_distance,
    robust_accuracy,
    robustness,
    two_sided,
)
from robustlens.closeness.linear_robustness import distances_to_wrong, fit_linear, pushed
from robustlens.closeness.wasserstein import conditional_wasserstein as of_samples
from robustlens.closeness.wasserstein import wasserstein
from robustlens.errors import RobustlensError

NORMS = ("l2", "linf")
# mean, weights, bias, deviation; shifts of classes 1 and 0; Rob real and generated, gap, cwd, all in L2
CASES = {
    "common, along w": ((2, 0, 0), (1, 0, 0), 0, 1, (0.5, 0, 0), (0.5, 0, 0), 2.008491, 2.015655, 0.007165, 0.5),
    "towards the boundary": ((2, 0, 0), (1, 0, 0), 0, 1, (-0.5, 0, 0), (0.5, 0, 0), 2.008491, 1.529307, 0.479184, 0.5),
    "orthogonal": ((2, 0, 0), (1, 0, 0), 0, 1, (0, 0.5, 0), (0, 0.5, 0), 2.008491, 2.008491, 0, 0.5),
    "oblique": ((2, 0, 0), (0.8, 0.6, 0), 0.3, 1, (0.3, -0.4, 0), (0.3, -0.4, 0), 1.628291, 1.628291, 0, 0.5),
    "far apart": ((4, 0, 0), (1, 0, 0), 0, 0.5, (-1, 0, 0), (1, 0, 0), 4.0, 3.0, 1.0, 1.0),
    "narrow": ((1, 0, 0), (1, 0, 0), 0, 0.25, (-0.2, 0, 0), (0.2, 0, 0), 1.000002, 0.800046, 0.199955, 0.2),
}


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def world(case: str):
    mean, weights, bias, deviation, positive, negative, *_ = CASES[case]
    real = two_sided(np.array(mean), deviation)
    return real, real.shifted(np.array([negative, positive], float)), half_space(np.array(weights), bias)


# Robustness and its bound ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_robustness_and_distance_are_as_tabled(case):
    real, generated, h = world(case)
    *_, of_real, of_generated, gap, distance = CASES[case]
    found = robustness(real, h, "l2"), robustness(generated, h, "l2")
    assert found == pytest.approx((of_real, of_generated), abs=6e-7)
    assert abs(found[0] - found[1]) == pytest.approx(gap, abs=1.1e-6)
    assert conditional_wasserstein(real, generated, "l2") == pytest.approx(distance, rel=1e-12)


@pytest.mark.parametrize(
    "margin", [(2.0, 2.0084907026), (0.0, 0.3989422804), (-1.0, 0.0833154706), (1.5, 1.5293067938), (2.5, 2.5020041371)]
)
def test_the_mean_of_the_positive_part_of_a_normal_number_is_as_tabled(margin):
    """Both classes have the same margin: it is the mean over them."""
    value, expected = margin
    assert robustness(two_sided(np.array([value]), 1.0), half_space([1.0], 0.0), "l2") == pytest.approx(
        expected, abs=1e-10
    )


def test_in_l_inf_the_distance_is_divided_by_the_sum_of_the_weights():
    real, _, h = world("oblique")
    assert robustness(real, h, "linf") == pytest.approx(1.163065, abs=6e-7)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("case", CASES)
def test_robustness_is_the_mean_distance_of_many_draws(case, norm):
    real, generated, h = world(case)
    for number, one in enumerate((real, generated)):
        x, labels = one.sample(400_000, seeded(number))
        drawn = distances_to_wrong(h, x, labels, norm).mean()
        assert robustness(one, h, norm) == pytest.approx(drawn, abs=0.003)


@pytest.mark.parametrize("norm", NORMS)
def test_a_boundary_nearer_to_one_class_is_as_of_many_draws(norm):
    """The tabled worlds are symmetric about 0: with the bias of the other sign, robustness would be the same there."""
    lopsided, h = Gaussians(np.array([[-1.0, 0.5], [3.0, 1.0]]), 0.8), half_space([1.0, -0.5], 2.0)
    mirrored = half_space([1.0, -0.5], -2.0)
    x, labels = lopsided.sample(400_000, seeded())
    distances = distances_to_wrong(h, x, labels, norm)
    assert robustness(lopsided, h, norm) == pytest.approx(distances.mean(), abs=0.003)
    assert abs(robustness(lopsided, h, norm) - robustness(lopsided, mirrored, norm)) > 0.1
    assert robust_accuracy(lopsided, h, norm, 0.3) == pytest.approx((distances > 0.3).mean(), abs=0.002)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(40))
def test_the_gap_is_never_above_the_distance(seed, norm):
    random = seeded(seed)
    real = Gaussians(random.standard_normal((2, 4)) * 3, random.uniform(0.1, 2))
    generated = real.shifted(random.standard_normal((2, 4)) * random.uniform(0.1, 2))
    h = half_space(random.standard_normal(4), random.standard_normal())
    gap = abs(robustness(real, h, norm) - robustness(generated, h, norm))
    assert gap <= conditional_wasserstein(real, generated, norm)


def test_gaussians_of_other_widths_have_no_such_distance():
    with pytest.raises(RobustlensError, match=r"deviations 1\.0 and 2\.0"):
        conditional_wasserstein(two_sided([1.0], 1.0), two_sided([1.0], 2.0), "l2")


@pytest.mark.parametrize("norm", NORMS)
def test_the_distance_is_what_samples_have_whose_noise_is_the_same(norm):
    real = Gaussians(np.array([[0.0, 1, 2], [3, 1, 0]]), 0.7)
    generated = real.shifted(np.array([[0.2, -0.3, 0.1], [0.0, 0.4, 0.3]]))
    (x, labels), (other, _) = real.sample(150, seeded()), generated.sample(150, seeded())
    expected = {"l2": (math.sqrt(0.14) + 0.5) / 2, "linf": 0.35}[norm]
    assert conditional_wasserstein(real, generated, norm) == pytest.approx(expected, rel=1e-12)
    found = of_samples(x, labels, other, labels, 2, norm, 150, seeded())
    assert found.value == pytest.approx(expected, rel=1e-12)


def test_samples_are_of_the_classes_and_follow_the_seed():
    gaussians = Gaussians(np.array([[0.0, 5], [10, 20]]), 0.5)
    x, labels = gaussians.sample(50_000, seeded())
    assert labels.tolist() == [0] * 50_000 + [1] * 50_000
    for label in (0, 1):
        own = x[labels == label]
        assert own.mean(axis=0) == pytest.approx(gaussians.centres[label], abs=0.01)
        np.testing.assert_allclose(np.cov(own.T), 0.25 * np.eye(2), atol=0.01)
    assert x[:5].tobytes() != gaussians.sample(50_000, seeded(1))[0][:5].tobytes()
    np.testing.assert_allclose(two_sided([1.0, -2.0], 1.0).centres, [[-1, 2], [1, -2]])
    np.testing.assert_allclose(gaussians.shifted([1.0, 2.0]).centres, [[1, 7], [11, 22]])


def test_robust_accuracy_is_as_tabled_and_as_of_many_draws():
    real, generated, h = world("common, along w")
    radii = (0, 0.25, 0.5, 1)
    assert [robust_accuracy(real, h, "l2", e) for e in radii] == pytest.approx(
        [0.977250, 0.959941, 0.933193, 0.841345], abs=6e-7
    )
    assert [robust_accuracy(generated, h, "l2", e) for e in radii] == pytest.approx(
        [0.963492, 0.941063, 0.909297, 0.812328], abs=6e-7
    )
    _, generated, h = world("oblique")
    x, labels = generated.sample(200_000, seeded())
    for norm in NORMS:
        distances = distances_to_wrong(h, x, labels, norm)
        for epsilon in radii:
            found = robust_accuracy(generated, h, norm, epsilon)
            assert found == pytest.approx((distances > epsilon).mean(), abs=0.003)
    integral, _ = quad(lambda epsilon: robust_accuracy(generated, h, "l2", epsilon), 0, 12)
    assert robustness(generated, h, "l2") == pytest.approx(integral, abs=1e-8)  # E t = integral of Pr[t > epsilon]


@pytest.mark.parametrize("case", CASES)
def test_what_is_robust_on_generated_points_at_a_larger_radius_is_on_real_ones(case):
    """RA_e(D) >= RA_{e + |shift|}(D~), and >= RA_{e + t}(D~) - cwd / t for every t."""
    real, generated, h = world(case)
    for norm in NORMS:
        distance = conditional_wasserstein(real, generated, norm)
        for epsilon in (0.0, 0.25, 1.0):
            own = robust_accuracy(real, h, norm, epsilon)
            assert own >= robust_accuracy(generated, h, norm, epsilon + distance) - 1e-15
            for t in (0.3, 1.0, 2.0):
                assert own >= robust_accuracy(generated, h, norm, epsilon + t) - distance / t
    real, generated, h = world("common, along w")
    assert robust_accuracy(real, h, "l2", 0.25) == pytest.approx(0.959941, abs=6e-7)
    assert robust_accuracy(generated, h, "l2", 0.75) == pytest.approx(0.866657, abs=6e-7)


@pytest.mark.parametrize("norm", NORMS)
def test_the_bound_is_reached_where_points_are_pushed_to_the_boundary(norm):
    """300 points of each class in ten dimensions: W1 of these and those is the mean distance, to rounding."""
    random = seeded(5)
    real = two_sided(random.standard_normal(10), 1.0)
    h = half_space(random.standard_normal(10) + real.centres[1], 0.3)
    x, labels = real.sample(300, random)
    moved = pushed(h, x, labels, norm)
    mean = distances_to_wrong(h, x, labels, norm).mean()
    found = of_samples(x, labels, moved, labels, 2, norm, 300, random)
    assert found.value == pytest.approx(mean, abs=1e-12) and mean > 0.3
    assert distances_to_wrong(h, moved, labels, norm).max() < 1e-12
    w, b, sides = h.weights[1], h.bias[1], 2 * labels - 1
    if norm == "l2":
        w, b = w / np.linalg.norm(w), b / np.linalg.norm(w)
        by_hand = x - (np.maximum(0, sides * (x @ w + b)) * sides)[:, None] * w
        np.testing.assert_allclose(moved, by_hand, atol=1e-12)


# ARC ------------------------------------------------------------------------------------------------------------------

TABLE = [  # |shift|, deviation, d_0, ARC, 4 ARC
    (0.5, 1, 0.598706, 0.012402, 0.049610),
    (1, 1, 0.691462, 0.048854, 0.195417),
    (2, 1, 0.841345, 0.184373, 0.737493),
    (4, 1, 0.977250, 0.609548, 2.438194),
    (1, 0.25, 0.977250, 0.152387, 0.609548),
    (1, 0.1, 1.000000, 0.210106, 0.840423),
]
CURVE = [0.977250, 0.945201, 0.884930, 0.788145, 0.655422, 0.5]  # |shift| 1, deviation 0.25, epsilon 0, 0.1, ..., 0.5


@pytest.mark.parametrize(("length", "deviation", "at_0", "area", "four"), TABLE)
def test_arc_in_l2_is_as_tabled_and_is_the_area_under_the_curve(length, deviation, at_0, area, four):
    shift = length * np.array([0.6, 0.0, -0.8])
    assert best_accuracy(shift, deviation, "l2", 0) == pytest.approx(at_0, abs=6e-7)
    assert arc(shift, deviation, "l2") == pytest.approx(area, abs=6e-7)
    assert least_distance(arc(shift, deviation, "l2")) == pytest.approx(four, abs=6e-7) and four <= length
    integral, _ = quad(lambda e: best_accuracy(shift, deviation, "l2", e) - 0.5, 0, length / 2, epsabs=1e-12)
    assert arc(shift, deviation, "l2") == pytest.approx(integral, abs=1e-10)


def test_the_curve_in_l2_is_as_tabled_and_so_are_its_trapezoids():
    found = [best_accuracy(np.array([1.0]), 0.25, "l2", epsilon) for epsilon in np.linspace(0, 0.5, 6)]
    assert found == pytest.approx(CURVE, abs=6e-7)
    for count, expected in ((3, 0.144992), (6, 0.151232), (11, 0.152099), (21, 0.152315), (51, 0.152376)):
        grid = np.linspace(0, 0.5, count)
        heights = [best_accuracy(np.array([1.0]), 0.25, "l2", epsilon) - 0.5 for epsilon in grid]
        assert np.trapezoid(heights, grid) == pytest.approx(expected, abs=6e-7)
    assert best_accuracy(np.array([1.0]), 0.25, "l2", 0.7) == 0.5


def test_the_curve_and_arc_in_l_inf_are_as_tabled():
    shift = np.array([0.6, -0.2, 0.1])
    found = [best_accuracy(shift, 0.25, "linf", epsilon) for epsilon in (0, 0.05, 0.1, 0.2, 0.3)]
    assert found == pytest.approx([0.899837, 0.846089, 0.788145, 0.655422, 0.5], abs=6e-7)
    area = arc(shift, 0.25, "linf")
    assert area == pytest.approx(0.064858, abs=6e-7)
    assert least_distance(area) == pytest.approx(0.259430, abs=1.1e-6) and least_distance(area) <= 0.6
    fine = np.linspace(0, 0.3, 20_001)
    assert area == pytest.approx(
        np.trapezoid([best_accuracy(shift, 0.25, "linf", e) - 0.5 for e in fine], fine), abs=1e-9
    )


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", range(15))
def test_four_arc_is_never_above_the_distance(norm, seed):
    random = seeded(seed)
    shift, deviation = random.standard_normal(5) * random.uniform(0.1, 3), random.uniform(0.02, 2)
    length = np.linalg.norm(shift) if norm == "l2" else abs(shift).max()
    assert 0 < least_distance(arc(shift, deviation, norm)) <= length
    assert arc(0 * shift, deviation, norm) == 0
    sure = least_distance(arc(shift, 1e-4, norm))
    assert sure == pytest.approx(length, abs=1e-3)  # narrow ones reach it


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("epsilon", [0.0, 0.05, 0.15, 0.25])
def test_the_best_discriminator_is_a_half_space_and_no_move_of_both_leaves_more(norm, epsilon):
    """From below the accuracy of half-spaces in all directions on draws; from above that of the best discriminator of
    Gaussians which are moved towards each other, over a grid of moves."""
    shift, deviation = np.array([0.6, -0.2]), 0.25
    draws = deviation * seeded(6).standard_normal((400_000, 2))
    expected = best_accuracy(shift, deviation, norm, epsilon)
    reached = 0.0
    for angle in np.linspace(-np.pi / 2, np.pi / 2, 91):
        w = np.array([np.cos(angle), np.sin(angle)])
        dual = 1.0 if norm == "l2" else abs(w).sum()
        reached = max(reached, (draws @ w + w @ shift / 2 - epsilon * dual > 0).mean())
    assert reached == pytest.approx(expected, abs=0.003)
    if norm == "l2":
        angles, radii = np.linspace(0, 2 * np.pi, 2001)[:, None], np.linspace(0, epsilon, 51)
        moves = np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=-1).reshape(-1, 2)
    else:
        grid = np.linspace(-epsilon, epsilon, 201)
        moves = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    left = np.linalg.norm(shift / 2 - moves, axis=1).min()
    assert expected <= 0.5 * (1 + math.erf(left / deviation / math.sqrt(2))) + 1e-12
    assert expected == pytest.approx(0.5 * (1 + math.erf(left / deviation / math.sqrt(2))), abs=1e-4)


@pytest.mark.parametrize(("shift", "norm"), [((1.0,), "l2"), ((0.8, 0.3), "linf")])
def test_the_curve_is_one_minus_half_of_what_can_be_matched(shift, norm):
    """Strassen: of samples, the best accuracy is 1 - half the share of pairs that meet within 2 epsilon."""
    random, n = seeded(7), 2000
    shift, metric = np.array(shift), {"l2": "euclidean", "linf": "chebyshev"}[norm]
    a, b = 0.25 * random.standard_normal((2, n, len(shift)))
    distances = cdist(a, b + shift, metric)
    for epsilon in (0.1, 0.2, 0.3):
        matched = (maximum_bipartite_matching(csr_array(distances <= 2 * epsilon)) >= 0).sum()
        assert 1 - matched / n / 2 == pytest.approx(best_accuracy(shift, 0.25, norm, epsilon), abs=0.025)


def test_spheres_reach_the_bound():
    random, inner, outer = seeded(8), 0.5, 1.2
    directions = random.standard_normal((300, 4))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance = wasserstein(inner * directions, random.permutation(outer * directions), "l2")
    assert distance == pytest.approx(0.7, abs=1e-12)
    assert least_distance(arc_of_spheres(inner, outer)) == pytest.approx(distance, abs=1e-12)
    distances = cdist(inner * directions, outer * directions)
    heights = []
    for epsilon in np.linspace(0.0005, 0.3995, 400):  # midpoints, of cells of 0.001
        matched = (maximum_bipartite_matching(csr_array(distances <= 2 * epsilon + 1e-9)) >= 0).sum()
        heights.append(1 - matched / 300 / 2 - 0.5)
    assert 0.001 * sum(heights) == pytest.approx(arc_of_spheres(inner, outer), abs=1e-3)


def test_arc_sees_no_labels():
    """All labels of a perfect generator are exchanged: points are the same, classes are 2 |mean| apart."""
    real = two_sided(np.array([1.5, -2.0]), 1.0)
    exchanged = Gaussians(real.centres[::-1], 1.0)
    assert conditional_wasserstein(real, exchanged, "l2") == pytest.approx(5, rel=1e-12)
    assert conditional_wasserstein(real, exchanged, "linf") == pytest.approx(4, rel=1e-12)
    assert arc(real.centres.mean(axis=0) - exchanged.centres.mean(axis=0), 1.0, "l2") == 0


# The three terms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
def test_the_three_terms_are_those_of_many_draws(norm):
    real = two_sided(np.array([1.0, 0.5, 0, 0]), 0.8)
    generated = real.shifted(np.array([[-0.5, 0.2, 0.1, 0], [0.6, 0, 0, 0.3]]))
    found = decomposition(real, generated, norm, per_class=8, samples=5, random=seeded(9))
    random, rows = seeded(9), []
    fresh = [one.sample(200_000, seeded(10 + number)) for number, one in enumerate((generated, real))]
    for _ in range(5):
        x, labels = generated.sample(8, random)
        h = fit_linear(x, labels, 2)
        rows.append([distances_to_wrong(h, *points, norm).mean() for points in ((x, labels), *fresh)])
    empirical, on_generated, on_real = np.mean(rows, axis=0)
    assert found.empirical == pytest.approx(empirical, rel=1e-12)
    assert found.generalisation_penalty == pytest.approx(abs(on_generated - empirical), abs=0.005) and empirical > 0
    assert found.shift_penalty == pytest.approx(abs(on_real - on_generated), abs=0.005)
    assert found.robustness == pytest.approx(on_real, abs=0.005)
    assert found.bound == found.empirical - found.generalisation_penalty - found.shift_penalty <= found.robustness
    assert 0.05 < found.shift_penalty <= found.conditional == conditional_wasserstein(real, generated, norm)
    assert found.generalisation_penalty > 0.02


def test_penalties_vanish_without_a_shift_and_with_many_points():
    real = two_sided(np.array([1.0, 0.5]), 0.8)
    few, many = (decomposition(real, real, "l2", n, 20, seeded(11)) for n in (3, 3000))
    assert few.shift_penalty == many.shift_penalty == few.conditional == 0
    assert many.generalisation_penalty < 0.01 < few.generalisation_penalty
    assert many == decomposition(real, real, "l2", 3000, 20, seeded(11)) != many._replace(empirical=0)
