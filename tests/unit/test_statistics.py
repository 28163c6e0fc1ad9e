import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from robustlens.analysis.frames import accuracies, last_epoch, paired, read_runs, run_of, with_deltas
from robustlens.analysis.statistics import (
    Interval,
    correlation_interval,
    crossed_interval,
    mean_std,
    rank_correlation_interval,
    resolvable_difference,
)
from robustlens.errors import RobustlensError


def crossed(random, seeds, images, seed_std, image_std, error_std):
    return (
        seed_std * random.standard_normal((seeds, 1))
        + image_std * random.standard_normal((1, images))
        + error_std * random.standard_normal((seeds, images))
    )


def by_hand(d):
    """The interval of crossed_interval with loops, for data whose variance components are all positive."""
    s, n = len(d), len(d[0])
    grand = sum(map(sum, d)) / (s * n)
    row = [sum(r) / n for r in d]
    column = [sum(d[i][j] for i in range(s)) / s for j in range(n)]
    ms_seed = n * sum((r - grand) ** 2 for r in row) / (s - 1)
    ms_image = s * sum((c - grand) ** 2 for c in column) / (n - 1)
    rest = sum((d[i][j] - row[i] - column[j] + grand) ** 2 for i in range(s) for j in range(n))
    ms_rest = rest / ((s - 1) * (n - 1))
    assert ms_seed > ms_rest and ms_image > ms_rest
    total = ms_seed + ms_image - ms_rest
    df = total**2 / (ms_seed**2 / (s - 1) + ms_image**2 / (n - 1) + ms_rest**2 / ((s - 1) * (n - 1)))
    half = stats.t.ppf(0.975, df) * math.sqrt(total / (s * n))
    return grand, grand - half, grand + half


def test_crossed_interval_is_the_anova_by_hand():
    d = 2.0 + crossed(np.random.default_rng(0), 4, 25, 1.0, 1.0, 0.5)
    interval = crossed_interval(d)
    assert (interval.estimate, interval.low, interval.high) == pytest.approx(by_hand(d.tolist()), rel=1e-12)
    assert interval.factors == "seeds and images"


@pytest.mark.parametrize("spread", [(0.5, 1.0, 1.0), (0.0, 1.0, 1.0), (0.2, 0.0, 1.0), (0.0, 0.0, 1.0)])
def test_crossed_interval_covers_the_truth_about_as_often_as_it_says(spread):
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(1500):
        interval = crossed_interval(0.7 + crossed(random, 3, 40, *spread))
        hits += interval.low <= 0.7 <= interval.high
    assert hits / 1500 > 0.935  # the interval over images alone has 73 % in the first case


def test_crossed_interval_of_one_seed_is_the_t_interval_over_images():
    d = np.random.default_rng(2).normal(1.0, 2.0, (1, 30))
    expected = stats.t.interval(0.95, 29, d.mean(), stats.sem(d[0]))
    interval = crossed_interval(d)
    assert (interval.low, interval.high) == pytest.approx(expected)
    assert "one seed" in interval.factors
    assert crossed_interval(d.T).factors == "seeds only"


def test_crossed_interval_without_variance_is_a_point_and_of_one_number_is_infinite():
    assert crossed_interval(np.full((3, 5), 0.25)) == Interval(0.25, 0.25, 0.25, "seeds and images")
    single = crossed_interval(np.array([[0.25]]))
    assert (single.low, single.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("broken", [np.zeros((0, 3)), np.zeros(3), np.array([[1.0, np.nan]])])
def test_crossed_interval_refuses_what_it_cannot_judge(broken):
    with pytest.raises(ValueError, match="finite"):
        crossed_interval(broken)


def test_mean_std():
    mean, std = mean_std([1.0, 2.0, 6.0])
    assert (mean, std) == pytest.approx((3.0, math.sqrt((4 + 1 + 9) / 2)))
    assert math.isnan(mean_std([4.0])[1])


def test_resolvable_difference_is_what_a_two_sample_z_test_resolves():
    points = resolvable_difference(360, 0.5)
    z = (points / 100) / math.sqrt(0.25 / 360 + 0.25 / 360)
    assert 2 * stats.norm.sf(z) == pytest.approx(0.05)


def test_correlation_interval_is_scipys():
    x = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0])
    y = np.array([1.2, 1.0, 3.5, 4.0, 9.0, 9.5])
    expected = stats.pearsonr(x, y)
    interval = correlation_interval(x, y)
    assert interval.estimate == pytest.approx(expected.statistic)
    assert (interval.low, interval.high) == pytest.approx(tuple(expected.confidence_interval()))
    with pytest.raises(ValueError, match="4 pairs"):
        correlation_interval(x[:3], y[:3])


def test_rank_correlation_interval_is_bonett_and_wrights():
    x, y = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 13.0]), np.array([1.2, 1.0, 4.5, 4.0, 9.0, 9.5])
    r = 1 - 6 * (1 + 1 + 1 + 1) / (6 * 35)  # two neighbouring pairs have changed places
    half = 1.959964 * math.sqrt((1 + r * r / 2) / 3)
    interval = rank_correlation_interval(x, y)
    assert interval.estimate == pytest.approx(r)
    ends = (math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half))
    assert (interval.low, interval.high) == pytest.approx(ends, rel=1e-6)
    with pytest.raises(ValueError, match="4 pairs"):
        rank_correlation_interval(x[:3], y[:3])


def test_ranks_that_agree_in_full_have_an_interval_with_a_width():
    x = np.arange(8.0)
    swapped = 1 - 6 * 2 / (8 * 63)  # of two neighbours that have changed places
    low = math.tanh(math.atanh(swapped) - 1.959964 * math.sqrt((1 + 1 / 2) / 5))
    same, opposite = rank_correlation_interval(x, x), rank_correlation_interval(x, -x)
    assert (same.estimate, same.low, same.high) == pytest.approx((1, low, 1), rel=1e-6)
    assert (opposite.estimate, opposite.low, opposite.high) == pytest.approx((-1, -1, -low), rel=1e-6)


def test_run_of_reads_the_place_of_a_file():
    assert run_of("results/embedded/runs/digits/weat-adv/seed12/history.parquet") == ("digits", "weat-adv", 12)
    with pytest.raises(RobustlensError, match="seed<k>"):
        run_of("results/embedded/history.parquet")


def evaluation(path, right, index=None):
    path.parent.mkdir(parents=True)
    n = len(right)
    frame = pd.DataFrame(
        {
            "checkpoint": "best",
            "attack": "autoattack",
            "index": range(n) if index is None else index,
            "label": 1,
            "prediction_adversarial": [1 if r else 0 for r in right],
        }
    )
    frame.to_parquet(path)
    return path


def test_accuracies_and_read_runs(tmp_path):
    first = evaluation(tmp_path / "digits/sat/seed0/robustness.parquet", [1, 0, 1, 1])
    second = evaluation(tmp_path / "digits/sat/seed1/robustness.parquet", [0, 0, 1, 1])
    rates = accuracies(read_runs([second, first]))
    assert rates["seed"].tolist() == [1, 0]
    assert rates["accuracy"].tolist() == [0.5, 0.75]
    assert rates["images"].tolist() == [4, 4]
    assert rates["source"].tolist() == [second.as_posix(), first.as_posix()]


def test_read_runs_names_a_broken_file(tmp_path):
    path = tmp_path / "digits/sat/seed0/robustness.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not parquet")
    with pytest.raises(RobustlensError, match=r"seed0/robustness.parquet"):
        read_runs([path])
    with pytest.raises(RobustlensError, match="empty"):
        read_runs([])


def test_paired_takes_the_seeds_and_images_that_both_have():
    a = pd.DataFrame({"seed": [0, 0, 1, 1, 2, 2], "index": [5, 7, 5, 7, 5, 7], "v": [1.0, 2, 3, 4, 5, 6]})
    b = pd.DataFrame({"seed": [1, 1, 0, 0], "index": [7, 9, 9, 7], "v": [10.0, 0, 0, 20]})
    assert paired(a, b, "v").tolist() == [[2.0 - 20], [4.0 - 10]]


def test_last_epoch_is_each_runs_own():
    frame = pd.DataFrame({"dataset": "d", "recipe": ["a", "a", "b"], "seed": 0, "epoch": [1, 3, 2]})
    assert last_epoch(frame)["epoch"].tolist() == [3, 2]


def test_with_deltas_is_negative_when_the_attack_raises_the_energy():
    energies = {
        "marginal_natural": -8.0,
        "marginal_adversarial": -7.5,
        "joint_natural": -7.0,
        "joint_adversarial": -9.0,
    }
    row = with_deltas(pd.DataFrame([energies])).iloc[0]
    assert (row["delta_marginal"], row["delta_joint"]) == (-0.5, 2.0)
