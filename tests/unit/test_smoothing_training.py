"""Training for randomised smoothing: its noise, its loss on that noise by hand, and batches of two sources."""

import math

import pytest
import tiny
import torch
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import Learner
from robustlens.learning.method import batch_of
from robustlens.methods.smoothing import Smoothing
from robustlens.parameters import create, resolve
from robustlens.seeds import generator

THREAT = Threat("linf", 0.1, 0.05)
X = [[0.1, 0.9], [0.5, 0.02], [0.97, 0.4]]
LABELS = [0, 1, 0]
WEIGHT = [[0.7, -1.3], [-0.4, 0.9], [0.2, 0.5]]  # three classes


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(WEIGHT, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


def images() -> Tensor:
    return torch.tensor(X, dtype=torch.float64).view(3, 1, 1, 2)


def noised(sigma: float, clip: bool) -> list[list[float]]:
    """By hand, with the noise of generator 11."""
    noise = (
        torch.randn(3, 1, 1, 2, generator=torch.Generator().manual_seed(11), dtype=torch.float64).view(3, 2).tolist()
    )
    found = [[v + sigma * n for v, n in zip(*rows, strict=True)] for rows in zip(X, noise, strict=True)]
    return [[min(max(v, 0.0), 1.0) for v in row] for row in found] if clip else found


def log_softmax(row: list[float], weight: list[list[float]]) -> list[float]:
    logits = [sum(w * v for w, v in zip(of_class, row, strict=True)) for of_class in weight]
    return [z - math.log(sum(map(math.exp, logits))) for z in logits]


def loss_by_hand(weight: list[list[float]], others: list[list[float]], beta: float, variant: str) -> float:
    total = 0.0
    for row, other, y in zip(X, others, LABELS, strict=True):
        p, q = log_softmax(row, weight), log_softmax(other, weight)
        if variant == "noise":
            total -= q[y]
        else:
            total += -p[y] + beta * sum(math.exp(a) * (a - b) for a, b in zip(p, q, strict=True))
    return total / 3


CASES = [("stability", 0.5, 6.0, True), ("stability", 0.25, 1.5, False), ("noise", 0.5, 6.0, True)]


@pytest.mark.parametrize(("variant", "sigma", "beta", "clip"), CASES)
def test_loss_and_gradient_at_a_fixed_noise_are_those_by_hand(variant, sigma, beta, clip):
    method, network = Smoothing(variant, sigma, beta, clip), Linear()
    learner = Learner(network)
    x, y = images(), torch.tensor(LABELS)
    found = method.attack(10)(learner, x, y, THREAT, torch.Generator().manual_seed(11))
    others = noised(sigma, clip)
    assert found.flatten().tolist() == pytest.approx([v for row in others for v in row], abs=1e-15)
    assert (min(map(min, others)) < 0) is not clip
    terms = method.loss(learner, batch_of(x, y, found, epoch=1))
    loss = (sum(terms.values()) if isinstance(terms, dict) else terms).mean()
    loss.backward()
    assert loss.item() == pytest.approx(loss_by_hand(WEIGHT, others, beta, variant), rel=1e-12)
    for k in range(3):
        for j in range(2):
            sides = []
            for step in (1e-6, -1e-6):
                moved = [list(row) for row in WEIGHT]
                moved[k][j] += step
                sides.append(loss_by_hand(moved, others, beta, variant))
            assert network.weight.grad[k, j].item() == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-8)


def test_the_gradient_flows_through_both_distributions():
    x, y, method = images(), torch.tensor(LABELS), Smoothing(beta=1.0)
    found = method.attack(1)(None, x, y, THREAT, torch.Generator().manual_seed(11))
    for of in ("natural", "noised"):
        here, there = x.clone().requires_grad_(), found.clone().requires_grad_()
        method.loss(Learner(Linear()), batch_of(here, y, there, epoch=1))["robust"].sum().backward()
        gradient = here.grad if of == "natural" else there.grad
        assert gradient.abs().min() > 0


def test_noise_is_of_the_generator_alone_and_has_its_standard_deviation():
    x, y = torch.full((50, 1, 20, 20), 0.5), torch.zeros(50).long()
    attack = Smoothing(sigma=0.1, clip=False).attack(10)
    drawn = [attack(None, x, y, THREAT, generator(0, "steps", step)) - x for step in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    assert drawn[0].std().item() == pytest.approx(0.1, rel=0.02)
    assert drawn[0].mean().item() == pytest.approx(0, abs=0.1 * 4 / math.sqrt(20_000))


def seen_images(folder, monkeypatch, **settings) -> list[tuple[Tensor, Tensor, int | None]]:
    """Natural and noised images of every step of a training, and how many are real."""
    seen = []
    original = Smoothing.loss

    def watched(self, learner, batch):
        seen.append((batch.x, batch.x_adv, batch.real))
        return original(self, learner, batch)

    monkeypatch.setattr(Smoothing, "loss", watched)
    spec = tiny.colour_spec("smoothing", augmentation={"crop_padding": 0, "flip": False}) | settings
    tiny.train(spec, tiny.random_images((1, 8, 8)), folder, **({"pool": tiny.pool()} if "mix" in settings else {}))
    return seen


def test_every_batch_of_a_training_has_noise_of_its_own_on_images_of_both_sources(tmp_path, monkeypatch):
    seen = seen_images(tmp_path, monkeypatch, mix=tiny.MIX)
    assert len(seen) == 2 * tiny.STEPS_PER_EPOCH and {real for *_, real in seen} == {10, 5}
    for x, x_noised, real in seen:
        assert len(x) == 2 * real and x_noised.min() >= 0 and x_noised.max() <= 1
        change = (x_noised - x).abs().flatten(1).amax(1)
        assert (change > 0.2).all()  # of 64 pixels one moves so far, in every image
    first, second = ((seen[step][1] - seen[step][0])[:5] for step in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"sigma": 0}, "here.sigma: must be a number above 0, got 0"),
        ({"sigma": -0.1}, "here.sigma: must be a number above 0, got -0.1"),
        ({"sigma": float("nan")}, "here.sigma: must be a number above 0, got nan"),
        ({"beta": -1}, "here.beta: must be a number of at least 0, got -1"),
        ({"variant": "gaussian"}, "here.variant: must be one of stability, noise, got 'gaussian'"),
        ({"clip": "yes"}, "here.clip: must be true or false, got 'yes'"),
    ],
)
def test_impossible_parameters_are_refused_with_their_place(parameters, message):
    with pytest.raises(RobustlensError, match=f"^{message}$"):
        resolve("methods", "smoothing", parameters, "here")


def test_defaults_are_those_of_the_released_code():
    assert create("methods", "smoothing", {}) == Smoothing("stability", 0.25, 6.0, True)
