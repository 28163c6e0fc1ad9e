"""Statistics of the accuracies of classes, against hand-made tables and plain loops."""

import math
from itertools import combinations, combinations_with_replacement

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from robustlens.analysis import classwise

RATES = np.array([0.70, 0.15, 0.45])


def test_variance_gap_and_worst_of_three_classes_by_hand():
    mean = (0.70 + 0.15 + 0.45) / 3
    variance = ((0.70 - mean) ** 2 + (0.15 - mean) ** 2 + (0.45 - mean) ** 2) / 3
    assert variance == pytest.approx(0.050556, abs=5e-7)
    assert classwise.class_variance(RATES) == pytest.approx(variance, rel=1e-12)
    assert classwise.class_gap(RATES) == pytest.approx(0.55, rel=1e-12)
    assert classwise.worst_class(RATES) == 0.15
    assert classwise.mean_of_worst(RATES, 2) == pytest.approx(0.30, rel=1e-12)
    assert classwise.worst_tenth(RATES) == 0.15


def test_a_class_without_images_has_no_rate_and_does_not_count():
    rates = classwise.class_means(np.array([[1, 0, 1, 1], [0, 0, 1, 0]]), np.array([0, 0, 2, 2]), 3)
    assert rates[:, [0, 2]].tolist() == [[0.5, 1.0], [0.0, 0.5]]
    assert np.isnan(rates[:, 1]).all()
    assert classwise.class_variance(rates) == pytest.approx([0.0625, 0.0625], rel=1e-12)
    assert classwise.class_gap(rates).tolist() == [0.5, 0.5]
    assert classwise.mean_of_worst(rates, 2).tolist() == [0.75, 0.25]


def test_the_worst_tenth_is_rounded_up():
    rates = np.arange(25) / 25
    assert classwise.worst_tenth(rates) == pytest.approx((0 + 1 + 2) / 75, rel=1e-12)
    with pytest.raises(ValueError, match="worst 4 of 3 classes"):
        classwise.mean_of_worst(RATES, 4)


def test_rank_correlations_with_ties_are_those_of_loops_and_of_scipy():
    x, y = np.array([0.1, 0.4, 0.4, 0.9, 0.3]), np.array([0.2, 0.1, 0.5, 0.5, 0.3])
    pairs = list(combinations(range(5), 2))
    sign = [(np.sign(x[i] - x[j]), np.sign(y[i] - y[j])) for i, j in pairs]
    tau = sum(a * b for a, b in sign) / math.sqrt(sum(a != 0 for a, _ in sign) * sum(b != 0 for _, b in sign))
    assert classwise.kendall(x, y) == pytest.approx(tau, rel=1e-12)
    assert classwise.kendall(x, y) == pytest.approx(stats.kendalltau(x, y).statistic, rel=1e-12)
    assert classwise.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, rel=1e-12)
    assert classwise.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, rel=1e-12)
    together = classwise.kendall(np.stack([x, y, -x]), np.stack([y, y, x]))
    assert together == pytest.approx([tau, 1.0, -1.0], rel=1e-12)
    assert np.isnan(classwise.spearman(x, np.full(5, 0.5))) and np.isnan(classwise.kendall(np.full(5, 0.5), x))


def test_kendall_of_many_classes_with_many_ties_is_that_of_scipy():
    random = np.random.default_rng(0)
    x = random.integers(0, 51, (3, 1, 400)) / 50
    y = np.clip(x + random.integers(-20, 21, (1, 2, 400)) / 50, 0, 1)
    expected = [[stats.kendalltau(x[i, 0], y[i, j]).statistic for j in range(2)] for i in range(3)]
    assert classwise.kendall(x, y) == pytest.approx(np.array(expected), rel=1e-12)
    assert classwise.kendall(x, y[:1, :1])[1, 0] == pytest.approx(
        stats.kendalltau(x[1, 0], y[0, 0]).statistic, rel=1e-12
    )


def evaluated(seed, labels, predictions, index):
    columns = {"seed": seed, "index": index, "label": labels, "prediction_adversarial": predictions}
    return pd.DataFrame(columns)


def test_answers_are_of_the_seeds_and_images_that_all_parts_have():
    first = pd.concat([evaluated(0, [0, 1, 2], [0, 0, 2], [5, 7, 9]), evaluated(1, [0, 1, 2], [1, 1, 1], [5, 7, 9])])
    second = pd.concat([evaluated(1, [2, 1], [2, 0], [9, 7]), evaluated(4, [2, 1], [2, 1], [9, 7])])
    right, labels = classwise.shared_answers([first, second])
    assert right.tolist() == [[[1.0, 0.0], [0.0, 1.0]]]  # seed 1, images 7 and 9
    assert labels.tolist() == [1, 2]


def test_the_interval_of_a_class_is_exact_where_no_answer_differs():
    right = np.array([[1, 0, 1, 1, 0], [1, 1, 1, 0, 0]])
    found = classwise.accuracy_interval(right)
    assert found.estimate == 0.6 and 0 <= found.low < 0.6 < found.high <= 1 and found.factors == "seeds and images"
    always = classwise.accuracy_interval(np.ones((3, 20)))
    assert (always.estimate, always.high) == (1.0, 1.0)
    assert always.low == pytest.approx(0.025 ** (1 / 20), rel=1e-9)  # p with p^20 = 2.5 %
    one = classwise.accuracy_interval(np.zeros((1, 1)))
    assert (one.low, one.high) == pytest.approx((0.0, 0.975), rel=1e-9)


def test_the_resampled_interval_of_a_mean_has_the_width_that_the_binomial_has():
    right = np.repeat([[1.0, 0.0]], [300, 100], axis=1)[0][None]
    interval = classwise.resampled_interval(
        right, np.zeros(400, int), classwise.per_run(classwise.worst_class), draws=4000
    )
    spread = math.sqrt(0.75 * 0.25 / 400)
    assert interval.estimate == 0.75 and interval.factors == "images only (one seed)"
    # The standard deviation of 4000 draws is known to 1.1 %, and their mean to a 63rd of it.
    assert (interval.high - interval.low) / 2 == pytest.approx(1.959964 * spread, rel=0.045)
    assert (interval.high + interval.low) / 2 == pytest.approx(0.75, abs=4 * spread / 63)


def test_the_resampled_interval_is_its_formula_by_hand():
    """Four draws, which are recorded, of two classes and two seeds."""
    values, labels, draws = np.array([[1.0, 0, 0, 1, 1], [0, 0, 1, 1, 0]]), np.array([0, 0, 0, 1, 1]), []

    def gap(rates):
        found = (rates[..., 1] - rates[..., 0]).mean(axis=1)
        draws.extend(found.tolist())
        return found

    interval = classwise.resampled_interval(values, labels, gap, draws=4)
    estimate, *others = draws
    assert estimate == pytest.approx((1 - 1 / 3 + 0.5 - 1 / 3) / 2, rel=1e-12)
    mean = sum(others) / 4
    half = 1.959963984540054 * math.sqrt(sum((value - mean) ** 2 for value in others) / 4)
    assert interval.low == pytest.approx(2 * estimate - mean - half, rel=1e-12)
    assert interval.high == pytest.approx(2 * estimate - mean + half, rel=1e-12)


def test_images_are_drawn_within_classes():
    """Two classes, one always right and one never: no draw changes the accuracy of either."""
    right, labels = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]), np.array([0, 0, 0, 1, 1])
    gap = classwise.resampled_interval(right, labels, classwise.per_run(classwise.class_gap))
    assert (gap.estimate, gap.low, gap.high) == (1.0, 1.0, 1.0)


def test_seeds_are_drawn_one_less_than_there_are():
    """Images that are all alike leave the seeds: of 0, 0.5 and 1 two are drawn, and the variance of their mean is that
    of the mean of three, s^2 / 3, with s^2 = 1/4."""
    values = np.repeat([[0.0], [0.5], [1.0]], 4, axis=1)
    draws = []

    def mean(rates):
        found = rates.mean(axis=(1, 2))
        draws.extend(found)
        return found

    classwise.resampled_interval(values, np.array([0, 0, 1, 1]), mean, draws=6000)
    assert set(draws[1:]) == {0.0, 0.25, 0.5, 0.75, 1.0}
    assert np.var(draws[1:]) == pytest.approx(0.25 / 3, rel=0.05)  # known to 1.6 %


def test_strata_are_drawn_with_replacement_where_that_is_said():
    """Images that are all alike leave the classes, of 0, 3 and 6: their mean has a variance of 6 / 3 in draws. Both
    values of a class are drawn together, and in all seeds."""
    of_class = np.array([[0.0, 3.0, 6.0], [10.0, 13.0, 16.0]])
    values, strata, draws = np.repeat(of_class[None], 2, axis=-1).repeat(2, axis=0), np.repeat([0, 1, 2], 2), []

    def mean(means):
        assert (means[:, :, 1] == means[:, :, 0] + 10).all() and (means[:, :1] == means).all()
        draws.extend(means[:, 0, 0].tolist())
        return means[:, :, 0].mean(axis=(1, 2))

    interval = classwise.resampled_interval(values, strata, mean, draws=6000, also_drawn="classes")
    assert interval.factors == "seeds, images and classes" and interval.estimate == 3
    assert {tuple(sorted(draw)) for draw in draws} == set(combinations_with_replacement((0.0, 3.0, 6.0), 3))
    assert np.var(np.mean(draws[1:], axis=1)) == pytest.approx(2, rel=0.06)  # known to 1.6 %
    assert (interval.high - interval.low) / 2 == pytest.approx(1.96 * math.sqrt(2), rel=0.03)
    one = classwise.resampled_interval(values[:1], strata, mean, draws=10, also_drawn="classes")
    assert one.factors == "images only (one seed), and classes"


def correlated(correlation, random, images=20, seeds=3, classes=10):
    """Norms and answers (seeds, [answer, norm], images) of classes, whose accuracies have this correlation with the
    norms before the logistic function, and their labels."""
    norm = random.standard_normal(classes)
    other = correlation * norm + math.sqrt(1 - correlation**2) * random.standard_normal(classes)
    labels = np.repeat(np.arange(classes), images)
    right = random.random((seeds, len(labels))) < 1 / (1 + np.exp(-other[labels]))
    return np.stack([right, np.broadcast_to(norm[labels], right.shape)], axis=1).astype(float), labels


def mean_pearson(means):
    return classwise.pearson(means[:, :, 0], means[:, :, 1]).mean(axis=1)


def test_the_estimate_of_a_correlation_is_the_mean_over_the_seeds():
    values, labels = correlated(0.5, np.random.default_rng(2))
    rates = [[values[s, k, labels == c].mean() for c in range(10)] for s in range(3) for k in (0, 1)]
    expected = [stats.pearsonr(rates[2 * s], rates[2 * s + 1]).statistic for s in range(3)]
    interval = classwise.resampled_correlation(values, labels, mean_pearson, "classes")
    assert interval.estimate == pytest.approx(sum(expected) / 3, rel=1e-12)
    assert -1 <= interval.low < interval.estimate < interval.high <= 1
    same = classwise.resampled_correlation(values[:, [1, 1]], labels, mean_pearson, "classes")
    assert same.estimate == pytest.approx(1, rel=1e-12) and same.low == pytest.approx(classwise.NEARLY_ONE, rel=1e-9)


def test_a_correlation_by_chance_is_seldom_taken_for_one():
    """Ten classes whose norms say nothing: an interval that takes them as they are misses 0 in most cases."""
    random, beside, as_they_are = np.random.default_rng(11), 0, 0
    for _ in range(60):
        values, labels = correlated(0.0, random, images=100)
        interval = classwise.resampled_correlation(values, labels, mean_pearson, "classes")
        beside += not interval.low <= 0 <= interval.high
        fixed = classwise.resampled_interval(values, labels, mean_pearson, draws=200)
        as_they_are += not fixed.low <= 0 <= fixed.high
    assert beside <= 7 and as_they_are >= 28  # expected: 2.4 and 42, known to 1.5 and 3.6


def test_an_interval_takes_the_bias_of_the_worst_class_away():
    """Four classes of equal accuracy 1/2: the worst of a sample is below it, that of a draw further below."""
    answers = np.random.default_rng(3).permuted(np.tile([0.0, 1.0], (4, 25)), axis=1)
    answers[0, :3] = 0.0  # one class has fewer right answers
    right, labels = answers.reshape(1, -1), np.repeat(np.arange(4), 50)
    interval = classwise.resampled_interval(right, labels, classwise.per_run(classwise.worst_class), within=(0, 1))
    rates = classwise.class_means(right, labels, 4)
    assert interval.estimate == rates.min() < 0.5
    assert interval.low < 0.5 < interval.high
    assert interval.high - interval.estimate > interval.estimate - interval.low


def test_what_a_draw_cannot_show_has_no_finite_interval():
    one_image = classwise.resampled_interval(
        np.array([[1.0, 0.0, 1.0]]), np.array([0, 1, 1]), classwise.per_run(classwise.class_variance)
    )
    assert (one_image.low, one_image.high) == (-math.inf, math.inf)
    assert one_image.estimate == pytest.approx(0.0625, rel=1e-12)
    undefined = classwise.resampled_interval(
        np.ones((2, 4)), np.array([0, 0, 1, 1]), lambda rates: rates[:, 0, 0] * math.nan
    )
    assert math.isnan(undefined.estimate) and math.isnan(undefined.low)
    with pytest.raises(ValueError, match="none of them 0"):
        classwise.resampled_interval(np.ones((0, 4)), np.zeros(4), classwise.per_run(classwise.class_gap))


def test_a_statistic_stays_within_the_values_it_can_take():
    right, labels = np.array([[0.0, 1.0, 0.0, 1.0, 1.0, 0.0]]), np.array([0, 0, 0, 1, 1, 1])
    interval = classwise.resampled_interval(right, labels, classwise.per_run(classwise.class_gap), within=(0, 1))
    assert 0 <= interval.low <= interval.high <= 1


@pytest.mark.parametrize("metric", [classwise.class_variance, classwise.class_gap, classwise.worst_class])
def test_resampled_intervals_cover_the_truth_about_as_often_as_they_say(metric):
    """Three runs without a variance over seeds, ten classes of 20 images, whose accuracies are known."""
    truth, labels = np.linspace(0.3, 0.8, 10), np.repeat(np.arange(10), 20)
    random, hits = np.random.default_rng(4), 0
    for _ in range(60):
        right = (random.random((3, 200)) < truth[labels]).astype(float)
        interval = classwise.resampled_interval(right, labels, classwise.per_run(metric), draws=200)
        hits += interval.low <= metric(truth) <= interval.high
    assert hits / 60 > 0.8  # 95 % minus five standard errors; quantiles of the draws have 50 to 85 %
