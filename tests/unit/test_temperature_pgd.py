"""Temperature-PGD against loops in float64 over the gradient of its cross-entropy, and where rounding would take that
gradient away."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.temperature_pgd import TemperaturePGD, ascent, direction, share_of_other_signs
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.parameters import resolve

SHAPE, CLASSES, BATCH = (2, 3, 2), 4, 5
PIXELS = math.prod(SHAPE)
THREATS = {"linf": Threat("linf", 0.1, 0.04), "l2": Threat("l2", 0.25, 0.1)}
each_norm = pytest.mark.parametrize("norm", THREATS)

_random = np.random.default_rng(11)
WEIGHT, BIAS = _random.normal(size=(CLASSES, PIXELS)), _random.normal(size=CLASSES)
IMAGES = _random.uniform(size=(BATCH, *SHAPE))
LABELS = _random.integers(CLASSES, size=BATCH)
LABELS[:2] = (IMAGES[:2].reshape(2, PIXELS) @ WEIGHT.T + BIAS).argmax(1)  # two images are classified correctly
X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)


def linear(images: Tensor) -> Tensor:
    return images.flatten(1) @ torch.tensor(WEIGHT, dtype=images.dtype).T + torch.tensor(BIAS, dtype=images.dtype)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def softmax(z: list[float]) -> list[float]:
    exponentials = [math.exp(v - max(z)) for v in z]
    return [e / sum(exponentials) for e in exponentials]


def loop_attack(start: np.ndarray, norm: str, steps: int, inverse_temperature: float) -> np.ndarray:
    """Image by image, with the closed gradient of a linear classifier: W^T (p - e_y) / T."""
    threat, found = THREATS[norm], []
    for begin, image, y in zip(start, IMAGES, LABELS, strict=True):
        point, centre = begin.ravel().tolist(), image.ravel().tolist()
        for _ in range(steps):
            logits = [
                sum(w * v for w, v in zip(row, point, strict=True)) + b for row, b in zip(WEIGHT, BIAS, strict=True)
            ]
            p = softmax([inverse_temperature * z for z in logits])
            slope = [
                sum((p[k] - (k == y)) * WEIGHT[k][pixel] for k in range(CLASSES)) * inverse_temperature
                for pixel in range(PIXELS)
            ]
            length = 1.0 if norm == "linf" else math.sqrt(sum(v**2 for v in slope))
            step = [math.copysign(1, v) if norm == "linf" else v / length for v in slope]
            moved = [u + threat.step_size * v for u, v in zip(point, step, strict=True)]
            away = [u - c for u, c in zip(moved, centre, strict=True)]
            if norm == "linf":
                away = [min(max(d, -threat.epsilon), threat.epsilon) for d in away]
            else:
                shrink = min(1.0, threat.epsilon / math.sqrt(sum(d**2 for d in away)))
                away = [d * shrink for d in away]
            point = [min(max(c + d, 0.0), 1.0) for c, d in zip(centre, away, strict=True)]
        found.append(np.reshape(point, SHAPE))
    return np.stack(found)


@each_norm
@pytest.mark.parametrize("inverse_temperature", [0.5, 1, 2, 5])
@pytest.mark.parametrize("steps", [2, 5])
def test_it_climbs_the_cross_entropy_of_scaled_logits_step_by_step(norm: str, inverse_temperature: float, steps: int):
    start = THREATS[norm].random_point(X, seeded()).numpy()
    found = TemperaturePGD(inverse_temperature, steps)(linear, X, Y, THREATS[norm], seeded())
    np.testing.assert_allclose(found.numpy(), loop_attack(start, norm, steps, inverse_temperature), rtol=0, atol=1e-12)


class SmallNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(SHAPE[0], 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, CLASSES)
            ).double()

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@pytest.mark.parametrize("model", [linear, SmallNetwork()], ids=["linear", "network"])
@pytest.mark.parametrize("steps", [1, 2, 10])
def test_temperature_1_is_pgd_on_the_cross_entropy_in_float64(model, steps: int):
    """The same bits in L-inf. In L2 a gradient that differs by a factor has the same unit vector up to rounding."""
    arguments = model, X, Y
    pgd, ours = PGD(steps=steps), TemperaturePGD(1, steps)
    assert torch.equal(ours(*arguments, THREATS["linf"], seeded()), pgd(*arguments, THREATS["linf"], seeded()))
    in_l2 = ours(*arguments, THREATS["l2"], seeded()), pgd(*arguments, THREATS["l2"], seeded())
    torch.testing.assert_close(*in_l2, rtol=0, atol=1e-12)


# z = (2, 1.5, 0), y = 0: 1 / T, p, and the share of the weaker rival among the rivals.
TABLE = [
    (0.5, (0.465836, 0.362793, 0.171371), 0.320821),
    (1, (0.574097, 0.348207, 0.077696), 0.182426),
    (2, (0.721399, 0.265388, 0.013213), 0.047426),
    (5, (0.924103, 0.075855, 0.000042), 0.000553),
]


@pytest.mark.parametrize(("inverse_temperature", "p", "weaker"), TABLE)
def test_the_direction_is_the_gradient_of_the_cross_entropy_divided_by_1_minus_p_y(inverse_temperature, p, weaker):
    found = direction(torch.tensor([[2.0, 1.5, 0.0]]), torch.tensor([0]), inverse_temperature)[0].tolist()
    assert found == pytest.approx([-1, 1 - weaker, weaker], abs=5.1e-7)
    exact = softmax([inverse_temperature * z for z in (2.0, 1.5, 0.0)])
    assert exact == pytest.approx(p, abs=5.1e-7)
    assert found == pytest.approx([(q - (k == 0)) / (1 - exact[0]) for k, q in enumerate(exact)], rel=1e-12)


@each_norm
def test_a_factor_on_the_loss_changes_no_step(norm: str):
    gradient = ascent(linear, X, Y, 2.0)
    once, larger = (THREATS[norm].ascend(X, factor * gradient, 0.1) for factor in (1.0, 2.0**-40))
    assert torch.equal(once, larger)


@each_norm
@pytest.mark.parametrize("inverse_temperature", [1e4, 1e300])
def test_at_a_large_inverse_temperature_it_climbs_the_margin(norm: str, inverse_temperature: float):
    """One step along W_k - W_y, where k is the strongest rival at the start, whether or not the image is fooled."""
    threat, start = THREATS[norm], THREATS[norm].random_point(X, seeded())
    logits = (start.flatten(1).numpy() @ WEIGHT.T + BIAS).tolist()
    rivals = [
        max((k for k in range(CLASSES) if k != y), key=lambda k, z=z: z[k]) for z, y in zip(logits, LABELS, strict=True)
    ]
    assert {z[k] > z[y] for z, k, y in zip(logits, rivals, LABELS, strict=True)} == {True, False}
    slopes = WEIGHT[rivals] - WEIGHT[LABELS]
    lengths = 1 if norm == "linf" else np.sqrt((slopes**2).sum(1, keepdims=True))
    steps = (np.sign(slopes) if norm == "linf" else slopes / lengths).reshape(IMAGES.shape)
    expected = threat.project(start + threat.epsilon * torch.tensor(steps), X)
    found = TemperaturePGD(inverse_temperature, steps=1)(linear, X, Y, threat, seeded())
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_true_class_keeps_its_part_where_single_precision_loses_it():
    """At a gap of 20, the rivals' parts of float32 are non-zero, and the part of y is exactly 0."""
    logits, y = torch.tensor([[20.0, 0.0, -1.0]]), torch.tensor([0])

    def gradient(z: Tensor) -> list[float]:
        z = z.clone().requires_grad_(True)
        return torch.autograd.grad(F.cross_entropy(z, y), z)[0][0].tolist()

    single, double = gradient(logits), gradient(logits.double())
    assert single[0] == 0 and single[1] > 0 and double[0] < 0
    found = direction(logits, y, 1.0)[0].tolist()
    assert found[0] == -1 and sum(found) == pytest.approx(0, abs=1e-15)
    assert [v / found[1] for v in found] == pytest.approx([v / double[1] for v in double], rel=1e-6)


@pytest.mark.parametrize("logits", [[1000.0, -1000.0, -1001.0], [-1000.0, 1000.0, 999.0]], ids=["sure", "fooled"])
@pytest.mark.parametrize("inverse_temperature", [0.5, 1, 100, 1e306])
def test_the_direction_is_finite_and_not_zero_at_logits_of_a_thousand(logits, inverse_temperature):
    """By hand: rivals one apart have shares of 1 / (1 + exp(-1 / T))."""
    share = 1 / (1 + math.exp(-inverse_temperature))
    for dtype in (torch.float32, torch.float64):
        found = direction(torch.tensor([logits], dtype=dtype), torch.tensor([0]), inverse_temperature)[0].tolist()
        assert found == pytest.approx([-1, share, 1 - share], rel=1e-12, abs=1e-15)


@each_norm
def test_an_image_that_the_network_is_sure_of_is_moved_where_the_cross_entropy_has_no_gradient(norm: str):
    threat, x = THREATS[norm], X.float()
    start = threat.random_point(x, seeded())
    y = linear(start).argmax(1)  # right by a gap that float64 rounds to p_y = 1

    def sure(images: Tensor) -> Tensor:
        return 1e4 * linear(images)

    assert torch.equal(PGD(steps=3)(sure, x, y, threat, seeded()), start)
    moved = TemperaturePGD(1, steps=3)(sure, x, y, threat, seeded())
    margins = [_margin(linear(images), y) for images in (start, moved)]
    assert (margins[1] < margins[0]).all()


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    return logits.gather(1, y[:, None])[:, 0] - logits.scatter(1, y[:, None], -torch.inf).amax(1)


@each_norm
def test_an_image_around_which_the_network_is_constant_stays_at_its_start(norm: str):
    found = TemperaturePGD(5, steps=3)(lambda images: 0 * linear(images), X, Y, THREATS[norm], seeded())
    assert torch.equal(found, THREATS[norm].random_point(X, seeded()))


@each_norm
def test_the_result_is_a_float32_image_of_the_ball_and_the_model_has_no_gradient(norm: str):
    network, x, threat = SmallNetwork().float(), X.float(), THREATS[norm]
    found = TemperaturePGD(20, steps=7)(network, x, Y, threat, seeded())
    assert found.shape == x.shape and found.dtype == x.dtype and not found.requires_grad and not x.requires_grad
    assert found.min() >= 0 and found.max() <= 1 and (threat.distance(found, x) <= threat.epsilon + 1e-6).all()
    assert all(p.grad is None for p in network.parameters())


def test_images_may_have_radii_of_their_own():
    epsilon = torch.linspace(0.02, 0.1, BATCH, dtype=torch.float64)
    found = TemperaturePGD(2, steps=5)(linear, X, Y, Threat("linf", epsilon, 0.5), seeded())
    sizes = (found - X).abs().flatten(1).amax(1)
    assert sizes.tolist() == pytest.approx(epsilon.tolist(), abs=1e-15)


def test_signs_differ_where_single_precision_forgets_the_true_class():
    """Two pixels (a, b) = (0, 0), y = 0, z = (20 + a, slope a + b, -50). The gradient is along (slope - 1, 1), and
    without the part of y along (slope, 1). For a slope of -1 these have the same signs, for 0.5 they don't."""

    def of(slope: float):
        def model(x: Tensor) -> Tensor:
            a, b = x.flatten(1).T
            return torch.stack([20 + a, b + slope * a, -50 + 0 * a], dim=1)

        return model

    x, y = torch.zeros(1, 1, 1, 2), torch.tensor([0])
    assert ascent(of(-1), x, y, 1.0).flatten().tolist() == pytest.approx([-2, 1])
    assert ascent(of(0.5), x, y, 1.0).flatten().tolist() == pytest.approx([-0.5, 1])
    assert share_of_other_signs(of(-1), x, y).tolist() == [0]
    assert share_of_other_signs(of(0.5), x, y).tolist() == [0.5]
    assert share_of_other_signs(of(0.5), x.double(), y).tolist() == [0]
    assert share_of_other_signs(of(0.5), x, y, 0.5).tolist() == [0]  # a gap of 10
    assert share_of_other_signs(of(0.5), x, y, 100).tolist() == [1]  # no gradient at all


@pytest.mark.parametrize("value", [0, -1.0, math.inf, math.nan, "5", True])
def test_an_inverse_temperature_that_is_not_a_positive_number_is_refused(value):
    with pytest.raises(RobustlensError, match=r"inverse_temperature: must be a number above 0"):
        resolve("attacks", "temperature-pgd", {"inverse_temperature": value}, "attacks.t")


def test_it_needs_an_inverse_temperature():
    with pytest.raises(RobustlensError, match="needs the parameter 'inverse_temperature'"):
        resolve("attacks", "temperature-pgd", {}, "attacks.t")
