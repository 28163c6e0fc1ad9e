"""Certified accuracy from tables of certificates."""

import math
from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from robustlens.analysis.certified import at_least, certified_accuracy, read_certified
from robustlens.errors import RobustlensError

ROWS = [  # radius, correct
    (0.5, True),
    (0.25, True),
    (0.9, False),
    (0.0, True),  # p_lower of exactly 1/2
    (0.0, False),
]


def write(folder: Path, seed: int = 0, name: str = "smoothing", rows=tuple(ROWS), alpha: float = 0.001) -> Path:
    file = folder / f"certified/digits/sat/seed{seed}/{name}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows, columns=["radius", "correct"]).assign(alpha=alpha, index=range(len(rows))).to_parquet(file)
    return file


def test_an_image_counts_where_its_certificate_is_right_and_reaches_the_radius(tmp_path):
    frame = read_certified([write(tmp_path)])
    table = certified_accuracy(frame, [0, 0.25, math.nextafter(0.25, 1), 0.5, 0.6], confidence=0.9)
    assert table["accuracy"].tolist() == [0.6, 0.4, 0.2, 0.2, 0.0]
    assert table["radius"].tolist()[:2] == [0, 0.25] and set(table["images"]) == {5}
    low, high = stats.beta.ppf(0.05, 2, 4), stats.beta.ppf(0.95, 3, 3)
    assert (table["low"][1], table["high"][1]) == (pytest.approx(low), pytest.approx(high))
    assert table["low"][4] == 0 and table["high"][4] == pytest.approx(1 - 0.05**0.2)


def test_each_certification_of_each_run_is_counted_by_itself(tmp_path):
    files = [write(tmp_path, 0), write(tmp_path, 1, rows=ROWS[:2]), write(tmp_path, 0, "other", ROWS[2:], alpha=0.01)]
    table = certified_accuracy(read_certified(files), [0.25])
    assert table[["seed", "certification", "accuracy", "images"]].to_numpy().tolist() == [
        [0, "smoothing", 0.4, 5],
        [1, "smoothing", 1.0, 2],
        [0, "other", 0.0, 3],
    ]
    assert table["source"].tolist() == [file.as_posix() for file in files]
    assert table["dataset"].tolist() == ["digits"] * 3 and table["recipe"].tolist() == ["sat"] * 3


@pytest.mark.parametrize("images", [1, 10, 500, 1397, 10_000])
@pytest.mark.parametrize(("alpha", "rho"), [(0.001, 0.001), (0.01, 0.001), (0.001, 0.05), (0.1, 0.3)])
def test_so_many_certificates_are_wrong_as_rarely_as_rho_says_and_one_less_would_be_too_few(images, alpha, rho):
    wrong = round((1 - at_least(1.0, images, alpha, rho)) * images)
    more = sum(stats.binom.pmf(k, images, alpha) for k in range(wrong + 1))
    assert 1 - more <= rho + 1e-12
    if wrong:
        fewer = more - stats.binom.pmf(wrong, images, alpha)
        assert 1 - fewer > rho


def test_the_bound_of_the_table_by_hand_and_why_it_is_not_the_one_of_the_released_code():
    """500 images at 0.001: P(more than 4 wrong) = 0.00017, P(more than 3) = 0.0017."""
    assert at_least(0.6, 500, 0.001, 0.001) == pytest.approx(0.6 - 4 / 500)
    assert at_least(0.005, 500, 0.001, 0.001) == 0
    n, alpha, rho = 10_000, 0.01, 0.001
    released = alpha + math.sqrt(alpha * (1 - alpha) * math.log(1 / rho) / n) + math.log(1 / rho) / (3 * n)
    assert stats.binom.sf(math.floor(n * released), n, alpha) == pytest.approx(0.0029, abs=5e-5)  # above rho
    assert 1 - at_least(1.0, n, alpha, rho) > released
    bernstein = alpha + math.sqrt(2 * alpha * (1 - alpha) * math.log(1 / rho) / n) + math.log(1 / rho) / (3 * n)
    assert 1 - at_least(1.0, n, alpha, rho) < bernstein


def test_the_bound_is_of_the_table_s_own_alpha(tmp_path):
    rows = [(0.5, True)] * 100
    table = certified_accuracy(
        read_certified([write(tmp_path, rows=rows), write(tmp_path, 1, rows=rows, alpha=0.1)]), [0]
    )
    assert table["at_least"].tolist() == [
        pytest.approx(1 - stats.binom.ppf(0.999, 100, alpha) / 100) for alpha in (0.001, 0.1)
    ]


def test_what_can_not_be_counted_is_refused(tmp_path):
    frame = read_certified([write(tmp_path)])
    with pytest.raises(RobustlensError, match=r"a certified radius is at least 0, not -0\.1"):
        certified_accuracy(frame, [0.5, -0.1])
    with pytest.raises(RobustlensError, match=r"seed0/smoothing\.parquet: certificates at several alphas"):
        certified_accuracy(frame.assign(alpha=[0.001] * 4 + [0.01]), [0.5])
    with pytest.raises(RobustlensError, match=r"missing\.parquet: cannot be read"):
        read_certified([tmp_path / "digits/sat/seed0/missing.parquet"])
