"""Corrections of the last layer: by hand, and how their strength is chosen."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.corrections import choosing
from robustlens.corrections.choosing import adversarial_prior, corrected
from robustlens.corrections.logit_adjusted import LogitAdjusted
from robustlens.corrections.tau_normalised import TauNormalised
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.models.inference import InferenceModel
from robustlens.models.weights import build
from robustlens.parameters import create, names
from robustlens.seeds import generator
from robustlens.training.images import Images
from robustlens.training.tracking import Tracker

THREAT = Threat("linf", 0.1, 0.05)


def layer(weight: list[list[float]], bias: list[float]) -> nn.Linear:
    made = nn.Linear(len(weight[0]), len(weight)).double()
    with torch.no_grad():
        made.weight.copy_(torch.tensor(weight))
        made.bias.copy_(torch.tensor(bias))
    return made


@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0, (3.8, 0.6, 1.0)), (0.5, (1.699412, 0.6, 0.707107)), (1, (0.76, 0.6, 0.5)), (2, (0.152, 0.6, 0.25))],
)
def test_tau_normalised_logits_are_those_by_hand(tau, expected):
    linear = layer([[3, 4], [1, 0], [0, 2]], [5, -1, 2])
    TauNormalised().correct(linear, tau, torch.ones(3) / 3)
    found = linear(torch.tensor([0.6, 0.5], dtype=torch.float64))
    assert found.tolist() == pytest.approx(expected, abs=5e-7)


@pytest.mark.parametrize(
    ("tau", "expected"),
    [(0, (1, 0.8, 0.3)), (1, (1.693147, 2.409438, 1.503973)), (2, (2.386294, 4.018876, 2.707946))],
)
def test_adjusted_logits_are_those_by_hand(tau, expected):
    linear = layer([[1], [1], [1]], [0, -0.2, -0.7])
    LogitAdjusted().correct(linear, tau, torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64))
    assert linear(torch.ones(1, dtype=torch.float64)).tolist() == pytest.approx(expected, abs=5e-7)


def test_a_class_that_is_never_predicted_stays_finite():
    linear = layer([[1], [1]], [0, 0])
    LogitAdjusted().correct(linear, 2, torch.tensor([1.0, 0.0], dtype=torch.float64))
    assert linear.bias.tolist() == pytest.approx([0.0, -math.log(1e-12)], abs=1e-9)


@pytest.mark.parametrize("name", names("corrections"))
def test_strengths_go_from_none_to_2(name):
    strengths = create("corrections", name, {}).strengths
    assert (strengths[0], strengths[-1]) == (0, 2) and list(strengths) == sorted(strengths)


# How a strength is chosen -----------------------------------------------------------------------------------------


class Templates(nn.Module):
    """The classifier of the images below by their brightest third."""

    def __init__(self, bias: list[float]):
        super().__init__()
        self.linear = nn.Linear(9, 3)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(3).repeat_interleave(3, 1))
            self.linear.bias.copy_(torch.tensor(bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def tracker_of(labels: list[int]) -> Tracker:
    """Noise, in which the pixels of each image's third are brighter."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 150, (len(labels), 1, 3, 3), dtype=np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        image[0, label] += 60
    split = Split(pixels, np.array(labels), np.arange(len(labels)), levels=255)
    return Tracker("validation", Images(split, torch.device("cpu")), PGD(steps=2), THREAT, seed=3, batch_size=4)


def accuracy_of_classes(model: nn.Module, tracker: Tracker) -> list[float]:
    """Robust, image by image."""
    measured = tracker.measure(InferenceModel(model))
    right: dict[int, list[float]] = {}
    for robust, label in zip(measured["robust_accuracy"], measured["label"], strict=True):
        right.setdefault(label, []).append(float(robust))
    return [sum(values) / len(values) for _, values in sorted(right.items())]


def test_the_strength_that_is_best_for_the_worst_class_is_chosen_and_the_network_is_left_alone():
    net, tracker = Templates([0.0, 0.0, 0.4]), tracker_of([0, 1, 2] * 20)
    before, prior = {name: t.clone() for name, t in net.state_dict().items()}, adversarial_prior(net, tracker)
    better, table = corrected(net, "adjusted", LogitAdjusted((0.0, 0.5, 1.0, 2.0)), prior, tracker, 3)
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
    reached = []
    for strength, row in zip((0.0, 0.5, 1.0, 2.0), table.itertuples(), strict=True):
        tried = Templates([0.0, 0.0, 0.4])
        LogitAdjusted().correct(tried.linear, strength, prior)
        of_classes = accuracy_of_classes(tried, tracker)
        assert (row.strength, row.correction) == (strength, "adjusted")
        assert row.worst_class == pytest.approx(min(of_classes))
        reached.append((min(of_classes), row.robust_accuracy))
    best = max(range(4), key=lambda number: (reached[number], -number))
    assert table["chosen"].tolist() == [number == best for number in range(4)]
    assert len({round(worst, 6) for worst, _ in reached}) > 1  # there was something to choose
    assert min(accuracy_of_classes(better, tracker)) == pytest.approx(reached[best][0])


def test_the_worst_class_counts_before_the_average_and_of_equal_ones_the_first(monkeypatch):
    robust = iter([[9, 1], [5, 3], [6, 3], [4, 3], [6, 3]])  # of 10 images of each class, for each strength

    def prescribed(measured, classes):
        of_class = next(robust)
        right = {"clean_accuracy": 1.0, "robust_accuracy": sum(of_class) / 20}
        return right | {"class_total": [10, 10], "class_robust": of_class}

    monkeypatch.setattr(choosing, "summarise", prescribed)
    net, correction = Templates([0.0, 0.0, 0.0]), LogitAdjusted((0.0, 0.5, 1.0, 1.5, 2.0))
    _, table = corrected(net, "adjusted", correction, torch.ones(3) / 3, tracker_of([0, 1, 2]), 2)
    assert table["chosen"].tolist() == [False, False, True, False, False]
    assert table["worst_class"].tolist() == [0.1, 0.3, 0.3, 0.3, 0.3]


def test_the_prior_is_the_mean_softmax_of_adversarial_images():
    net, tracker = Templates([0.5, 0.0, -0.5]), tracker_of([0, 1, 2, 0, 1])
    prior = adversarial_prior(net, tracker)
    assert prior.dtype == torch.float64 and float(prior.sum()) == pytest.approx(1) and prior[0] > prior[2]
    whole = tracker.images.batch(torch.arange(5))
    noise = generator(tracker.seed, "track", "validation")
    attacked = [
        PGD(steps=2)(InferenceModel(net), whole[part], tracker.images.y[part], THREAT, noise)
        for part in (slice(0, 4), slice(4, 5))
    ]
    with torch.no_grad():
        expected = torch.softmax(net(torch.cat(attacked)).double(), 1).mean(0)
    torch.testing.assert_close(prior, expected, rtol=1e-5, atol=1e-6)


def test_a_last_layer_without_a_bias_is_refused():
    net = build({"family": "resnet", "blocks": [1], "width": 4, "head": "cosine"}, 1, 3).eval()
    with pytest.raises(RobustlensError, match="adjusted: the last layer has no bias, which this correction changes"):
        corrected(net, "adjusted", LogitAdjusted(), torch.ones(3) / 3, tracker_of([0, 1, 2]), 3)
