"""Bounds and radii from counts, against the exact binomial distribution."""

import math

import numpy as np
import pytest
from scipy import stats

from robustlens.certification.bounds import abstains, decided, linf_radius, lower_bound, radius
from robustlens.errors import RobustlensError

ALPHA = 0.001
# N, k, the lower bound, the radius in units of sigma (None: abstains).
TABLE = [
    (100, 100, 0.9332543008, 1.500475),
    (100, 99, 0.9113731113, 1.349259),
    (100, 70, 0.5434438503, 0.109114),
    (1_000, 1_000, 0.9931160484, 2.463263),
    (1_000, 999, 0.9908045024, 2.357651),
    (1_000, 990, 0.9760361872, 1.978010),
    (1_000, 900, 0.8674640180, 1.114483),
    (1_000, 549, 0.4996730641, None),
    (10_000, 10_000, 0.9993094630, 3.198578),
    (10_000, 9_990, 0.9975883080, 2.818598),
    (10_000, 9_900, 0.9865311593, 2.212420),
    (10_000, 9_000, 0.8904097337, 1.228710),
    (10_000, 5_155, 0.4999999394, None),
    (100_000, 99_000, 0.9889893404, 2.290000),
    (100_000, 100_000, 0.9999309248, 3.811457),
    (10, 10, 0.5011872336, 0.002976),
]


@pytest.mark.parametrize(("draws", "hits", "p", "in_sigmas"), TABLE)
def test_bounds_and_radii_of_the_table(draws, hits, p, in_sigmas):
    (found,) = lower_bound(np.array([hits]), draws, ALPHA)
    assert found == pytest.approx(p, abs=6e-11)
    assert bool(abstains(found)) is (in_sigmas is None)
    for sigma in (1.0, 0.25):
        assert float(radius(found, sigma)) == pytest.approx(sigma * (in_sigmas or 0.0), abs=6e-7)


@pytest.mark.parametrize("draws", [7, 100, 1_000])
def test_bounds_are_those_of_the_exact_binomial_test(draws):
    hits = np.unique(np.linspace(0, draws, 23).astype(int))
    found = lower_bound(hits, draws, ALPHA)
    for k, p in zip(hits, found, strict=True):
        test = stats.binomtest(int(k), draws, alternative="greater")
        assert p == pytest.approx(test.proportion_ci(1 - ALPHA, "exact").low, abs=1e-10)
        if k:  # by definition: with that probability k hits or more are as rare as alpha
            assert stats.binom.sf(k - 1, draws, p) == pytest.approx(ALPHA, rel=1e-8)
    two_sided = stats.binomtest(990, 1_000).proportion_ci(1 - ALPHA, "exact").low
    assert lower_bound(np.array([990]), 1_000, ALPHA)[0] > two_sided + 1e-3  # which halves alpha


def test_no_hit_has_the_bound_0_and_abstains():
    found = lower_bound(np.array([0, 0, 5]), 10, ALPHA)
    assert found[:2].tolist() == [0.0, 0.0] and abstains(found[:2]).all() and radius(found, 1.0)[:2].tolist() == [0, 0]


@pytest.mark.parametrize(("draws", "fewest"), [(100, 66), (1_000, 550), (10_000, 5_156), (100_000, 50_490)])
def test_the_fewest_hits_that_do_not_abstain(draws, fewest):
    assert abstains(lower_bound(np.arange(draws + 1), draws, ALPHA)).sum() == fewest


def test_nine_draws_always_abstain_and_ten_unless_all_agree():
    assert abstains(lower_bound(np.arange(10), 9, ALPHA)).all()
    assert abstains(lower_bound(np.arange(11), 10, ALPHA)).tolist() == [True] * 10 + [False]


@pytest.mark.parametrize(("p", "draws"), [(0.9, 1_000), (0.5, 100), (0.99, 1_000), (0.7, 137)])
def test_a_bound_is_above_the_truth_as_rarely_as_alpha_says(p, draws):
    hits = np.arange(draws + 1)
    wrong = stats.binom.pmf(hits, draws, p)[lower_bound(hits, draws, ALPHA) > p].sum()
    assert 0.3 * ALPHA < wrong <= ALPHA
    if (p, draws) == (0.9, 1_000):
        assert wrong == pytest.approx(0.00086, abs=5e-6)


def test_a_bound_of_exactly_one_half_certifies_the_radius_0():
    assert abstains(np.array([0.5, np.nextafter(0.5, 0)])).tolist() == [False, True]
    assert radius(np.array([0.5]), 2.0).tolist() == [0.0]


def test_the_radius_of_a_linear_classifier_is_nearly_its_margin():
    """Margin m: the class has the probability Phi(m / sigma), and the smoothed radius is m for every sigma."""
    for sigma, margin, hits, expected in (
        (0.25, 0.3, 8_849, 0.28726),
        (0.5, 0.3, None, 0.27920),
        (0.25, 0.1, None, 0.08999),
    ):
        k = round(10_000 * stats.norm.cdf(margin / sigma))
        assert hits in (None, k)
        found = float(radius(lower_bound(np.array([k]), 10_000, ALPHA), sigma)[0])
        assert found == pytest.approx(expected, abs=6e-6) and found < margin


def test_the_answer_is_decided_by_the_two_sided_binomial_test():
    first, second = np.array([67, 66, 60, 50, 1, 10]), np.array([33, 34, 40, 50, 0, 0])
    assert decided(first, second, ALPHA).tolist() == [True, False, False, False, False, False]
    assert decided(np.array([10]), np.array([0]), 0.002).tolist() == [True]  # p-value 2 / 1024
    for n in (1, 2, 9, 100, 101):
        for k in range((n + 1) // 2, n + 1):
            p_value = stats.binomtest(k, n).pvalue
            for alpha in (0.9 * p_value, min(1.1 * p_value, 0.999)):
                assert bool(decided(np.array([k]), np.array([n - k]), alpha)[0]) is bool(p_value <= alpha)
    assert stats.binomtest(67, 100).pvalue == pytest.approx(0.00087, abs=5e-6)
    assert stats.binomtest(66, 100).pvalue == pytest.approx(0.00179, abs=5e-6)


def test_the_linf_ball_within_an_l2_ball():
    assert float(linf_radius(np.array([0.434711]), 3072)[0]) == pytest.approx(2 / 255, abs=1e-7)
    assert float(linf_radius(np.array([8.0]), 64)[0]) == 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lower_bound(np.array([11]), 10, ALPHA), "10 draws can't have 11 to 11 hits"),
        (lambda: lower_bound(np.array([-1, 3]), 10, ALPHA), "10 draws can't have -1 to 3 hits"),
        (lambda: lower_bound(np.array([0]), 0, ALPHA), "0 draws can't have 0 to 0 hits"),
        (lambda: lower_bound(np.array([1]), 10, 0.0), "alpha is a probability between 0 and 1, not 0.0"),
        (lambda: lower_bound(np.array([1]), 10, 1.5), "alpha is a probability between 0 and 1, not 1.5"),
        (lambda: decided(np.array([3]), np.array([4]), ALPHA), "the first count is the largest one"),
        (lambda: decided(np.array([0]), np.array([0]), ALPHA), "the first count is the largest one"),
    ],
)
def test_impossible_counts_are_refused(call, message):
    with pytest.raises(RobustlensError, match=message):
        call()


def test_the_largest_radius_is_that_of_draws_that_all_agree():
    for draws in (1_000, 10_000, 100_000):
        (p,) = lower_bound(np.array([draws]), draws, ALPHA)
        assert p == pytest.approx(math.exp(math.log(ALPHA) / draws), rel=1e-12)
