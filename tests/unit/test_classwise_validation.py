"""What methods decide by the classes of the validation images: FAWA's average of the weights, FRL's multipliers."""

import pytest
import torch
from classwise import CLASSES, learner_of, moment, statistics
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.validation import validated
from robustlens.methods import cfa
from robustlens.methods.cfa import Cfa
from robustlens.methods.frl import Frl


def after_epochs(monkeypatch, method: Cfa, learner: Learner, weights: list[float], worst: list[int]) -> list[float]:
    """The deployed weight after epochs that leave these weights and these numbers of robust images of the worst class,
    of 100."""
    trace = []
    for weight, robust in zip(weights, worst, strict=True):
        found = {"adversarial": statistics([robust, 90, 50], [100, 100, 100])}
        monkeypatch.setattr(cfa, "validated", lambda *_, found=found: found)
        nn.init.constant_(learner.network.weight, weight)
        method.after_epoch(learner, moment(1))
        trace.append(method.deployed(learner).weight.item())
    return trace


def test_fawa_of_the_worked_example_takes_epochs_at_or_above_the_threshold(monkeypatch):
    method = Cfa()
    learner = learner_of(method)
    trace = after_epochs(monkeypatch, method, learner, [1, 2, 3, 4], [25, 20, 30, 24])
    assert trace == pytest.approx([1, 1, 1.24, 1.5712], abs=1e-12)
    assert int(learner.memory.accepted) == 3 and learner.network.weight.item() == 4


def test_until_an_epoch_is_accepted_the_network_itself_is_deployed(monkeypatch):
    method = Cfa()
    learner = learner_of(method)
    assert method.deployed(learner) is learner.network
    assert after_epochs(monkeypatch, method, learner, [5, 6, 7, 8], [0, 23, 24, 23]) == [5, 6, 7, 7]


def with_batchnorm(value: float) -> nn.Module:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    with torch.no_grad():
        for tensor in network.state_dict().values():
            tensor.fill_(value)
    return network


@pytest.mark.parametrize("accepted", [True, False])
def test_the_average_is_of_weights_and_statistics_and_a_refused_epoch_changes_nothing(monkeypatch, accepted: bool):
    method, network = Cfa(), with_batchnorm(2)
    learner = learner_of(method, network)
    method.accept(learner)
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    for tensor in network.state_dict().values():
        tensor.fill_(7)
    right = [24, 50, 50] if accepted else [23, 50, 50]
    monkeypatch.setattr(cfa, "validated", lambda *_: {"adversarial": statistics(right, [100] * 3)})
    method.after_epoch(learner, moment(1))
    for name, tensor in learner.parts["average"].state_dict().items():
        if not accepted:
            assert torch.equal(tensor, before[f"parts.average.{name}"])
        elif tensor.is_floating_point():
            assert tensor.flatten().tolist() == pytest.approx([0.88 * 2 + 0.12 * 7] * tensor.numel(), abs=1e-12)
        else:
            assert tensor.item() == 7  # the number of batches that BatchNorm has seen
    assert int(learner.memory.accepted) == 1 + accepted
    assert not any(parameter.requires_grad for parameter in learner.parts["average"].parameters())


def test_a_class_without_validation_images_does_not_keep_an_epoch_out(monkeypatch):
    monkeypatch.setattr(cfa, "validated", lambda *_: {"adversarial": statistics([0, 30, 40], [0, 100, 100])})
    learner = learner_of(Cfa())
    Cfa().after_epoch(learner, moment(1))
    assert int(learner.memory.accepted) == 1


# The validation images ----------------------------------------------------------------------------------------------


class Thresholds(nn.Module):
    """One pixel: class 0 below 0.5, class 1 above it. It counts its passes, and refuses to be in train mode."""

    def __init__(self):
        super().__init__()
        self.slope, self.passes = nn.Parameter(torch.tensor(8.0)), 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        self.passes += 1
        pixel = x.flatten(1)
        return torch.cat([torch.zeros_like(pixel), self.slope * (pixel - 0.5), torch.full_like(pixel, -100)], dim=1)


PIXELS = [(0.2, 0), (0.44, 0), (0.7, 0), (0.9, 1), (0.8, 1), (0.55, 1), (0.3, 1)]  # within 0.1 of 0.5 none is robust
NEARBY = Threat("linf", 0.1, 0.025)


def validation() -> list[tuple[Tensor, Tensor]]:
    x = torch.tensor([pixel for pixel, _ in PIXELS], dtype=torch.float64).view(-1, 1, 1, 1)
    y = torch.tensor([label for _, label in PIXELS])
    return [(x[:4], y[:4]), (x[4:], y[4:])]


def test_validation_images_are_counted_by_class_natural_and_attacked():
    learner = learner_of(Cfa(), Thresholds())
    found = validated(learner.train(), moment(1, validation=validation(), threat=NEARBY), PGD(steps=10), CLASSES)
    assert found["natural"].right.tolist() == [2, 3, 0] and found["adversarial"].right.tolist() == [1, 2, 0]
    assert found["natural"].total.tolist() == found["adversarial"].total.tolist() == [3, 4, 0]
    assert learner.network.slope.requires_grad and learner.network.slope.grad is None


@pytest.mark.parametrize(("threshold", "accepted"), [(1 / 3, 1), (0.34, 0)])
def test_fawa_attacks_the_validation_images(threshold: float, accepted: int):
    """A third of class 0 and half of class 1 is robust."""
    method = Cfa(threshold=threshold)
    learner = learner_of(method, Thresholds())
    method.after_epoch(learner, moment(1, validation=validation(), threat=NEARBY))
    assert int(learner.memory.accepted) == accepted
    assert learner.network.passes == 2 * (10 + 2)  # in two batches: those of the attack, natural and adversarial images


def test_frl_attacks_the_validation_images():
    """e0 = 1/3, 1/4 (2/7 of all); e1 = 1/3, 1/4 (2/7): each exceeds it by 1/21 and -1/28. The third class has none."""
    method = Frl(tolerance=0.0, rate=0.6, margin_rate=2.1)
    learner = learner_of(method, Thresholds())
    method.before_epoch(learner, moment(1, validation=validation(), threat=NEARBY))
    assert learner.network.passes == 2 * (20 + 2)
    assert learner.memory.natural.tolist() == pytest.approx([0.6 / 21, 0, 0], abs=1e-12)
    assert learner.memory.boundary.tolist() == pytest.approx([1.2 / 21, 0, 0], abs=1e-12)
    assert learner.memory.margin.tolist() == pytest.approx([2.1 / 21, -2.1 / 28, 0], abs=1e-12)
