"""SCORE: its losses by the authors' values and by hand, and PGD on squared distances of probabilities by loops."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from test_methods import softmax, squared
from torch import Tensor, nn

from robustlens.attacks.squared_pgd import SquaredPGD, squared_distance
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import batch_of
from robustlens.methods.score import Score
from robustlens.parameters import resolve


class Logits(nn.Module):
    """Natural images are zeros and have the first logits, adversarial ones are ones and have the others."""

    def __init__(self, natural: list[float], adversarial: list[float]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor([natural, adversarial], dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.rows[images.flatten().long()]


def loss_of(method: Score, p: list[float], q: list[float], y: int) -> tuple[float, Tensor]:
    """For these softmaxes, and its gradient with respect to the logits (natural, adversarial)."""
    network = Logits([math.log(v) for v in p], [math.log(v) for v in q])
    seen = batch_of(torch.zeros(1, 1, 1, 1), torch.tensor([y]), torch.ones(1, 1, 1, 1), epoch=1)
    loss = method.loss(Learner(network), seen)
    loss.sum().backward()
    return loss.item(), network.rows.grad


P, Q = [0.7, 0.2, 0.1], [0.5, 0.4, 0.1]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (Score("sat", clip=0.4), 0.18),
        (Score("trades", clip=0.3), 0.485),
        (Score("sat", clip=0.0), 0.42),
        (Score("trades", clip=0.0), 0.14 + 6 * 0.08),
        (Score("trades", clip=0.0, beta=0.5), 0.14 + 0.5 * 0.08),
        # The sum is clipped, not its parts: S(p, y) alone is below b = 0.24.
        (Score("trades", clip=0.4), 0.14 + 6 * 0.08 - 0.24),
    ],
)
def test_losses_of_the_worked_example(method: Score, expected: float):
    assert loss_of(method, P, Q, 0)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("clip", "classes", "expected"),
    [(0.4, 10, 0.177778), (0.3, 10, 0.1), (0.4, 100, 0.161616), (0.3, 100, 0.090909), (0.4, 3, 0.24)],
)
def test_the_bound_is_the_distance_of_a_softmax_with_1_minus_clip_on_the_class(clip, classes, expected):
    bound = Score(clip=clip).bound(classes)
    assert bound == pytest.approx(expected, abs=5.1e-7)
    sure = [1 - clip] + [clip / (classes - 1)] * (classes - 1)
    assert bound == pytest.approx(squared(sure, [1.0] + [0.0] * (classes - 1)), abs=1e-12)


@pytest.mark.parametrize("base", ["sat", "trades"])
def test_an_image_as_sure_as_the_bound_has_no_loss_and_no_gradient(base: str):
    sure = [0.75, 0.15, 0.1]
    loss, gradient = loss_of(Score(base, clip=0.4), sure, sure, 0)
    assert loss == 0 and not gradient.any()
    loss, gradient = loss_of(Score(base, clip=0.1), sure, sure, 0)
    assert loss > 0 and gradient.any()


def test_the_gradient_flows_through_the_natural_softmax_in_both_terms():
    """By finite differences of the formula, where the regulariser alone would leave the natural logits at rest."""
    _, gradient = loss_of(Score("trades", clip=0.0), P, Q, 0)

    def formula(z: list[float], a: list[float]) -> float:
        p, q = softmax(z), softmax(a)
        return squared(p, [1.0, 0.0, 0.0]) + 6 * squared(p, q)

    rows = [[math.log(v) for v in P], [math.log(v) for v in Q]]
    for which in range(2):
        for k in range(3):
            ends = []
            for sign in (1, -1):
                moved = [list(row) for row in rows]
                moved[which][k] += sign * 1e-6
                ends.append(formula(*moved))
            assert float(gradient[which, k]) == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-8)


# The attack -----------------------------------------------------------------------------------------------------------

SHAPE, CLASSES, BATCH = (2, 3, 2), 4, 5
THREATS = {"linf": Threat("linf", 0.1, 0.04), "l2": Threat("l2", 0.25, 0.1)}
_random = np.random.default_rng(3)
WEIGHT, BIAS = _random.normal(size=(CLASSES, math.prod(SHAPE))), _random.normal(size=CLASSES)
IMAGES = _random.uniform(size=(BATCH, *SHAPE))
IMAGES[0] = IMAGES[0].round()  # black and white pixels, which feel the cut with [0, 1]
LABELS = _random.integers(CLASSES, size=BATCH)
X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ torch.tensor(WEIGHT, dtype=images.dtype).T + torch.tensor(BIAS, dtype=images.dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def probabilities(point: list[float]) -> list[float]:
    return softmax(
        [sum(w * v for w, v in zip(row, point, strict=True)) + b for row, b in zip(WEIGHT, BIAS, strict=True)]
    )


def back(point: list[float], centre: list[float], norm: str) -> list[float]:
    """Into the ball, then into [0, 1]."""
    away, epsilon = [u - c for u, c in zip(point, centre, strict=True)], THREATS[norm].epsilon
    if norm == "linf":
        away = [min(max(d, -epsilon), epsilon) for d in away]
    else:
        shrink = min(1.0, epsilon / math.sqrt(sum(d**2 for d in away)))
        away = [shrink * d for d in away]
    return [min(max(c + d, 0.0), 1.0) for c, d in zip(centre, away, strict=True)]


def loop_attack(start: np.ndarray, target: str, norm: str, steps: int) -> np.ndarray:
    """Image by image: the gradient of S in logit j is 2 q_j ((q_j - t_j) - sum_k q_k (q_k - t_k))."""
    found = []
    step_size = THREATS[norm].epsilon if steps == 1 else THREATS[norm].step_size
    for begin, image, y in zip(start, IMAGES, LABELS, strict=True):
        centre, point = image.ravel().tolist(), begin.ravel().tolist()
        t = [float(k == y) for k in range(CLASSES)] if target == "label" else probabilities(centre)
        for _ in range(steps):
            q = probabilities(point)
            mean = sum(a * (a - b) for a, b in zip(q, t, strict=True))
            logits = [2 * a * (a - b - mean) for a, b in zip(q, t, strict=True)]
            slope = [sum(s * row[pixel] for s, row in zip(logits, WEIGHT, strict=True)) for pixel in range(len(point))]
            length = 1.0 if norm == "linf" else math.sqrt(sum(v**2 for v in slope))
            step = [math.copysign(1, v) if norm == "linf" else v / length for v in slope]
            point = back([u + step_size * v for u, v in zip(point, step, strict=True)], centre, norm)
        found.append(np.reshape(point, SHAPE))
    return np.stack(found)


def start_of(target: str, norm: str) -> np.ndarray:
    if target == "label":
        return THREATS[norm].random_point(X, seeded()).numpy()
    noisy = (X + 0.001 * torch.randn(X.shape, generator=seeded(), dtype=X.dtype)).numpy()
    return noisy.clip(0, 1)


@pytest.mark.parametrize("norm", THREATS)
@pytest.mark.parametrize("target", ["label", "natural"])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_it_climbs_the_squared_distance_step_by_step(norm: str, target: str, steps: int):
    found = SquaredPGD(steps, target)(linear, X, Y, THREATS[norm], seeded())
    expected = loop_attack(start_of(target, norm), target, norm, steps)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)


def test_it_is_the_training_attack_of_either_base():
    for method, target in ((Score("sat"), "label"), (Score("trades"), "natural")):
        assert method.attack(7) == SquaredPGD(7, target)


@pytest.mark.parametrize("target", ["label", "natural"])
def test_the_result_is_an_image_of_the_ball_and_the_model_has_no_gradient(target: str):
    threat, network = THREATS["linf"], nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), CLASSES))
    x = X.float()
    found = SquaredPGD(3, target)(network, x, Y, threat, seeded())
    assert found.shape == x.shape and found.dtype == x.dtype and not found.requires_grad
    assert found.min() >= 0 and found.max() <= 1 and (threat.distance(found, x) <= threat.epsilon + 1e-6).all()
    assert all(p.grad is None for p in network.parameters())
    with torch.no_grad():
        p, q = (F.softmax(network(images), dim=1) for images in (x, found))
    before = F.one_hot(Y, CLASSES) if target == "label" else p
    assert (squared_distance(q, before) > squared_distance(p, before)).all()


def test_distances_lie_between_0_and_2():
    p = torch.eye(3)
    assert squared_distance(p, p).tolist() == [0, 0, 0] and squared_distance(p, p.roll(1, 0)).tolist() == [2, 2, 2]


@pytest.mark.parametrize(("key", "value"), [("clip", -0.1), ("clip", 1.5), ("base", "mart"), ("beta", -1)])
def test_what_is_no_parameter_of_score_is_refused(key: str, value):
    with pytest.raises(RobustlensError, match=rf"recipes\.score\.{key}: must be "):
        resolve("methods", "score", {key: value}, "recipes.score")
