"""Attacks under the L2 threat: against loops in float64, and against closed forms of linear models."""

import logging
import math

import numpy as np
import pyautoattack
import pytest
import torch
from torch import Tensor

from robustlens.attacks.apgd import APGD
from robustlens.attacks.apgd_t import APGDTargeted
from robustlens.attacks.autoattack import COMPONENTS, AutoAttack
from robustlens.attacks.cw import CW
from robustlens.attacks.fab import FAB
from robustlens.attacks.pgd import PGD
from robustlens.attacks.square import Square
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.evaluation.guards import TOLERANCE, check_ball


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def length(image: Tensor) -> float:
    """The L2 norm of one image, pixel by pixel."""
    return math.sqrt(math.fsum(value * value for value in image.double().flatten().tolist()))


# PGD in loops ------------------------------------------------------------------------------------------------------

SHAPE, CLASSES, BATCH = (2, 3, 4), 4, 4  # as many images as columns, so that (B,) may be taken for them
_random = seeded(0)
WEIGHT = torch.randn(CLASSES, 24, generator=_random, dtype=torch.float64)
X = torch.rand(BATCH, *SHAPE, generator=_random, dtype=torch.float64)
X[0] = X[0].round()  # black and white pixels, which feel the cut with [0, 1]
X[1:] = 0.35 + 0.3 * X[1:]  # and images that feel the ball alone
Y = torch.arange(BATCH) % CLASSES
EPSILONS, STEPS = [0.15, 0.1, 0.2, 0.3], [0.2, 0.04, 0.08, 0.15]
BALLS = {
    "one": Threat("l2", 0.3, 0.12),
    "(B,)": Threat("l2", torch.tensor(EPSILONS), torch.tensor(STEPS)),
    "(B, 1, 1, 1)": Threat("l2", torch.tensor(EPSILONS).view(-1, 1, 1, 1), torch.tensor(STEPS).view(-1, 1, 1, 1)),
    "radii alone": Threat("l2", torch.tensor(EPSILONS, dtype=torch.float64), 0.12),
}


def model(images: Tensor) -> Tensor:
    return images.flatten(1) @ WEIGHT.T.to(images.dtype)


def softmax(point: list[float]) -> list[float]:
    powers = [math.exp(sum(w * p for w, p in zip(row, point, strict=True))) for row in WEIGHT.tolist()]
    return [power / sum(powers) for power in powers]


def loop(point: list[float], centre: list[float], target: list[float], steps: int, step: float, radius: float) -> list:
    """One image: up the cross-entropy to the distribution `target`, by the gradient of a linear model."""
    for _ in range(steps):
        excess = [p - t for p, t in zip(softmax(point), target, strict=True)]
        gradient = [sum(e * row[i] for e, row in zip(excess, WEIGHT.tolist(), strict=True)) for i in range(len(point))]
        size = math.sqrt(math.fsum(g * g for g in gradient))
        point = [p + step * g / size for p, g in zip(point, gradient, strict=True)]
        away = math.sqrt(math.fsum((p - c) ** 2 for p, c in zip(point, centre, strict=True)))
        shrink = min(1.0, radius / away)
        point = [min(max(c + (p - c) * shrink, 0.0), 1.0) for p, c in zip(point, centre, strict=True)]
    return point


def started(start: str, radii: list[float]) -> list[list[float]]:
    """x itself, x + 0.001 N(0, 1), or uniform in the ball: a radius of U^(1/n) along a direction of the sphere."""
    centres, random = X.flatten(1).tolist(), seeded()
    if start == "image":
        return centres
    if start == "gaussian":
        noise = torch.randn(X.shape, generator=random, dtype=X.dtype).flatten(1).tolist()
        return [[c + 0.001 * d for c, d in zip(*pair, strict=True)] for pair in zip(centres, noise, strict=True)]
    uniform = torch.rand(X.shape, generator=random, dtype=X.dtype).flatten(1)[:, 0].tolist()
    directions = torch.randn(X.shape, generator=random, dtype=X.dtype)
    found = []
    for centre, u, direction, radius in zip(centres, uniform, directions, radii, strict=True):
        scale = radius * abs(2 * u - 1) ** (1 / 24) / length(direction)
        moved = [c + scale * d for c, d in zip(centre, direction.flatten().tolist(), strict=True)]
        found.append([min(max(value, 0.0), 1.0) for value in moved])
    return found


def per_image(value: float | Tensor) -> list[float]:
    return torch.as_tensor(value, dtype=torch.float64).flatten().expand(BATCH).tolist()


@pytest.mark.parametrize("ball", BALLS)
@pytest.mark.parametrize(
    ("loss", "start"), [("ce", "uniform"), ("ce", "image"), ("ce", "gaussian"), ("kl", "uniform"), ("kl", "gaussian")]
)
@pytest.mark.parametrize("steps", [1, 5])
def test_pgd_is_a_loop_over_images_with_a_radius_and_a_step_each(ball, loss, start, steps):
    threat = BALLS[ball]
    radii, lengths = (per_image(value) for value in (threat.epsilon, threat.step_size))
    expected = []
    for point, centre, label, radius, step in zip(
        started(start, radii), X.flatten(1).tolist(), Y.tolist(), radii, lengths, strict=True
    ):
        target = softmax(centre) if loss == "kl" else [float(k == label) for k in range(CLASSES)]
        expected.append(loop(point, centre, target, steps, radius if steps == 1 else step, radius))
    found = PGD(steps=steps, loss=loss, start=start)(model, X, Y, threat, seeded())
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, rtol=0, atol=1e-10)
    sizes = [length(delta) for delta in found - X]
    assert all(size <= radius + 1e-12 for size, radius in zip(sizes, radii, strict=True))
    assert any(size == pytest.approx(radius, abs=1e-9) for size, radius in zip(sizes, radii, strict=True))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("steps", [1, 4])
def test_an_image_in_a_batch_with_radii_is_attacked_as_alone(norm, steps):
    attack, together = PGD(steps=steps, start="image"), Threat(norm, torch.tensor(EPSILONS), torch.tensor(STEPS))
    found = attack(model, X, Y, together, seeded())
    for i, (epsilon, step) in enumerate(
        zip(together.epsilon.flatten().tolist(), together.step_size.flatten().tolist(), strict=True)
    ):
        own = attack(model, X[i : i + 1], Y[i : i + 1], Threat(norm, epsilon, step), seeded())
        torch.testing.assert_close(found[i : i + 1], own, rtol=0, atol=1e-8)  # those radii are of float32
    assert len({round(length(delta), 6) for delta in found - X}) == BATCH


def test_a_targeted_attack_steps_down_the_gradient_of_the_other_class():
    found = PGD(steps=3, start="image", targeted=True)(model, X, Y, BALLS["one"], seeded())
    drawn = torch.randint(1, CLASSES, (BATCH,), generator=seeded())
    for image, centre, other in zip(found, X, (Y + drawn) % CLASSES, strict=True):
        target = [float(k == int(other)) for k in range(CLASSES)]
        expected = loop(centre.flatten().tolist(), centre.flatten().tolist(), target, 3, -0.12, 0.3)
        np.testing.assert_allclose(image.flatten().tolist(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_without_gradient_stays_where_it_starts(dtype):
    x = X.to(dtype)

    def flat(images: Tensor) -> Tensor:
        """The first image has no gradient at all, the others have."""
        return model(images) * torch.tensor([0.0, 1.0, 1.0, 1.0], dtype=dtype).view(-1, 1)

    threat = BALLS["one"]
    for start, expected in (("image", x), ("uniform", threat.random_point(x, seeded()))):
        found = PGD(steps=4, start=start)(flat, x, Y, threat, seeded())
        assert torch.equal(found[0], threat.project(expected, x)[0]) and found.isfinite().all()
        assert (found[1:] != expected[1:]).flatten(1).any(1).all()


# Closed forms of linear models -------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.0, 5.0, 40.0, 80.0])
def test_pgd_goes_straight_down_the_weight_of_two_classes_however_sure_the_model_is(margin):
    """x - epsilon w / ||w||. The gradient is w times the probability of the wrong class, of exp(-80) in the end."""
    w = torch.randn(3, 8, 8, generator=seeded(), dtype=torch.float64)
    x = 0.4 + 0.2 * torch.rand(5, 3, 8, 8, generator=seeded(), dtype=torch.float64)

    def sure(images: Tensor) -> Tensor:
        score = ((images - x.to(images.dtype)) * w.to(images.dtype)).flatten(1).sum(1) + margin
        return torch.stack([score, -score], 1) / 2

    found = PGD(steps=10, start="image")(sure, x.float(), torch.zeros(5, dtype=int), Threat("l2", 0.5, 0.1), seeded())
    torch.testing.assert_close(found.double(), x - 0.5 * w / length(w), rtol=0, atol=1e-6)


ATTACKS = {  # how much farther than the nearest adversarial image each may need to look
    "pgd": (PGD(steps=40), 1.15),
    "apgd-ce": (APGD(steps=40), 1.15),
    "apgd-dlr": (APGD(loss="dlr", steps=40), 1.05),
    "apgd-t": (APGDTargeted(steps=20), 1.02),
    "fab": (FAB(steps=20), 1.02),
    "fab-t": (FAB(steps=20, targeted=True), 1.02),
    "square": (Square(queries=500), 3.0),
}
SCORES = torch.randn(5, 64, generator=seeded(8)) * 2


def linear(images: Tensor) -> Tensor:
    return (images - 0.5).flatten(1) @ SCORES.T


def nearest_borders() -> tuple[Tensor, Tensor, Tensor]:
    """Grey images, their classes, and the distance min_k (f_y - f_k) / ||w_y - w_k|| to the nearest other class, (B,),
    that is reached without leaving [0, 1]."""
    x = 0.2 + 0.6 * torch.rand(60, 1, 8, 8, generator=seeded(1))
    logits, y = linear(x).double(), linear(x).argmax(1)
    distances = [
        min(float(f[c] - f[k]) / length(SCORES[c] - SCORES[k]) for k in range(5) if k != c)
        for f, c in zip(logits, y.tolist(), strict=True)
    ]
    return x, y, torch.tensor(distances)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_breaks_the_images_that_are_near_enough_to_a_border_and_no_other(name, caplog):
    caplog.set_level(logging.ERROR)
    (attack, needs), (x, y, distances) = ATTACKS[name], nearest_borders()
    threat = Threat("l2", float(distances.median()), float(distances.median()) / 8)
    x_adv = attack(linear, x, y, threat, seeded())
    broken = linear(x_adv).argmax(1) != y
    assert not broken[distances > threat.epsilon * (1 + 1e-5)].any()
    assert broken[distances < threat.epsilon / needs].all() and 0 < broken.sum() < 60
    assert max(length(delta) for delta in x_adv.double() - x.double()) <= threat.epsilon + TOLERANCE
    assert x_adv.min() >= 0 and x_adv.max() <= 1
    if name == "fab":  # the nearest image: not one on the sphere, nor that of the first class that is near enough
        for delta, distance in zip((x_adv - x)[broken], distances[broken], strict=True):
            assert length(delta) == pytest.approx(float(distance), rel=0.05)


def test_cw_finds_the_nearest_image_in_l2_whatever_the_radius():
    x, y, distances = nearest_borders()
    attack = CW(c=1.0, steps=300, learning_rate=0.005)
    x_adv = attack(linear, x, y, Threat("l2", 0.01, 0.01), seeded())
    assert (linear(x_adv).argmax(1) != y).all()
    for delta, distance in zip(x_adv - x, distances.tolist(), strict=True):
        assert -1e-6 < length(delta) - distance < 0.03
    assert torch.equal(x_adv, attack(linear, x, y, Threat("linf", 0.3, 0.01), seeded()))


# AutoAttack --------------------------------------------------------------------------------------------------------


def test_autoattack_is_the_standard_version_in_l2_with_the_threat_s_epsilon(monkeypatch):
    ran = {}

    def settings(attack: pyautoattack.AutoAttack) -> dict:
        """All numbers and names of the components, but for the seed that each batch has of its own."""
        parts = {"apgd": attack.apgd, "apgd-t": attack.apgd_targeted, "fab": attack.fab, "square": attack.square}
        plain = (int, float, str, bool)
        own = {name: {k: v for k, v in vars(p).items() if isinstance(v, plain)} for name, p in parts.items()}
        return {name: {k: v for k, v in facts.items() if k not in ("seed", "device")} for name, facts in own.items()}

    def record(self: pyautoattack.AutoAttack, x: Tensor, y: Tensor, **_) -> tuple[Tensor, Tensor]:
        ran[tuple(self.attacks_to_run)] = (self.version, self.norm, self.epsilon, settings(self))
        return x, y

    monkeypatch.setattr(pyautoattack.AutoAttack, "run_standard_evaluation", record)
    x = torch.rand(4, 1, 8, 8, generator=seeded())
    wide = torch.randn(10, 64, generator=seeded())  # ten classes: nine targets, as in the standard version

    def ten(images: Tensor) -> Tensor:
        return images.flatten(1) @ wide.T

    AutoAttack()(ten, x, ten(x).argmax(1), Threat("l2", 128 / 255, 0.1), seeded())
    standard = pyautoattack.AutoAttack(ten, norm="L2", eps=128 / 255, version="standard")
    assert list(ran) == [(component,) for component in COMPONENTS] == [(name,) for name in standard.attacks_to_run]
    assert all(facts == ("standard", "L2", 128 / 255, settings(standard)) for facts in ran.values())
    assert {name: (part["norm"], part["eps"]) for name, part in settings(standard).items()} == dict.fromkeys(
        ("apgd", "apgd-t", "fab", "square"), ("L2", 128 / 255)
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", [*(name for name in ATTACKS if name != "pgd"), "autoattack"])
def test_the_library_s_attacks_refuse_a_radius_for_each_image(name, norm):
    x, y, _ = nearest_borders()
    attack = AutoAttack() if name == "autoattack" else ATTACKS[name][0]
    with pytest.raises(RobustlensError, match="one epsilon for all images; use PGD"):
        attack(linear, x, y, Threat(norm, torch.full((60,), 0.1), 0.02), seeded())


# The ball, and what float32 makes of it ----------------------------------------------------------------------------


def test_random_points_fill_the_ball_of_each_image_evenly():
    """In n dimensions P(r <= R) = R^n: the largest deviation from it over 20,000 points is that of chance."""
    count, n = 20_000, 12
    radii = torch.linspace(0.05, 0.45, count, dtype=torch.float64)
    grey = torch.full((count, 3, 2, 2), 0.5, dtype=torch.float64)
    delta = (Threat("l2", radii, 0.1).random_point(grey, seeded()) - grey).flatten(1).numpy()
    radius = np.sqrt((delta**2).sum(1)) / radii.numpy()
    assert radius.max() <= 1 + 1e-12
    even = (np.arange(count) + 0.5) / count
    assert np.abs(np.sort(radius**n) - even).max() < 1.63 / math.sqrt(count)  # Kolmogorov and Smirnov, 1 %
    half = len(radius) // 2
    assert abs((radius[:half] ** n).mean() - 0.5) < 0.01 and abs((radius[half:] ** n).mean() - 0.5) < 0.01


@pytest.mark.parametrize("epsilon", [0.5, 3.0, 30.0])
def test_a_large_image_is_projected_onto_the_ball_to_float32_and_its_distance_is_right(epsilon):
    x = 0.4 + 0.2 * torch.rand(2, 3, 224, 224, generator=seeded())
    threat = Threat("l2", epsilon, 0.1)
    moved = x + 0.2 * (2 * torch.rand(x.shape, generator=seeded(1)) - 1)
    found = threat.project(moved, x)
    exact = np.sqrt(((found.double() - x.double()) ** 2).flatten(1).sum(1).numpy())
    np.testing.assert_allclose(exact, epsilon, rtol=4e-7)
    np.testing.assert_allclose(threat.distance(found, x).numpy(), exact, rtol=2e-7)
    check_ball(found, x, threat, "a")


def test_an_evaluation_allows_for_rounding_in_proportion_to_a_radius_above_1():
    x = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    for epsilon, size in ((0.25, 1.0), (1.0, 1.0), (4.0, 4.0)):
        threat = Threat("l2", epsilon, 0.1)
        check_ball(x + epsilon + 0.9 * size * TOLERANCE, x, threat, "a")
        with pytest.raises(RobustlensError, match="a: an adversarial image is"):
            check_ball(x + epsilon + 1.1 * size * TOLERANCE, x, threat, "a")
