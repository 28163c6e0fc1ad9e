"""The table of the curve by hand, and the curve of two Gaussians against its closed form."""

import numpy as np
import pytest
import torch
from discriminating import Forgotten, perceptron, settings, split, two_sides
from networks import SMALL
from scipy.stats import norm
from torch import nn

from robustlens.discrimination import curve
from robustlens.discrimination.area import areas
from robustlens.discrimination.curve import checkpoint_name, chosen, curve_table, measure_curve
from robustlens.discrimination.sides import parts
from robustlens.models.normalised import Normalised
from robustlens.models.weights import build, load_model, save_weights

pytestmark = pytest.mark.slow

# Discriminators x radii. At radius 0 the first two are equal on validation, at 0.1 and 0.3 others are best on test
# images, and at 0.3 the chosen one falls below chance there.
VALIDATION = np.array([[0.90, 0.60, 0.20], [0.90, 0.70, 0.40], [0.80, 0.75, 0.55]])
TEST = np.array([[0.88, 0.58, 0.25], [0.91, 0.74, 0.52], [0.81, 0.71, 0.45]])


def test_the_table_is_that_by_hand():
    table = curve_table(settings(), 6, VALIDATION, TEST)
    assert table["norm"].tolist() == ["l2"] * 3 and table["steps"].tolist() == [6] * 3
    assert table["epsilon"].tolist() == [0, 0.1, 0.3]
    assert table["chosen_epsilon"].tolist() == [0, 0.3, 0.3]
    assert table["accuracy"].tolist() == [0.88, 0.71, 0.5]
    assert table["own_accuracy"].tolist() == [0.88, 0.74, 0.45]


def test_what_is_best_on_test_images_is_not_what_is_chosen():
    assert chosen(VALIDATION).tolist() == [0, 2, 2]
    assert TEST.argmax(axis=0).tolist() == [1, 1, 1]


def test_chance_counts_after_the_choice():
    validation, test = np.array([[0.8, 0.40], [0.7, 0.45]]), np.array([[0.8, 0.3], [0.7, 0.52]])
    table = curve_table(settings(epsilons=(0, 0.1)), 6, validation, test)
    assert table["chosen_epsilon"].tolist() == [0, 0.1] and table["accuracy"].tolist() == [0.8, 0.52]


def test_only_chosen_and_own_discriminators_meet_the_test_images(monkeypatch):
    found, measured, sides = two_sides(), [], []

    def counted(model, side, norm, epsilon, steps, seed):
        sides.append(side)
        measured.append((norm, epsilon, steps, seed))
        return 0.7

    class Trained:
        def __init__(self, *_):
            self.network, self.measured = perceptron(), VALIDATION.tolist()

    weights = [perceptron().state_dict() for _ in range(3)]
    monkeypatch.setattr(curve, "Training", Trained)
    monkeypatch.setattr(curve, "train", lambda *_: weights)
    monkeypatch.setattr(curve, "balanced_accuracy", counted)
    result = measure_curve(settings(), 6, found, perceptron, 5, Forgotten())
    # The first at 0; the second at its own 0.1; the third, which is chosen at 0.1 and 0.3.
    assert measured == [("l2", epsilon, 3, 5) for epsilon in (0, 0.1, 0.1, 0.3)]
    assert all(side is found["test"] for side in sides)
    assert result.table["accuracy"].tolist() == [0.7] * 3
    assert result.validation["accuracy"].tolist() == VALIDATION.ravel().tolist()
    assert result.validation["trained_epsilon"].tolist() == [0] * 3 + [0.1] * 3 + [0.3] * 3
    assert result.validation["epsilon"].tolist() == [0, 0.1, 0.3] * 3
    for number, trained in enumerate(weights):
        for name, tensor in trained.items():
            assert result.weights[f"6-{number}.{name}"] is tensor


def test_a_measured_curve_agrees_with_its_own_validation_and_its_weights_can_be_read_again(tmp_path):
    architecture = SMALL["resnet"][0]
    found = measure_curve(settings(), 3, two_sides(), lambda: build(architecture, 1, 2), 0, Forgotten())
    grid = found.validation.pivot(index="trained_epsilon", columns="epsilon", values="accuracy")
    assert found.table["chosen_epsilon"].tolist() == grid.idxmax().tolist()
    save_weights(found.weights, tmp_path / "weights.safetensors")
    for number in range(3):
        name = checkpoint_name(3, number)
        model = load_model(tmp_path / "weights.safetensors", architecture, 1, 2, name)
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, found.weights[f"{name}.{key}"])


# Two Gaussians in two dimensions, 1 apart, with deviation 0.25: both divided by 5 and put into the middle of [0, 1].
SCALE, DEVIATION = 0.2, 0.25
EPSILONS = (0, 0.1, 0.2, 0.3, 0.4, 0.5)
TRUTH = (0.977250, 0.945201, 0.884930, 0.788145, 0.655422, 0.5)


def gaussian(count: int, at: float, seed: int) -> np.ndarray:
    points = DEVIATION * np.random.default_rng(seed).standard_normal((count, 2)) + at * np.array([0.6, 0.8])
    inside = 0.5 + SCALE * points
    assert inside.min() > 0 and inside.max() < 1
    return inside.reshape(count, 2, 1, 1)


def network() -> nn.Module:
    return Normalised(perceptron(2, 32), [0.5, 0.5], [SCALE, SCALE])


def test_the_curve_of_two_gaussians_is_that_of_the_closed_form():
    assert norm.cdf((0.5 - np.array(EPSILONS)) / DEVIATION) == pytest.approx(TRUTH, abs=5e-7)
    chosen_settings = settings(
        epsilons=tuple(SCALE * epsilon for epsilon in EPSILONS), batch_size=128, learning_rate=0.01, test_steps=20
    )
    real, generated = (split(gaussian(20_000, at, seed)) for seed, at in ((0, 0.5), (1, -0.5)))
    found = measure_curve(
        chosen_settings, 60, parts(real, generated, 0, torch.device("cpu")), network, 0, Forgotten()
    ).table
    assert found["accuracy"].tolist() == pytest.approx(TRUTH, abs=0.015)
    arc = areas(found)["arc"].item() / SCALE
    # The trapezoids of 6 points; the exact area is 0.152387.
    assert arc == pytest.approx(0.151232, abs=0.005)
