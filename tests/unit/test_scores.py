"""The scores against pytorch-fid, closed forms and explicit loops."""

import math

import numpy as np
import pytest

from robustlens.errors import RobustlensError
from robustlens.generation.scores import (
    frechet_distance,
    inception_score,
    kernel_distance,
    moments,
    two_half_spread,
)

pytestmark = pytest.mark.filterwarnings("ignore:The `disp` argument:DeprecationWarning")  # raised within pytorch-fid


def random_features(n, d, seed, shift=0.0):
    """Correlated, skewed features, as a ReLU network gives them."""
    rng = np.random.default_rng(seed)
    return np.maximum(rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + shift, 0.0)


def pytorch_fid_distance(features1, features2):
    from pytorch_fid.fid_score import calculate_frechet_distance

    return calculate_frechet_distance(
        *(statistic for f in (features1, features2) for statistic in (f.mean(axis=0), np.cov(f, rowvar=False)))
    )


def distance(features1, features2):
    a, b = moments(features1), moments(features2)
    return frechet_distance(a.mean, a.covariance, b.mean, b.covariance)


# ---------------------------------------------------------------- Fréchet distance


@pytest.mark.parametrize(("n", "d"), [(400, 3), (400, 24), (60, 48)])
def test_frechet_agrees_with_pytorch_fid(n, d):
    a, b = random_features(n, d, seed=1), random_features(n + 37, d, seed=2, shift=0.3)
    assert distance(a, b) == pytest.approx(pytorch_fid_distance(a, b), rel=1e-6)


def test_frechet_agrees_with_pytorch_fid_near_singularity():
    """One direction has 1e-10 of the variance of the others: the product is invertible, but barely."""
    a, b = random_features(300, 12, seed=3), random_features(300, 12, seed=4)
    rng = np.random.default_rng(5)
    for features in (a, b):
        features[:, 5] = features[:, 6] + 1e-5 * rng.normal(size=300)
    eigenvalues = np.linalg.eigvalsh(np.cov(a, rowvar=False))
    assert eigenvalues[0] / eigenvalues[-1] < 1e-9
    assert distance(a, b) == pytest.approx(pytorch_fid_distance(a, b), rel=1e-6)


def test_frechet_with_fewer_images_than_dimensions():
    """Singular covariances: the trace of the root is then the nuclear norm of the centred cross product."""
    a, b = random_features(10, 30, seed=6), random_features(15, 30, seed=7, shift=0.2)
    centred_a, centred_b = (a - a.mean(axis=0)) / 3.0, (b - b.mean(axis=0)) / math.sqrt(14.0)
    nuclear = np.linalg.svd(centred_a @ centred_b.T, compute_uv=False).sum()
    expected = (
        ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum() + (centred_a**2).sum() + (centred_b**2).sum() - 2 * nuclear
    )
    assert distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_diagonal_covariances_has_a_closed_form():
    mean1, mean2 = np.array([0.0, 1.0, -2.0]), np.array([0.5, 1.0, 1.0])
    variance1, variance2 = np.array([1.0, 4.0, 0.0]), np.array([9.0, 0.25, 2.0])
    by_hand = sum(
        (m1 - m2) ** 2 + (math.sqrt(v1) - math.sqrt(v2)) ** 2
        for m1, m2, v1, v2 in zip(mean1, mean2, variance1, variance2, strict=True)
    )
    assert frechet_distance(mean1, np.diag(variance1), mean2, np.diag(variance2)) == pytest.approx(by_hand, rel=1e-12)


def test_frechet_of_a_distribution_with_itself_is_zero_and_never_below():
    own = moments(random_features(20, 40, seed=8))
    value = frechet_distance(own.mean, own.covariance, own.mean, own.covariance)
    assert 0.0 <= value < 1e-5 * np.trace(own.covariance)


def test_frechet_refuses_features_of_different_networks():
    with pytest.raises(RobustlensError, match="3 and of 4 dimensions"):
        frechet_distance(np.zeros(3), np.eye(3), np.zeros(4), np.eye(4))


# ---------------------------------------------------------------- moments


def test_moments_by_loops_and_in_float64():
    """float32 features far from 0, whose covariance float32 sums would lose."""
    features = (random_features(50, 4, seed=9) + 4096.0).astype(np.float32)
    n, d = features.shape
    mean = [math.fsum(float(features[i, j]) for i in range(n)) / n for j in range(d)]
    covariance = [
        [
            math.fsum((float(features[i, j]) - mean[j]) * (float(features[i, k]) - mean[k]) for i in range(n)) / (n - 1)
            for k in range(d)
        ]
        for j in range(d)
    ]
    found = moments(features)
    assert found.n == n
    assert found.mean.dtype == found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.mean, mean, rtol=1e-13)
    np.testing.assert_allclose(found.covariance, covariance, rtol=1e-9)


def test_moments_count_what_is_not_finite():
    features = np.zeros((10, 3))
    features[2, 0], features[2, 1], features[7, 2] = np.nan, np.inf, -np.inf
    with pytest.raises(RobustlensError, match="2 of 10 images are not finite"):
        moments(features)


def test_moments_need_two_images():
    with pytest.raises(RobustlensError, match="at least 2 images and got 1"):
        moments(np.zeros((1, 3)))


def test_two_half_spread_by_hand():
    features, other = random_features(41, 5, seed=10), random_features(60, 5, seed=11)
    order = np.random.default_rng(12).permutation(41)
    halves = [pytorch_fid_distance(features[part], other) for part in (order[:20], order[20:])]
    assert two_half_spread(features, moments(other), seed=12) == pytest.approx(abs(halves[0] - halves[1]), rel=1e-6)


# ---------------------------------------------------------------- inception score


def inception_score_by_loops(logits):
    rows = []
    for row in logits:
        total = math.fsum(math.exp(v) for v in row)
        rows.append([math.exp(v) / total for v in row])
    marginal = [math.fsum(row[k] for row in rows) / len(rows) for k in range(len(rows[0]))]
    divergences = [sum(p * math.log(p / q) for p, q in zip(row, marginal, strict=True)) for row in rows]
    return math.exp(math.fsum(divergences) / len(rows))


def test_inception_score_by_loops():
    logits = np.random.default_rng(13).normal(size=(50, 7)) * 2.0
    assert inception_score(logits, splits=1, seed=0) == pytest.approx((inception_score_by_loops(logits), 0.0))


def test_inception_score_of_splits():
    logits = np.random.default_rng(14).normal(size=(53, 4)) * 3.0
    shuffled = logits[np.random.default_rng(2020).permutation(53)]
    parts = [inception_score_by_loops(part) for part in (shuffled[:18], shuffled[18:36], shuffled[36:])]
    mean = sum(parts) / 3
    std = math.sqrt(sum((p - mean) ** 2 for p in parts) / 3)
    assert inception_score(logits, splits=3, seed=2020) == pytest.approx((mean, std))


def test_inception_score_takes_log_probabilities_too():
    logits = np.random.default_rng(15).normal(size=(40, 5))
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert inception_score(log_p, 4, 1) == pytest.approx(inception_score(logits, 4, 1), rel=1e-12)


def test_inception_score_at_its_bounds():
    """Certain and balanced gives K, even where a softmax underflows to 0; ignorance gives 1."""
    certain = np.tile(np.eye(6) * 2000.0, (5, 1))
    assert inception_score(certain, 1, 0)[0] == pytest.approx(6.0)
    assert inception_score(np.zeros((30, 6)), 3, 0) == pytest.approx((1.0, 0.0))


def test_inception_score_refuses_too_few_images():
    with pytest.raises(RobustlensError, match="at least 20 images and got 19"):
        inception_score(np.zeros((19, 3)), splits=10, seed=0)


# ---------------------------------------------------------------- kernel distance


def squared_mmd_by_loops(x, y):
    d = x.shape[1]

    def kernel(a, b):
        return (math.fsum(float(i) * float(j) for i, j in zip(a, b, strict=True)) / d + 1.0) ** 3

    m, n = len(x), len(y)
    within_x = math.fsum(kernel(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    within_y = math.fsum(kernel(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return within_x + within_y - 2.0 * math.fsum(kernel(a, b) for a in x for b in y) / (m * n)


def test_kernel_distance_of_all_images_by_double_loops():
    x, y = random_features(14, 6, seed=16), random_features(14, 6, seed=17, shift=0.5)
    mean, std = kernel_distance(x, y, subset_size=14, subsets=3)
    assert mean == pytest.approx(squared_mmd_by_loops(x, y), rel=1e-10)
    assert std == pytest.approx(0.0, abs=1e-10)


def test_kernel_distance_of_subsets_by_double_loops():
    x, y = random_features(30, 4, seed=18), random_features(25, 4, seed=19)
    rng = np.random.default_rng(5)
    values = []
    for _ in range(4):
        chosen_x, chosen_y = rng.choice(30, 8, replace=False), rng.choice(25, 8, replace=False)
        assert len(set(chosen_x)) == len(set(chosen_y)) == 8
        values.append(squared_mmd_by_loops(x[chosen_x], y[chosen_y]))
    mean = sum(values) / 4
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / 4)
    assert kernel_distance(x, y, subset_size=8, subsets=4, seed=5) == pytest.approx((mean, std), rel=1e-9)


def test_kernel_distance_is_unbiased():
    """Both sides of one distribution: the mean over many subsets is 0 within its error, while a biased one is not."""
    x, y = np.random.default_rng(20).normal(size=(2, 4000, 3))
    mean, std = kernel_distance(x, y, subset_size=20, subsets=400, seed=1)
    assert abs(mean) < 4 * std / math.sqrt(400)
    assert std < 1.0


def test_kernel_distance_refuses_subsets_larger_than_the_data():
    with pytest.raises(RobustlensError, match="at least 10 images and got 9"):
        kernel_distance(np.zeros((9, 2)), np.zeros((10, 2)), subset_size=10)
    with pytest.raises(RobustlensError, match="subset_size must be at least 2"):
        kernel_distance(np.zeros((9, 2)), np.zeros((10, 2)), subset_size=1)
