"""PGD that leaves the images alone that it has fooled, against a loop in float64 over one image at a time."""

import numpy as np
import pytest
import torch
from test_friendly_pgd import BATCH, CLASSES, STEPS, THREATS, X, Y, each_norm, linear, loop_attack, seeded
from torch import Tensor, nn

from robustlens.attacks.early_stopped_pgd import EarlyStoppedPGD
from robustlens.attacks.early_stopped_pgd_bfloat16 import EarlyStoppedPGDInBfloat16
from robustlens.attacks.friendly_pgd import FriendlyPGD
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.models import bfloat16


class Linear(nn.Module):
    """seen: how many images there were in each batch."""

    def __init__(self):
        super().__init__()
        self.seen: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        return linear(x)


@each_norm
def test_an_image_stays_where_it_is_first_misclassified(norm):
    model = Linear()
    found = EarlyStoppedPGD(STEPS)(model, X, Y, THREATS[norm], seeded())
    expected, made = loop_attack(FriendlyPGD(STEPS, tau=0), norm)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-14)
    assert model.seen == [sum(steps >= step for steps in made) for step in range(STEPS)]
    assert {0, 1, 2, STEPS} <= set(made)  # some from the start, some on the way, some never
    assert (THREATS[norm].distance(found, X) <= THREATS[norm].epsilon + 1e-12).all()
    assert found.min() >= 0 and found.max() <= 1


@each_norm
@pytest.mark.parametrize("steps", [1, STEPS])
def test_it_is_friendly_pgd_without_a_spare_step(norm, steps):
    found = EarlyStoppedPGD(steps)(linear, X, Y, THREATS[norm], seeded())
    expected = FriendlyPGD(steps, tau=0)(linear, X, Y, THREATS[norm], seeded())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)


def test_when_every_image_is_fooled_there_is_nothing_more_to_do():
    model, wrong = Linear(), (linear(X).argmax(1) + 1) % CLASSES
    tiny = Threat("linf", 1e-6, 1e-7)
    found = EarlyStoppedPGD(STEPS)(model, X, wrong, tiny, seeded())
    assert model.seen == [BATCH] and torch.equal(found, tiny.random_point(X, seeded()))


class Band(nn.Module):
    """Two classes of the mean pixel; the second one has a narrow band, and the logits go on growing beyond it."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        inside = ((mean.detach() > 0.52) & (mean.detach() < 0.54)).to(mean.dtype)
        return torch.stack([1 - 2 * inside, mean], dim=1)


def test_what_pgd_loses_again_is_fooled_all_the_same():
    x, y = torch.full((1, 1, 4, 4), 0.5), torch.tensor([0])
    threat = Threat("linf", 0.1, 0.02)
    assert Band()(x).argmax(1) == 0
    start = threat.random_point(x, seeded())
    assert start.mean() < 0.52
    found, of_pgd = (attack(Band(), x, y, threat, seeded()) for attack in (EarlyStoppedPGD(20), PGD(20)))
    assert Band()(of_pgd).argmax(1) == 0 and of_pgd.mean() == pytest.approx(0.6)
    assert Band()(found).argmax(1) == 1 and 0.52 < found.mean() < 0.54


class Rounded(nn.Module):
    """Two classes of the mean pixel, the first one up to 0.5; in bfloat16 to 0.4, so that the copy is fooled first."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(1.0), requires_grad=False)
        self.asked: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        limit = 0.4 if x.dtype == torch.bfloat16 else 0.5
        mean = self.weight * x.flatten(1).mean(1)
        return torch.stack([torch.full_like(mean, limit), mean], dim=1)


def test_in_bfloat16_an_image_goes_on_until_the_network_itself_is_fooled(monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda device: True)
    x, y = torch.stack([torch.full((1, 4, 4), level) for level in (0.15, 0.36, 0.42)]), torch.zeros(3).long()
    model, threat = Rounded(), Threat("linf", 0.2, 0.02)
    found = EarlyStoppedPGDInBfloat16(20)(model, x, y, threat, seeded())
    means = found.flatten(1).mean(1)
    assert means[0] == pytest.approx(0.35)  # neither of the two is fooled in its ball
    assert ((means[1:] > 0.5) & (means[1:] < 0.525)).all()  # just beyond, though the copy was fooled long before
    assert model(found).argmax(1).tolist() == [0, 1, 1]
    assert all(count < 3 for count in model.asked[:-1])  # only where the copy is fooled
