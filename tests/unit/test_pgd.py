"""PGD and its threat model against loops in float64 on a linear softmax classifier, whose gradients are known."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError

SHAPE, CLASSES, BATCH = (2, 3, 2), 4, 5
EPSILON, STEP = {"linf": 0.1, "l2": 0.25}, {"linf": 0.04, "l2": 0.1}
NORMS = ["linf", "l2"]

_rng = np.random.default_rng(7)
WEIGHT = _rng.normal(size=(CLASSES, int(np.prod(SHAPE))))
BIAS = _rng.normal(size=CLASSES)
IMAGES = _rng.uniform(size=(BATCH, *SHAPE))
IMAGES[:3, 0] = IMAGES[:3, 0].round()  # black and white pixels, which feel the cut with [0, 1]
IMAGES[3:] = 0.3 + 0.4 * IMAGES[3:]  # and images that feel the ball alone
LABELS = _rng.integers(CLASSES, size=BATCH)

X, Y = torch.tensor(IMAGES), torch.tensor(LABELS)


class Linear(nn.Module):
    """The linear softmax classifier; it keeps the images that it is shown."""

    def __init__(self):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.tensor(WEIGHT)), nn.Parameter(torch.tensor(BIAS))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.detach().clone())
        return images.flatten(1) @ self.weight.T + self.bias


class SmallNetwork(nn.Module):
    """Convolution, batch normalisation and a rectifier: what a threat to gradients and buffers needs."""

    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(SHAPE[0], 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.LazyLinear(CLASSES)
            )
            self.layers(torch.zeros(2, *SHAPE))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def threat(norm: str) -> Threat:
    return Threat(norm, EPSILON[norm], STEP[norm])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max())
    return e / e.sum()


def loop_project(a: np.ndarray, x: np.ndarray, norm: str, epsilon: float) -> np.ndarray:
    """One image: into the ball, then into [0, 1], pixel by pixel."""
    a, x = a.ravel(), x.ravel()
    length = sum((u - v) ** 2 for u, v in zip(a, x, strict=True)) ** 0.5
    out = []
    for u, v in zip(a, x, strict=True):
        if norm == "linf":
            u = min(max(u, v - epsilon), v + epsilon)
        elif length > epsilon:
            u = v + (u - v) * epsilon / length
        out.append(min(max(u, 0.0), 1.0))
    return np.array(out)


def loop_ascend(a: np.ndarray, gradient: np.ndarray, norm: str, step: float) -> np.ndarray:
    """One image: along the sign of the gradient, or along its unit vector."""
    direction = np.sign(gradient) if norm == "linf" else gradient / np.sqrt((gradient**2).sum())
    return a + step * direction


def loop_pgd(start: np.ndarray, loss: str, norm: str, steps: int, step: float) -> np.ndarray:
    """PGD image by image with the closed gradient of a linear classifier: W^T (q - target)."""
    results = []
    for a, x, y in zip(start, IMAGES, LABELS, strict=True):
        a, x = a.ravel(), x.ravel()
        target = np.eye(CLASSES)[y] if loss == "ce" else softmax(WEIGHT @ x + BIAS)
        for _ in range(steps):
            gradient = WEIGHT.T @ (softmax(WEIGHT @ a + BIAS) - target)
            a = loop_project(loop_ascend(a, gradient, norm, step), x, norm, EPSILON[norm])
        results.append(a.reshape(SHAPE))
    return np.stack(results)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("steps", [2, 3, 4, 5])
def test_cross_entropy_step_by_step(norm: str, steps: int):
    found = PGD(steps=steps, loss="ce", start="image")(Linear(), X, Y, threat(norm), seeded())
    np.testing.assert_allclose(found.numpy(), loop_pgd(IMAGES, "ce", norm, steps, STEP[norm]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("steps", [2, 3, 4, 5])
def test_kl_step_by_step(norm: str, steps: int):
    """From the Gaussian start of TRADES: at x itself the gradient of the KL is zero."""
    start = IMAGES + 0.001 * torch.randn(X.shape, generator=seeded(4), dtype=X.dtype).numpy()
    found = PGD(steps=steps, loss="kl", start="gaussian")(Linear(), X, Y, threat(norm), seeded(4))
    np.testing.assert_allclose(found.numpy(), loop_pgd(start, "kl", norm, steps, STEP[norm]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", NORMS)
def test_the_comparison_meets_the_border_of_the_ball_and_of_the_pixel_range(norm: str):
    """Otherwise the tests above could not see a wrong projection."""
    found = loop_pgd(IMAGES, "ce", norm, 5, STEP[norm])
    delta = (found - IMAGES).reshape(BATCH, -1)
    size = np.abs(delta).max(axis=1) if norm == "linf" else np.sqrt((delta**2).sum(axis=1))
    assert np.isclose(size, EPSILON[norm]).any()
    pushed_outwards = (found == IMAGES) & ((IMAGES == 0) | (IMAGES == 1))
    assert pushed_outwards.any()


def test_one_step_is_fgsm():
    """x + epsilon sign(gradient), cut to [0, 1]: the length is epsilon, not the step size."""
    found = PGD(steps=1, loss="ce", start="image")(Linear(), X, Y, threat("linf"), seeded())
    expected = []
    for x, y in zip(IMAGES, LABELS, strict=True):
        gradient = WEIGHT.T @ (softmax(WEIGHT @ x.ravel() + BIAS) - np.eye(CLASSES)[y])
        expected.append(np.clip(x + EPSILON["linf"] * np.sign(gradient).reshape(SHAPE), 0, 1))
    np.testing.assert_allclose(found.numpy(), np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("loss", ["ce", "kl"])
@pytest.mark.parametrize("norm", NORMS)
def test_one_step_has_the_length_epsilon(norm: str, loss: str):
    start = IMAGES + 0.001 * torch.randn(X.shape, generator=seeded(5), dtype=X.dtype).numpy()
    found = PGD(steps=1, loss=loss, start="gaussian")(Linear(), X, Y, threat(norm), seeded(5))
    np.testing.assert_allclose(found.numpy(), loop_pgd(start, loss, norm, 1, EPSILON[norm]), rtol=0, atol=1e-10)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    ("loss", "start"),
    [("ce", "uniform"), ("ce", "gaussian"), ("ce", "image"), ("kl", "uniform"), ("kl", "gaussian")],
)
@pytest.mark.parametrize("steps", [1, 7])
def test_result_is_in_the_ball_and_in_the_pixel_range(norm: str, start: str, loss: str, steps: int):
    network, x = SmallNetwork().eval(), X.float()
    found = PGD(steps=steps, loss=loss, start=start)(network, x, Y, threat(norm), seeded())
    assert found.shape == x.shape
    assert found.dtype == x.dtype
    assert not found.requires_grad
    assert found.min() >= 0
    assert found.max() <= 1
    delta = (found - x).double().flatten(1).numpy()
    size = np.abs(delta).max(axis=1) if norm == "linf" else np.sqrt((delta**2).sum(axis=1))
    assert (size <= EPSILON[norm] + 1e-6).all()  # float32 rounds each of the 12 pixels at 6e-8


def first_image(start: str, norm: str, seed: int = 0) -> np.ndarray:
    model = Linear()
    PGD(steps=2, loss="ce", start=start)(model, X, Y, threat(norm), seeded(seed))
    return model.seen[0].numpy()


@pytest.mark.parametrize("norm", NORMS)
def test_starts(norm: str):
    np.testing.assert_array_equal(first_image("image", norm), IMAGES)

    noise = torch.randn(X.shape, generator=seeded(), dtype=X.dtype).numpy()
    np.testing.assert_allclose(first_image("gaussian", norm), IMAGES + 0.001 * noise, rtol=0, atol=1e-15)

    uniform = first_image("uniform", norm)
    assert (uniform != IMAGES).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(uniform, threat(norm).random_point(X, seeded()).numpy())


@pytest.mark.parametrize(("loss", "extra"), [("ce", 0), ("kl", 1)])
@pytest.mark.parametrize("steps", [1, 6])
def test_the_natural_image_of_kl_is_evaluated_once(loss: str, extra: int, steps: int):
    model = Linear()
    PGD(steps=steps, loss=loss, start="gaussian")(model, X, Y, threat("linf"), seeded())
    assert len(model.seen) == steps + extra
    assert sum(torch.equal(images, X) for images in model.seen) == extra


@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_model_and_inputs_are_left_as_they_were(loss: str):
    network, x, y = SmallNetwork().eval(), X.float(), Y.clone()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    x_before = x.clone()
    PGD(steps=3, loss=loss)(network, x, y, threat("linf"), seeded())
    assert all(p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert not network.training
    assert torch.equal(x, x_before)
    assert torch.equal(y, Y)
    assert not x.requires_grad


@pytest.mark.parametrize("start", ["uniform", "gaussian"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_generator_decides_the_result(norm: str, start: str):
    network, attack = SmallNetwork().eval(), PGD(steps=2, loss="ce", start=start)

    def attacked(seed: int) -> bytes:
        torch.rand(1)  # the global generator moves on, and must not matter
        return attack(network, X.float(), Y, threat(norm), seeded(seed)).numpy().tobytes()

    assert attacked(1) == attacked(1)
    # far from the borders two Gaussian starts may meet in the same corner of the L-inf ball, two uniform ones do not
    if (norm, start) != ("linf", "gaussian"):
        assert attacked(1) != attacked(2)


def test_works_where_the_caller_has_turned_gradients_off():
    attack = PGD(steps=3, loss="kl", start="gaussian")
    with torch.no_grad():
        found = attack(Linear(), X, Y, threat("linf"), seeded())
    assert torch.equal(found, attack(Linear(), X, Y, threat("linf"), seeded()))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("loss", ["ce", "kl"])
def test_every_image_ends_with_a_higher_loss_than_at_its_start_or_at_random_points(norm: str, loss: str):
    network = SmallNetwork().eval().double()

    def value(images: Tensor) -> Tensor:
        with torch.no_grad():
            if loss == "ce":
                return F.cross_entropy(network(images), Y, reduction="none")
            return F.kl_div(network(images).log_softmax(1), network(X).softmax(1), reduction="none").sum(1)

    start = X + 0.001 * torch.randn(X.shape, generator=seeded(2), dtype=X.dtype)
    found = value(PGD(steps=10, loss=loss, start="gaussian")(network, X, Y, threat(norm), seeded(2)))
    assert (found > value(start)).all()
    for seed in range(20):
        assert (found > value(threat(norm).random_point(X, seeded(100 + seed)))).all()


@pytest.mark.parametrize("norm", NORMS)
def test_project(norm: str):
    far = torch.tensor(IMAGES + np.random.default_rng(1).normal(scale=0.3, size=IMAGES.shape))
    near = torch.tensor(IMAGES + np.random.default_rng(2).normal(scale=0.01, size=IMAGES.shape))
    for points in (far, near, X):
        found = threat(norm).project(points, X).numpy().reshape(BATCH, -1)
        expected = [loop_project(a, x, norm, EPSILON[norm]) for a, x in zip(points.numpy(), IMAGES, strict=True)]
        np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_ascend(norm: str):
    gradient = np.random.default_rng(1).normal(size=IMAGES.shape) * np.logspace(-6, 3, BATCH).reshape(-1, 1, 1, 1)
    found = threat(norm).ascend(X, torch.tensor(gradient), 0.07).numpy()
    expected = [loop_ascend(a, g, norm, 0.07) for a, g in zip(IMAGES, gradient, strict=True)]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_a_zero_gradient_moves_nothing(norm: str):
    assert torch.equal(threat(norm).ascend(X, torch.zeros_like(X), 0.07), X)


@pytest.mark.parametrize("norm", NORMS)
def test_distance(norm: str):
    other = np.random.default_rng(3).uniform(size=IMAGES.shape)
    expected = []
    for a, x in zip(other, IMAGES, strict=True):
        differences = [abs(u - v) for u, v in zip(a.ravel(), x.ravel(), strict=True)]
        expected.append(max(differences) if norm == "linf" else sum(d**2 for d in differences) ** 0.5)
    found = threat(norm).distance(torch.tensor(other), X)
    assert found.shape == (BATCH,)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def many_points(norm: str) -> np.ndarray:
    """20,000 random points around grey images of 3 pixels, (N, 3), in units of epsilon."""
    grey = torch.full((20_000, 3, 1, 1), 0.5, dtype=torch.float64)
    return (threat(norm).random_point(grey, seeded()) - grey).flatten(1).numpy() / EPSILON[norm]


QUANTILES = np.arange(0.05, 1.0, 0.05)


def test_l2_random_point_is_uniform_in_the_ball():
    """In 3 dimensions the radius has P(r <= R) = R^3, and the covariance is I / 5."""
    points = many_points("l2")
    radius = np.sqrt((points**2).sum(axis=1))
    assert radius.max() <= 1
    np.testing.assert_allclose(np.quantile(radius, QUANTILES) ** 3, QUANTILES, atol=0.015)
    np.testing.assert_allclose(points.T @ points / len(points), np.eye(3) / 5, atol=0.006)
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=0.012)
    # On a sphere each coordinate of the direction is itself uniform in [-1, 1] (Archimedes).
    np.testing.assert_allclose(
        np.quantile(points / radius[:, None], QUANTILES, axis=0), (2 * QUANTILES - 1)[:, None].repeat(3, 1), atol=0.03
    )


def test_linf_random_point_is_uniform_in_the_cube():
    points = many_points("linf")
    assert np.abs(points).max() <= 1
    expected = (2 * QUANTILES - 1)[:, None].repeat(3, axis=1)
    np.testing.assert_allclose(np.quantile(points, QUANTILES, axis=0), expected, atol=0.03)
    np.testing.assert_allclose(points.T @ points / len(points), np.eye(3) / 3, atol=0.01)


@pytest.mark.parametrize("norm", NORMS)
def test_random_points_are_images(norm: str):
    points = threat(norm).random_point(X, seeded())
    assert points.min() >= 0
    assert points.max() <= 1
    assert (threat(norm).distance(points, X) <= EPSILON[norm] + 1e-12).all()


def test_a_targeted_attack_descends_the_loss_of_another_class_step_by_step():
    """A linear classifier, in loops: every step goes down the cross-entropy of the drawn class, by hand in float64."""
    torch.manual_seed(3)
    weight = torch.randn(4, 6, dtype=torch.float64)
    x, y = torch.rand(9, 1, 2, 3, dtype=torch.float64), torch.arange(9) % 4
    threat = Threat("linf", epsilon=0.2, step_size=0.05)
    attack = PGD(steps=3, start="image", targeted=True)
    x_adv = attack(lambda images: images.flatten(1) @ weight.T, x, y, threat, torch.Generator().manual_seed(1))
    drawn = torch.randint(1, 4, (9,), generator=torch.Generator().manual_seed(1))
    targets = [(int(label) + int(step)) % 4 for label, step in zip(y, drawn, strict=True)]
    assert all(target != label for target, label in zip(targets, y.tolist(), strict=True)) and len(set(targets)) > 1
    for image in range(9):
        point, centre = (x[image].flatten().tolist() for _ in range(2))
        for _ in range(3):
            logits = [sum(w * p for w, p in zip(row, point, strict=True)) for row in weight.tolist()]
            total = sum(math.exp(logit) for logit in logits)
            excess = [math.exp(logit) / total - (k == targets[image]) for k, logit in enumerate(logits)]
            for pixel in range(6):
                slope = sum(e * weight[k, pixel].item() for k, e in enumerate(excess))
                moved = point[pixel] - 0.05 * math.copysign(1, slope)
                point[pixel] = min(max(moved, centre[pixel] - 0.2, 0.0), centre[pixel] + 0.2, 1.0)
        assert x_adv[image].flatten().tolist() == pytest.approx(point, abs=1e-12)


def test_a_targeted_kl_attack_is_refused():
    with pytest.raises(RobustlensError, match="no label that it could lead to"):
        PGD(loss="kl", start="gaussian", targeted=True)


def test_kl_from_the_image_is_refused():
    with pytest.raises(RobustlensError, match="gradient is zero"):
        PGD(loss="kl", start="image")
