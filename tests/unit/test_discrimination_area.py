"""The area under the robust discrimination curve, against closed forms and by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from robustlens.discrimination.area import area, areas
from robustlens.errors import RobustlensError


def of_two_gaussians(shift: float, deviation: float, epsilons: np.ndarray) -> np.ndarray:
    """The curve of N(0, s^2 I) and N(delta, s^2 I) with |delta|_2 = shift: half-spaces are best."""
    return norm.cdf(np.maximum(shift / 2 - epsilons, 0) / deviation)


@pytest.mark.parametrize(
    ("shift", "deviation", "expected"),
    [
        (0.5, 1, 0.012402),
        (1, 1, 0.048854),
        (2, 1, 0.184373),
        (4, 1, 0.609548),
        (1, 0.25, 0.152387),
        (1, 0.1, 0.210106),
    ],
)
def test_the_area_of_two_gaussians_is_that_of_the_closed_form(shift, deviation, expected):
    a = shift / (2 * deviation)
    exact = deviation * (a * (norm.cdf(a) - 0.5) + norm.pdf(a) - norm.pdf(0))
    assert exact == pytest.approx(expected, abs=5e-7)
    epsilons = np.linspace(0, shift, 4001)
    found = area(epsilons, of_two_gaussians(shift, deviation, epsilons))
    assert found == pytest.approx(exact, abs=1e-6)
    assert 4 * found <= shift


def test_the_area_of_two_gaussians_in_the_maximum_norm():
    delta, epsilons = np.array([0.6, 0.2, 0.1]), np.linspace(0, 0.4, 8001)
    left = np.maximum(delta / 2 - epsilons[:, None], 0)
    curve = norm.cdf(np.linalg.norm(left, axis=1) / 0.25)
    assert curve[[0, 1000, 2000, 4000, 6000]] == pytest.approx([0.899837, 0.846089, 0.788145, 0.655422, 0.5], abs=5e-7)
    assert area(epsilons, curve) == pytest.approx(0.064858, abs=1e-6)


@pytest.mark.parametrize(
    ("points", "expected"), [(3, 0.144992), (6, 0.151232), (11, 0.152099), (21, 0.152315), (51, 0.152376)]
)
def test_few_radii_give_the_area_of_the_trapezoids(points, expected):
    epsilons = np.linspace(0, 0.5, points)
    assert area(epsilons, of_two_gaussians(1, 0.25, epsilons)) == pytest.approx(expected, abs=5e-7)


def test_radii_may_be_unequally_far_apart_and_what_is_below_chance_counts_as_chance():
    # Trapezoids of 0.4, 0.1, 0, 0: 0.1 (0.4 + 0.1) / 2 + 0.2 (0.1 + 0) / 2 + 0
    assert area([0, 0.1, 0.3, 0.7], [0.9, 0.6, 0.3, 0.1]) == pytest.approx(0.035)
    assert area([0, 0.1, 0.3], [0.5, 0.5, 0.5]) == area([0, 0.1, 0.3], [0.2, 0.0, 0.1]) == 0


def test_a_table_gives_one_row_per_norm_and_number_of_steps():
    rows = [
        ("l2", 10, 0.2, 0.5, 0.3),
        ("l2", 10, 0.0, 0.9, 0.7),
        ("l2", 40, 0.0, 1.0, 1.0),
        ("l2", 40, 0.2, 0.6, 0.6),
        ("linf", 10, 0.0, 0.8, 0.8),
        ("linf", 10, 0.1, 0.7, 0.5),
    ]
    found = areas(pd.DataFrame(rows, columns=["norm", "steps", "epsilon", "accuracy", "own_accuracy"]))
    assert found[["norm", "steps"]].to_numpy().tolist() == [["l2", 10], ["l2", 40], ["linf", 10]]
    assert found["arc"].tolist() == pytest.approx([0.04, 0.06, 0.025])
    assert found["own_arc"].tolist() == pytest.approx([0.02, 0.06, 0.015])
    assert found["rest"].tolist() == pytest.approx([0, 0.1, 0.2])
    assert set(found["unit"]) == {"accuracy (0 to 1) x distance (in the norm, with pixels from 0 to 1)"}


@pytest.mark.parametrize("epsilons", [[0.1, 0.2], [0, 0.2, 0.1], [0, 0, 0.1], [0]])
def test_radii_that_do_not_ascend_from_0_are_refused(epsilons):
    with pytest.raises(RobustlensError, match=r"^ARC: the radii must be two or more and ascend from 0, got \[0"):
        area(epsilons, [0.6] * len(epsilons))


@pytest.mark.parametrize("accuracies", [[0.9, math.nan], [90, 60], [0.9], [-0.1, 0.5]])
def test_accuracies_that_are_none_are_refused(accuracies):
    with pytest.raises(RobustlensError, match=r"^ARC: needs an accuracy from 0 to 1 for each of 2 radii, got \["):
        area([0, 0.1], accuracies)
