"""PGD on the margin against loops in float64 over its closed gradient for a linear classifier."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.margin_pgd import MarginPGD, margin
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.parameters import resolve

SHAPE, CLASSES, BATCH = (2, 3, 2), 4, 5
THREATS = {"linf": Threat("linf", 0.2, 0.08), "l2": Threat("l2", 0.5, 0.2)}
each_norm = pytest.mark.parametrize("norm", THREATS)

_random = np.random.default_rng(7)
WEIGHT, BIAS = _random.normal(size=(CLASSES, math.prod(SHAPE))), _random.normal(size=CLASSES)
IMAGES = _random.uniform(size=(BATCH, *SHAPE))
LABELS = _random.integers(CLASSES, size=BATCH)
LABELS[:2] = (IMAGES[:2].reshape(2, -1) @ WEIGHT.T + BIAS).argmax(1)  # two images are classified correctly
X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ torch.tensor(WEIGHT, dtype=images.dtype).T + torch.tensor(BIAS, dtype=images.dtype)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def moved(point: list[float], centre: list[float], slope: list[float], norm: str, step_size: float) -> list[float]:
    """One step along the slope, led back into the ball and then into [0, 1]."""
    epsilon = THREATS[norm].epsilon
    if norm == "linf":
        stepped = [u + step_size * math.copysign(1, v) for u, v in zip(point, slope, strict=True)]
        away = [min(max(u - c, -epsilon), epsilon) for u, c in zip(stepped, centre, strict=True)]
    else:
        length = math.sqrt(sum(v**2 for v in slope))
        stepped = [u + step_size * v / length for u, v in zip(point, slope, strict=True)]
        away = [u - c for u, c in zip(stepped, centre, strict=True)]
        shrink = min(1.0, epsilon / math.sqrt(sum(d**2 for d in away)))
        away = [shrink * d for d in away]
    return [min(max(c + d, 0.0), 1.0) for c, d in zip(centre, away, strict=True)]


def loop_attack(start: np.ndarray, norm: str, steps: int) -> tuple[np.ndarray, list[int]]:
    """Image by image, along W_k - W_y for the strongest rival k, and how many rivals each image met."""
    step_size = THREATS[norm].epsilon if steps == 1 else THREATS[norm].step_size
    found, met = [], []
    for begin, image, y in zip(start, IMAGES, LABELS, strict=True):
        point, rivals = begin.ravel().tolist(), []
        for _ in range(steps):
            z = [sum(w * v for w, v in zip(row, point, strict=True)) + b for row, b in zip(WEIGHT, BIAS, strict=True)]
            rivals.append(max((k for k in range(CLASSES) if k != y), key=lambda k, z=z: z[k]))
            slope = [rival - own for rival, own in zip(WEIGHT[rivals[-1]], WEIGHT[y], strict=True)]
            point = moved(point, image.ravel().tolist(), slope, norm, step_size)
        found.append(np.reshape(point, SHAPE))
        met.append(len(set(rivals)))
    return np.stack(found), met


@each_norm
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_it_climbs_the_margin_step_by_step(norm: str, steps: int):
    start = THREATS[norm].random_point(X, seeded()).numpy()
    expected, _ = loop_attack(start, norm, steps)
    found = MarginPGD(steps)(linear, X, Y, THREATS[norm], seeded())
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_the_strongest_rival_of_one_of_these_images_changes_on_the_way():
    start = THREATS["linf"].random_point(X, seeded()).numpy()
    assert max(loop_attack(start, "linf", 6)[1]) > 1


@pytest.mark.parametrize(
    ("logits", "y", "expected"),
    [
        ((2.0, 1.5, 0.0), 0, -0.5),
        ((2.0, 1.5, 0.0), 1, 0.5),
        ((-7.0, -9.0, -8.0), 1, 2.0),
        ((1000.0, -1000.0, -1001.0), 0, -2000.0),
    ],
)
def test_the_margin_is_the_strongest_rival_minus_the_true_class(logits, y, expected):
    assert margin(torch.tensor([logits]), torch.tensor([y])).tolist() == [expected]


def test_its_gradient_is_exact_in_float32_where_the_cross_entropy_has_none():
    logits = torch.tensor([[1000.0, -1000.0, -1001.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(margin(logits, torch.tensor([0])).sum(), logits)
    assert gradient.tolist() == [[-1.0, 1.0, 0.0]]


def test_rivals_that_are_equally_strong_share_the_gradient():
    logits = torch.tensor([[3.0, 1.0, 1.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(margin(logits, torch.tensor([0])).sum(), logits)
    assert gradient.tolist() == [[-1.0, 0.5, 0.5]]


@each_norm
def test_it_makes_as_many_passes_as_steps_and_leaves_the_parameters_alone(norm: str):
    layer, calls = nn.Linear(math.prod(SHAPE), CLASSES), []

    def counted(images: Tensor) -> Tensor:
        calls.append(len(images))
        return layer(images.flatten(1))

    x, threat = X.float(), THREATS[norm]
    found = MarginPGD(7)(counted, x, Y, threat, seeded())
    assert calls == [BATCH] * 7 and all(parameter.grad is None for parameter in layer.parameters())
    assert found.dtype == torch.float32 and not found.requires_grad
    assert ((found >= 0) & (found <= 1)).all()
    assert (threat.distance(found, x) <= threat.epsilon + 1e-6).all()


@pytest.mark.parametrize("steps", [0, -1, 2.5, True])
def test_steps_that_are_no_number_of_steps_are_refused_with_their_place(steps):
    with pytest.raises(RobustlensError, match=r"config\.attacks\.mine\.steps: must be a whole number above 0"):
        resolve("attacks", "margin-pgd", {"steps": steps}, "config.attacks.mine")
