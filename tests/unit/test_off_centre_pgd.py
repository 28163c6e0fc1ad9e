"""Off-centre PGD against loops in float64, how far it goes, and what an evaluation says of it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.off_centre_pgd import OffCentrePGD
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.data.prepared import Split
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import check_ball
from robustlens.evaluation.run import attack_split

SHAPE, CLASSES, BATCH = (2, 3, 2), 4, 6
PIXELS = math.prod(SHAPE)
THREAT = Threat("linf", 0.1, 0.04)

_random = np.random.default_rng(3)
WEIGHT, BIAS = _random.normal(size=(CLASSES, PIXELS)), _random.normal(size=CLASSES)
IMAGES = _random.uniform(size=(BATCH, *SHAPE))
IMAGES[0], IMAGES[1] = 0.0, 1.0  # where a start that is clipped would be another one
LABELS = _random.integers(CLASSES, size=BATCH)
X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)


class Linear(nn.Module):
    """Keeps the images that it has seen."""

    def __init__(self):
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return images.flatten(1) @ torch.tensor(WEIGHT, dtype=images.dtype).T + torch.tensor(BIAS, dtype=images.dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noised() -> np.ndarray:
    """Neither clipped nor projected."""
    return IMAGES + 0.1 * (2 * torch.rand(X.shape, generator=seeded(), dtype=torch.float64).numpy() - 1)


def loop_attack(steps: int, step_size: float) -> np.ndarray:
    """Image by image and pixel by pixel, with the gradient W^T (p - e_y) of a linear classifier."""
    found = []
    for centre, y in zip(noised().reshape(BATCH, PIXELS).tolist(), LABELS, strict=True):
        point = list(centre)
        for _ in range(steps):
            z = [sum(w * v for w, v in zip(row, point, strict=True)) + b for row, b in zip(WEIGHT, BIAS, strict=True)]
            p = [math.exp(v) / sum(map(math.exp, z)) for v in z]
            for pixel in range(PIXELS):
                slope = sum((p[k] - (k == y)) * WEIGHT[k][pixel] for k in range(CLASSES))
                moved = point[pixel] + math.copysign(step_size, slope)
                point[pixel] = min(max(moved, centre[pixel] - 0.1), centre[pixel] + 0.1)
                point[pixel] = min(max(point[pixel], 0.0), 1.0)
        found.append(np.reshape(point, SHAPE))
    return np.stack(found)


@pytest.mark.parametrize(("steps", "step_size"), [(1, 0.1), (2, 0.04), (7, 0.04)])
def test_it_is_pgd_around_the_noised_image_step_by_step(steps, step_size):
    """A single step has the length epsilon."""
    centre, found = OffCentrePGD(steps).around_noise(Linear(), X, Y, THREAT, seeded())
    np.testing.assert_allclose(centre.numpy(), noised(), rtol=0, atol=1e-15)
    np.testing.assert_allclose(found.numpy(), loop_attack(steps, step_size), rtol=0, atol=1e-13)
    assert torch.equal(found, OffCentrePGD(steps)(Linear(), X, Y, THREAT, seeded()))


def test_it_starts_at_the_noised_images_which_are_not_clipped():
    model = Linear()
    OffCentrePGD(3)(model, X, Y, THREAT, seeded())
    np.testing.assert_allclose(model.seen[0].numpy(), noised(), rtol=0, atol=1e-15)
    assert model.seen[0].min() < 0 and model.seen[0].max() > 1
    assert all(seen.min() >= 0 and seen.max() <= 1 for seen in model.seen[1:]) and len(model.seen) == 3


def test_it_goes_up_to_two_epsilon_from_the_image_and_the_images_stay_as_they_were():
    x = X.clone()
    farthest = THREAT.distance(OffCentrePGD(10)(Linear(), x, Y, THREAT, seeded()), X)
    assert (farthest <= 0.2 + 1e-12).all() and (farthest > 0.15).any() and torch.equal(x, X)
    assert (THREAT.distance(PGD(10)(Linear(), X, Y, THREAT, seeded()), X) <= 0.1 + 1e-12).all()


def test_images_may_have_radii_of_their_own():
    epsilon = torch.linspace(0.01, 0.1, BATCH, dtype=torch.float64)
    threat = Threat("linf", epsilon, 0.5)
    centre, found = OffCentrePGD(2).around_noise(Linear(), X, Y, threat, seeded())
    for distances in (threat.distance(centre, X), threat.distance(found, centre)):
        assert (distances <= epsilon + 1e-12).all()
    assert (threat.distance(found, X) > epsilon).any()


def test_the_model_and_the_images_have_no_gradient():
    model = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES)).double()
    centre, found = OffCentrePGD(2).around_noise(model, X, Y, THREAT, seeded())
    assert not (centre.requires_grad or found.requires_grad) and all(p.grad is None for p in model.parameters())


def test_a_threat_in_l2_is_refused():
    with pytest.raises(RobustlensError, match="off-centre-pgd is only for L-inf, and the threat is in l2; use pgd"):
        OffCentrePGD(2)(Linear(), X, Y, Threat("l2", 0.5, 0.1), seeded())


# In an evaluation -------------------------------------------------------------------------------------------------


def split() -> Split:
    return Split((IMAGES * 255).astype(np.uint8), LABELS, np.arange(BATCH), levels=255)


def test_an_evaluation_takes_it_and_says_how_far_its_images_are():
    found = attack_split(Linear().eval(), split(), OffCentrePGD(10), "far", THREAT, seed=0, batch_size=4)
    assert 0.1 + 1e-3 < found["distance"].max() <= 0.2 + 1e-6


def test_an_attack_that_goes_further_than_it_says_is_refused():
    class Farther(OffCentrePGD):
        def __call__(self, model, x, y, threat, generator):
            return x + torch.where(x > 0.5, -0.25, 0.25)

    message = r"far: an adversarial image is 0\.25\d* away in linf, outside 2 times epsilon 0\.1"
    with pytest.raises(RobustlensError, match=message):
        attack_split(Linear().eval(), split(), Farther(10), "far", THREAT, seed=0, batch_size=4)
    x = torch.full((1, 1, 1, 1), 0.5)
    check_ball(x + 0.2, x, THREAT, "a", radii=2)
    for radii in (1, 1.9):
        with pytest.raises(RobustlensError, match="a: an adversarial image is"):
            check_ball(x + 0.2, x, THREAT, "a", radii=radii)
