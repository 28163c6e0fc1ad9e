"""Friendly PGD against loops in float64 over its rule for stopping and the closed gradient of a linear classifier."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.friendly_pgd import FriendlyPGD
from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.parameters import resolve

SHAPE, CLASSES, BATCH, STEPS = (2, 3, 2), 4, 24, 6
THREATS = {"linf": Threat("linf", 0.15, 0.05), "l2": Threat("l2", 0.4, 0.12)}
each_norm = pytest.mark.parametrize("norm", THREATS)
_random = np.random.default_rng(5)
WEIGHT, BIAS = _random.normal(size=(CLASSES, math.prod(SHAPE))), _random.normal(size=CLASSES)
IMAGES = _random.uniform(0.2, 0.8, size=(BATCH, *SHAPE))  # no start is cut with [0, 1]
IMAGES[:3] = IMAGES[:3].round()  # but of these
LABELS = (IMAGES.reshape(BATCH, -1) @ WEIGHT.T + BIAS).argmax(1)
LABELS[::6] = (LABELS[::6] + 1) % CLASSES  # four are wrong
X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)
INSIDE = slice(3, None)


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ torch.tensor(WEIGHT, dtype=images.dtype).T + torch.tensor(BIAS, dtype=images.dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def back(point: np.ndarray, centre: np.ndarray, norm: str) -> np.ndarray:
    away, epsilon = point - centre, THREATS[norm].epsilon
    if norm == "linf":
        away = np.array([min(max(d, -epsilon), epsilon) for d in away])
    else:
        away = away * min(1.0, epsilon / math.sqrt(sum(d**2 for d in away)))
    return np.array([min(max(c + d, 0.0), 1.0) for c, d in zip(centre, away, strict=True)])


def drawn(attack: FriendlyPGD, norm: str) -> tuple[np.ndarray, list[np.ndarray]]:
    """The starts, and the noise of each step, in the order in which the attack draws them."""
    random = seeded()
    if attack.start == "uniform":
        start = THREATS[norm].random_point(X, random).numpy()
    else:
        start = (X + 0.001 * torch.randn(X.shape, generator=random, dtype=X.dtype)).numpy().clip(0, 1)
    if not attack.noise:
        return start, [np.zeros(IMAGES.shape)] * attack.steps
    return start, [attack.noise * torch.randn(X.shape, generator=random, dtype=X.dtype).numpy() for _ in range(STEPS)]


def loop_attack(attack: FriendlyPGD, norm: str) -> tuple[np.ndarray, list[int]]:
    """The images, and how many steps each has made."""
    starts, noise = drawn(attack, norm)
    found, made = [], []
    for n, (start, image, y) in enumerate(zip(starts, IMAGES, LABELS, strict=True)):
        point, centre, spare, steps = start.ravel(), image.ravel(), attack.tau, 0
        target = np.eye(CLASSES)[y] if attack.loss == "ce" else softmax(WEIGHT @ centre + BIAS)
        for number in range(attack.steps):
            logits = WEIGHT @ point + BIAS
            if attack.stop == "wrong":
                if logits.argmax() != y:
                    if spare == 0:
                        break
                    spare -= 1
            else:
                if spare == 0:
                    break
                if logits.argmax() != y:
                    spare -= 1
            slope = WEIGHT.T @ (softmax(logits) - target)
            step = np.sign(slope) if norm == "linf" else slope / math.sqrt(sum(v**2 for v in slope))
            point = back(point + THREATS[norm].step_size * step + noise[number][n].ravel(), centre, norm)
            steps += 1
        found.append(point.reshape(SHAPE))
        made.append(steps)
    return np.stack(found), made


CASES = [
    FriendlyPGD(STEPS, tau, loss, start, noise, stop)
    for loss, start in (("ce", "uniform"), ("ce", "gaussian"), ("kl", "gaussian"))
    for tau, noise, stop in (
        (0, 0.0, "wrong"),
        (1, 0.0, "wrong"),
        (2, 0.01, "wrong"),
        (1, 0.0, "spent"),
        (2, 0.01, "spent"),
    )
]


@each_norm
@pytest.mark.parametrize("attack", CASES, ids=str)
def test_images_stop_where_the_rule_says(attack: FriendlyPGD, norm: str):
    found = attack(linear, X, Y, THREATS[norm], seeded())
    expected, made = loop_attack(attack, norm)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)
    assert len(set(made)) > 1  # not all alike


def test_it_stops_after_different_numbers_of_steps_and_not_in_the_order_of_the_images():
    _, made = loop_attack(FriendlyPGD(STEPS, 1), "linf")
    assert len(set(made)) >= 4 and STEPS in made and made != sorted(made) and made != sorted(made, reverse=True)


@each_norm
@pytest.mark.parametrize("steps", [1, STEPS])
@pytest.mark.parametrize(("loss", "start", "which"), [
    ("ce", "uniform", slice(None)), ("ce", "gaussian", INSIDE), ("kl", "gaussian", INSIDE)
])  # fmt: skip
def test_with_as_many_spare_steps_as_steps_it_is_pgd(norm: str, steps: int, loss: str, start: str, which: slice):
    """With the same noise, to the last bit; the starts of PGD are not cut with [0, 1] if they are Gaussian."""
    x, y = X[which], Y[which]
    for tau in (steps, 1000):
        ours = FriendlyPGD(steps, tau, loss, start)(linear, x, y, THREATS[norm], seeded())
        assert torch.equal(ours, PGD(steps, loss, start)(linear, x, y, THREATS[norm], seeded()))
    friendly = FriendlyPGD(steps, 0, loss, start)(linear, x, y, THREATS[norm], seeded())
    assert not torch.equal(ours, friendly)


@pytest.mark.parametrize("start", ["uniform", "gaussian"])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_without_a_spare_step_an_image_that_starts_wrong_is_not_moved(start: str, noise: float):
    attack, threat = FriendlyPGD(STEPS, 0, "ce", start, noise), THREATS["linf"]
    starts = torch.tensor(drawn(attack, "linf")[0])
    wrong = linear(starts).argmax(1) != Y
    found = attack(linear, X, Y, threat, seeded())
    same = (found == starts).flatten(1).all(1)
    assert wrong.any() and not wrong.all() and torch.equal(same, wrong)


def test_without_a_spare_step_all_images_stay_where_spent_ones_do():
    found = FriendlyPGD(STEPS, 0, stop="spent")(linear, X, Y, THREATS["linf"], seeded())
    assert torch.equal(found, THREATS["linf"].random_point(X, seeded()))


def test_an_image_that_is_right_again_goes_on_or_not():
    """One pixel, which the attack moves up by 0.1; it is taken for class 1 between 0.5 and 0.6 alone."""

    def model(x: Tensor) -> Tensor:
        z = x.flatten(1)
        height = torch.where((z.detach() > 0.5) & (z.detach() <= 0.6), 2.0, -2.0)
        return torch.cat([torch.zeros_like(z), height + z - z.detach()], dim=1)

    x, y = torch.tensor([0.42], dtype=torch.float64).view(1, 1, 1, 1), torch.tensor([0])
    threat = Threat("linf", 0.5, 0.1)
    at = threat.random_point(x, seeded(7)).item()
    assert 0.1 < at < 0.5

    def by_hand(stop: str, tau: int) -> float:
        point, spare = at, tau
        for _ in range(7):
            wrong = 0.5 < point <= 0.6
            if spare == 0 and (wrong or stop == "spent"):
                break
            spare -= wrong
            point = min(point + 0.1, 0.92)
        return point

    for stop in ("wrong", "spent"):
        found = FriendlyPGD(7, 1, stop=stop)(model, x, y, threat, seeded(7)).item()
        assert found == pytest.approx(by_hand(stop, 1), abs=1e-12)
    assert by_hand("wrong", 1) > by_hand("spent", 1) + 0.05


def test_every_image_may_have_a_radius_and_a_step_of_its_own():
    epsilon = torch.linspace(0.02, 0.2, BATCH, dtype=torch.float64)
    found = FriendlyPGD(STEPS, 100)(linear, X, Y, Threat("linf", epsilon, 0.3), seeded())
    assert ((found - X).abs().flatten(1).amax(1) <= epsilon + 1e-12).all()
    alone = FriendlyPGD(STEPS, 100)(linear, X, Y, Threat("linf", 0.02, 0.3), seeded())
    assert (found - X).abs().max() > (alone - X).abs().max() + 0.1


@each_norm
@pytest.mark.parametrize("attack", CASES[::4], ids=str)
def test_the_result_is_a_float32_image_of_the_ball_and_the_model_has_no_gradient(attack: FriendlyPGD, norm: str):
    network, x, threat = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(SHAPE), CLASSES)), X.float(), THREATS[norm]
    found = attack(network, x, Y, threat, seeded())
    assert found.shape == x.shape and found.dtype == x.dtype and not found.requires_grad and not x.requires_grad
    assert found.min() >= 0 and found.max() <= 1 and (threat.distance(found, x) <= threat.epsilon + 1e-6).all()
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize(("key", "value"), [("tau", -1), ("tau", 0.5), ("stop", "never"), ("start", "image")])
def test_what_is_no_parameter_of_it_is_refused(key: str, value):
    with pytest.raises(RobustlensError, match=rf"attacks\.friendly\.{key}: must be "):
        resolve("attacks", "friendly-pgd", {key: value}, "attacks.friendly")
