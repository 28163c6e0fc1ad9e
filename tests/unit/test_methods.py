"""Training losses against their papers' equations, written here per sample with loops and `math` in float64.

A stub network hands out prescribed logits, so a loss is a plain function of two tables of numbers.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from types import MappingProxyType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, batch_of
from robustlens.methods.cfa import Cfa
from robustlens.methods.class_weighted_sat import ClassWeightedSat
from robustlens.methods.dafa import Dafa
from robustlens.methods.fat import Fat
from robustlens.methods.frl import Frl
from robustlens.methods.gairat import Gairat
from robustlens.methods.hat import Hat
from robustlens.methods.he import He
from robustlens.methods.lbgat import Lbgat
from robustlens.methods.mail_at import MailAt
from robustlens.methods.mail_trades import MailTrades, margin_weight
from robustlens.methods.mart import Mart
from robustlens.methods.off_centre_sat import OffCentreSAT
from robustlens.methods.sat import SAT
from robustlens.methods.score import Score
from robustlens.methods.shared_lbgat import SharedLbgat
from robustlens.methods.smoothing import Smoothing
from robustlens.methods.standard import Standard
from robustlens.methods.trades import Trades
from robustlens.methods.weat import Weat
from robustlens.parameters import component, names

# Right on both images; right, then fooled; wrong on both; low logits, so that the natural energy is positive.
LABELS = [0, 2, 1, 3]
NATURAL = [[3.1, 0.4, -0.7, 1.2], [0.3, -1.5, 1.9, 0.8], [2.2, 0.1, -0.4, 0.9], [-6.0, -4.5, -5.2, -3.9]]
ADVERSARIAL = [[2.0, 0.9, -0.2, 1.1], [1.6, -0.8, 0.7, 1.3], [2.9, -0.6, 0.2, 0.5], [-3.1, -2.4, -4.0, -2.7]]
BATCH, CLASSES = len(NATURAL), len(NATURAL[0])
KAPPA = [1.0, 0.6, 0.0, 0.1]  # the part of GAIRAT's attack steps that began at a point still classified correctly


class PrescribedLogits(nn.Module):
    """Image number i (its only pixel) has the logits of row i: natural images first, adversarial ones after."""

    def __init__(self, natural: list[list[float]], adversarial: list[list[float]]):
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(natural + adversarial, dtype=torch.float64))
        self.calls: list[list[int]] = []

    def forward(self, images: Tensor) -> Tensor:
        rows = images.flatten().long()
        self.calls.append(rows.tolist())
        return self.logits[rows]


def run(method: Any, epoch: int, natural=NATURAL, adversarial=ADVERSARIAL, labels=LABELS, memory=MappingProxyType({})):
    """The loss and the stub network, after the loss's backward pass. memory: what the method remembers of classes."""
    model = PrescribedLogits(natural, adversarial)
    images = torch.arange(2 * len(natural), dtype=torch.float64).view(-1, 1, 1, 1)
    x, x_adv = images[: len(natural)], images[len(natural) :]
    kappa = torch.tensor(KAPPA, dtype=torch.float64)
    attacked = Attacked(x_adv, found={"kappa": kappa}) if isinstance(method, Gairat) else x_adv
    learner = Learner(model, memory=method.memory(CLASSES)).double()
    for name, of_class in memory.items():
        learner.memory.get_buffer(name).copy_(torch.tensor(of_class, dtype=torch.float64))
    terms = method.loss(learner, batch_of(x, torch.tensor(labels), attacked, epoch))
    losses = sum(terms.values()) if isinstance(terms, dict) else terms
    assert losses.shape == (len(labels),)
    loss = losses.mean()
    loss.backward()
    return loss, model


def softmax(z: list[float]) -> list[float]:
    exponentials = [math.exp(v) for v in z]
    return [e / sum(exponentials) for e in exponentials]


def cross_entropy(z: list[float], y: int) -> float:
    return -math.log(softmax(z)[y])


def kl(z: list[float], a: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(softmax(z), softmax(a), strict=True))


def largest_other(probabilities: list[float], y: int) -> float:
    return max(v for k, v in enumerate(probabilities) if k != y)


def mart_loss(z: list[float], a: list[float], y: int, beta: float) -> float:
    q = softmax(a)
    boosted = -math.log(q[y]) - math.log(1.0001 - largest_other(q, y))
    return boosted + beta * kl(z, a) * (1 - softmax(z)[y])


def mail_weight(a: list[float], y: int, slope: float, bias: float) -> float:
    q = softmax(a)
    margin = largest_other(q, y) - q[y]
    return 3 / (1 + math.exp(-slope * (margin + bias)))


def gairat_weight(a: list[float], offset: float, slope: float) -> float:
    kappa = KAPPA[ADVERSARIAL.index(a)]
    return (math.tanh(offset + slope * (1 - 2 * kappa)) + 1) / 2


def weat_weight(z: list[float]) -> float:
    energy = -math.log(sum(math.exp(v) for v in z))
    return 1 / math.log(1 + math.exp(abs(energy)))


@dataclass(frozen=True)
class Case:
    """sample_loss(z, a, y, w) for one sample; its weight w(z, a, y) is a constant for the gradient."""

    name: str
    method: Any
    sample_loss: Callable[[list[float], list[float], int, float], float]
    weight: Callable[[list[float], list[float], int], float] = lambda z, a, y: 1.0
    epoch: int = 1
    normalised: bool = False  # the weights have a mean of 1
    memory: dict[str, list[float]] = field(default_factory=dict)


def mail_loss(z: list[float], a: list[float], y: int, w: float) -> float:
    return cross_entropy(z, y) + 5 * w * kl(z, a)


def scaled(s: float, *logits: list[float]) -> list[list[float]]:
    return [[s * v for v in row] for row in logits]


def he(z: list[float], y: int, s: float, m: float) -> float:
    return cross_entropy([s * (v - m) if k == y else s * v for k, v in enumerate(z)], y)


# Of the four classes, each of which one image is of.
WEIGHTS, BETAS = [0.7, 1.4, 0.9, 1.1], [7.5, 3.0, 6.6, 4.8]
FIRST, SECOND = [0.0, 0.2, 0.05, 0.0], [0.1, 0.0, 0.0, 0.3]  # multipliers of FRL


def frl_loss(z: list[float], a: list[float], y: int, first: list[float], second: list[float]) -> float:
    """Its weights are positive and add up to 1: over a batch with one image of each class their mean is 1/4."""
    u, v = ([0.25 + of_class - sum(m) / 4 for of_class in m] for m in (first, second))
    return 4 * u[y] * cross_entropy(z, y) + 1.5 * 4 * v[y] * kl(z, a)


def cfa_loss(z: list[float], a: list[float], y: int, beta: float) -> float:
    return (cross_entropy(z, y) + beta * kl(z, a)) / (1 + beta)


def squared(p: list[float], q: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(p, q, strict=True))


def one_hot(y: int) -> list[float]:
    return [float(k == y) for k in range(CLASSES)]


def score(z: list[float], a: list[float], y: int, clip: float, beta: float | None = None) -> float:
    """On SAT without a beta."""
    p, q = softmax(z), softmax(a)
    distance = squared(q, one_hot(y)) if beta is None else squared(p, one_hot(y)) + beta * squared(p, q)
    return max(0.0, distance - clip**2 - clip**2 / (CLASSES - 1))


CASES = [
    Case("standard", Standard(), lambda z, a, y, w: cross_entropy(z, y)),
    Case("he", He(), lambda z, a, y, w: he(a, y, 10, 0.2)),
    Case("he on trades", He("trades", scale=15), lambda z, a, y, w: he(z, y, 15, 0.2) + 6 * kl(*scaled(15, z, a))),
    Case("sat", SAT(), lambda z, a, y, w: cross_entropy(a, y)),
    Case("off-centre sat", OffCentreSAT(), lambda z, a, y, w: cross_entropy(a, y)),
    Case("trades", Trades(), lambda z, a, y, w: cross_entropy(z, y) + 6 * kl(z, a)),
    Case("trades, beta 2.5", Trades(beta=2.5), lambda z, a, y, w: cross_entropy(z, y) + 2.5 * kl(z, a)),
    Case(
        "trades, natural images again",
        Trades(natural_again=True),
        lambda z, a, y, w: cross_entropy(z, y) + 6 * kl(z, a),
    ),
    Case("mart", Mart(), lambda z, a, y, w: mart_loss(z, a, y, 5)),
    Case("mart, beta 0.5", Mart(beta=0.5), lambda z, a, y, w: mart_loss(z, a, y, 0.5)),
    Case("mail-trades, epoch 76", MailTrades(), mail_loss, epoch=76),
    Case("mail-trades, epoch 77", MailTrades(), mail_loss, lambda z, a, y: mail_weight(a, y, 2, 0), epoch=77),
    Case(
        "mail-trades of other parameters, from epoch 1",
        MailTrades(beta=2, slope=10, bias=-0.5, start_epoch=0),
        lambda z, a, y, w: cross_entropy(z, y) + 2 * w * kl(z, a),
        lambda z, a, y: mail_weight(a, y, 10, -0.5),
    ),
    Case("mail-at, epoch 76", MailAt(), lambda z, a, y, w: cross_entropy(a, y), epoch=76),
    Case(
        "mail-at, epoch 77",
        MailAt(),
        lambda z, a, y, w: w * cross_entropy(a, y),
        lambda z, a, y: mail_weight(a, y, 10, -0.5),
        epoch=77,
    ),
    Case("gairat, epoch 59", Gairat(), lambda z, a, y, w: cross_entropy(a, y), epoch=59),
    Case(
        "gairat, epoch 60",
        Gairat(),
        lambda z, a, y, w: w * cross_entropy(a, y),
        lambda z, a, y: gairat_weight(a, -1, 5),
        epoch=60,
        normalised=True,
    ),
    Case(
        "gairat of other parameters, from epoch 1",
        Gairat(offset=0.5, slope=2.0, start_epoch=0),
        lambda z, a, y, w: w * cross_entropy(a, y),
        lambda z, a, y: gairat_weight(a, 0.5, 2.0),
        normalised=True,
    ),
    Case(
        "weat nat",
        Weat(variant="nat"),
        lambda z, a, y, w: w * (cross_entropy(z, y) + 6 * kl(z, a)),
        lambda z, a, y: weat_weight(z),
    ),
    Case(
        "weat adv",
        Weat(),
        lambda z, a, y, w: w * (cross_entropy(a, y) + 6 * kl(z, a)),
        lambda z, a, y: weat_weight(z),
    ),
    Case(
        "weat adv, beta 7",
        Weat(variant="adv", beta=7.0),
        lambda z, a, y, w: w * (cross_entropy(a, y) + 7 * kl(z, a)),
        lambda z, a, y: weat_weight(z),
    ),
    Case(
        "weat adv, weights of adversarial energies",
        Weat(energy="adversarial"),
        lambda z, a, y, w: w * (cross_entropy(a, y) + 6 * kl(z, a)),
        lambda z, a, y: weat_weight(a),
    ),
    Case(
        "weat adv, weighted cross-entropy",
        Weat(weighted="cross-entropy"),
        lambda z, a, y, w: w * cross_entropy(a, y) + 6 * kl(z, a),
        lambda z, a, y: weat_weight(z),
    ),
    Case(
        "weat nat, weighted KL",
        Weat(variant="nat", weighted="kl"),
        lambda z, a, y, w: cross_entropy(z, y) + 6 * w * kl(z, a),
        lambda z, a, y: weat_weight(z),
    ),
    Case(
        "weat adv, normalised",
        Weat(normalised=True),
        lambda z, a, y, w: w * (cross_entropy(a, y) + 6 * kl(z, a)),
        lambda z, a, y: weat_weight(z),
        normalised=True,
    ),
    Case("class-weighted sat, no weights yet", ClassWeightedSat(), lambda z, a, y, w: cross_entropy(a, y)),
    Case(
        "class-weighted sat",
        ClassWeightedSat(),
        lambda z, a, y, w: w * cross_entropy(a, y),
        lambda z, a, y: WEIGHTS[y],
        memory={"weight": WEIGHTS},
    ),
    Case("dafa, no weights yet", Dafa(), lambda z, a, y, w: cross_entropy(z, y) + 6 * kl(z, a)),
    Case(
        "dafa",
        Dafa(beta=2.5),
        lambda z, a, y, w: w * cross_entropy(z, y) + 2.5 * kl(z, a),
        lambda z, a, y: WEIGHTS[y],
        memory={"weight": WEIGHTS},
    ),
    Case("fat", Fat(), lambda z, a, y, w: cross_entropy(a, y)),
    Case("fat on trades", Fat("trades", beta=2.5), lambda z, a, y, w: cross_entropy(z, y) + 2.5 * kl(z, a)),
    Case("fat on mart", Fat("mart", beta=2.5), lambda z, a, y, w: mart_loss(z, a, y, 2.5)),
    Case("score", Score(), lambda z, a, y, w: score(z, a, y, 0.4)),
    Case("score, an image clipped", Score(clip=0.7), lambda z, a, y, w: score(z, a, y, 0.7)),
    Case("score on trades", Score("trades", clip=0.3), lambda z, a, y, w: score(z, a, y, 0.3, 6)),
    Case("score on trades, clipped", Score("trades", 0.5, 0.5), lambda z, a, y, w: score(z, a, y, 0.5, 0.5)),
    Case("smoothing", Smoothing(), lambda z, a, y, w: cross_entropy(z, y) + 6 * kl(z, a)),
    Case("smoothing, beta 0.5", Smoothing(beta=0.5), lambda z, a, y, w: cross_entropy(z, y) + 0.5 * kl(z, a)),
    Case("smoothing, on noise", Smoothing("noise"), lambda z, a, y, w: cross_entropy(a, y)),
    Case("shared lbgat", SharedLbgat(), lambda z, a, y, w: cross_entropy(z, y) + squared(z, a) / CLASSES),
    Case("cfa, fat", Cfa(base="fat"), lambda z, a, y, w: cross_entropy(a, y), memory={"beta": BETAS}),
    Case("cfa, sat", Cfa(base="sat"), lambda z, a, y, w: cross_entropy(a, y), memory={"beta": BETAS}),
    Case("cfa, trades, all classes alike", Cfa(), lambda z, a, y, w: cfa_loss(z, a, y, 6)),
    Case("cfa, trades", Cfa(), lambda z, a, y, w: cfa_loss(z, a, y, BETAS[y]), memory={"beta": BETAS}),
    Case("frl, no multipliers yet", Frl(), lambda z, a, y, w: cross_entropy(z, y) + 1.5 * kl(z, a)),
    Case(
        "frl",
        Frl(),
        lambda z, a, y, w: frl_loss(z, a, y, FIRST, SECOND),
        memory={"natural": FIRST, "boundary": SECOND},
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def batch_loss(case: Case, natural: list[list[float]], adversarial: list[list[float]], weights: list[float]) -> float:
    samples = zip(natural, adversarial, LABELS, weights, strict=True)
    return sum(case.sample_loss(z, a, y, w) for z, a, y, w in samples) / BATCH


def weights_of(case: Case) -> list[float]:
    weights = [case.weight(z, a, y) for z, a, y in zip(NATURAL, ADVERSARIAL, LABELS, strict=True)]
    return [w * BATCH / sum(weights) for w in weights] if case.normalised else weights


@each_case
def test_loss_is_the_equation(case: Case):
    loss, _ = run(case.method, case.epoch, memory=case.memory)
    assert loss.item() == pytest.approx(batch_loss(case, NATURAL, ADVERSARIAL, weights_of(case)), rel=1e-12)


@each_case
def test_gradient_is_the_finite_difference_at_constant_weights(case: Case):
    """Both branches of the KL carry gradient, and the instance weights of MAIL, GAIRAT and WEAT carry none."""
    _, model = run(case.method, case.epoch, memory=case.memory)
    weights, step = weights_of(case), 1e-5
    for row in range(2 * BATCH):
        for k in range(CLASSES):
            losses = []
            for sign in (+1, -1):
                logits = [list(z) for z in NATURAL + ADVERSARIAL]
                logits[row][k] += sign * step
                losses.append(batch_loss(case, logits[:BATCH], logits[BATCH:], weights))
            difference = (losses[0] - losses[1]) / (2 * step)
            assert model.logits.grad[row, k].item() == pytest.approx(difference, abs=1e-8), (row, k)


def test_forwards_are_one_per_kind_of_image_natural_first():
    """Batch normalisation makes the order part of the method; SAT and standard training pay for one forward."""
    natural, adversarial = list(range(BATCH)), list(range(BATCH, 2 * BATCH))
    for method in (
        Trades(),
        Mart(),
        MailTrades(start_epoch=0),
        Weat(variant="nat"),
        Weat(variant="adv"),
        Dafa(),
        He("trades"),
        Fat("trades"),
        Fat("mart"),
        Smoothing(),
    ):
        assert run(method, 1)[1].calls == [natural, adversarial]
    for method in (
        SAT(),
        MailAt(start_epoch=0),
        Gairat(start_epoch=0),
        ClassWeightedSat(),
        Cfa(base="sat"),
        Cfa(base="fat"),
        He(),
        Fat(),
        Score(),
        Smoothing("noise"),
    ):
        assert run(method, 1)[1].calls == [adversarial]
    for method in (Score("trades"), SharedLbgat()):
        assert run(method, 1)[1].calls == [adversarial, natural]
    assert run(Standard(), 1)[1].calls == [natural]
    for method in (Trades(natural_again=True), Cfa(base="trades"), Frl()):
        assert run(method, 1)[1].calls == [natural, adversarial, natural]


@pytest.mark.parametrize(
    ("method", "loss", "start"),
    [
        (SAT(), "ce", "uniform"),
        (Trades(), "kl", "gaussian"),
        (Mart(), "ce", "gaussian"),
        (MailTrades(), "kl", "gaussian"),
        (MailAt(), "ce", "gaussian"),
        (Gairat(), "ce", "uniform"),
        (Weat(variant="nat"), "kl", "gaussian"),
        (Weat(variant="adv"), "kl", "gaussian"),
        (ClassWeightedSat(), "ce", "uniform"),
        (Dafa(), "kl", "gaussian"),
        (Cfa(base="sat"), "ce", "uniform"),
        (Cfa(base="trades"), "kl", "gaussian"),
        (Frl(), "kl", "gaussian"),
        (Lbgat(), "kl", "gaussian"),
        (SharedLbgat(), "kl", "gaussian"),
        (Hat(), "kl", "gaussian"),
    ],
)
def test_attack_of_each_method(method: Any, loss: str, start: str):
    for steps in (1, 10):
        attack = method.attack(steps)
        assert isinstance(attack, PGD)
        assert (attack.steps, attack.loss, attack.start) == (steps, loss, start)


def test_gairat_counts_the_steps_that_began_at_a_point_still_classified_correctly():
    """A network of one pixel: class 1 above 0.5. The attack of class 0 climbs 0.1 per step, that of class 1 falls."""

    def model(x: Tensor) -> Tensor:
        return torch.cat([torch.zeros(len(x), 1), 8 * (x.flatten(1) - 0.5)], dim=1)

    x = torch.tensor([0.05, 0.26, 0.9, 0.53, 0.7], dtype=torch.float64).view(-1, 1, 1, 1)
    y = torch.tensor([0, 0, 1, 1, 0])
    threat = Threat("linf", epsilon=0.3, step_size=0.1)
    random = torch.Generator().manual_seed(5)
    start = threat.random_point(x, torch.Generator().manual_seed(5)).flatten().tolist()
    attacked = Gairat().attack(5)(model, x, y, threat, random)
    x_adv, kappa = attacked.x_adv, attacked.found["kappa"]
    for image, (begin, centre, label) in enumerate(zip(start, x.flatten().tolist(), y.tolist(), strict=True)):
        point, correct = begin, 0
        for _ in range(5):
            correct += (point > 0.5) == (label == 1)
            point += 0.1 if label == 0 else -0.1
            point = min(max(point, centre - 0.3, 0.0), centre + 0.3, 1.0)
        assert kappa[image].item() == pytest.approx(correct / 5)
        assert x_adv.flatten()[image].item() == pytest.approx(point, abs=1e-12)
    assert 0 < kappa.sum() < 5


def test_every_method_has_a_case():
    """Those with other networks beside the classifier have test files of their own; so has AR-AT, whose loss is of
    features, which the stub has none of."""
    alone = {name for name in names("methods") if not others_of(name)} - {"arat"}
    assert {type(case.method).__module__.rpartition(".")[2].replace("_", "-") for case in CASES} == alone


def others_of(method: str) -> tuple[str, ...]:
    found = component("methods", method, "here")
    return found.given + found.parts


# By kappa of 7 steps, as docs/fidelity.md has them: the formula, and the released code, which rounds 7/2 down.
GAIRAT_OF_7 = [
    (0.9997, 0.9997),
    (0.9942, 0.9907),
    (0.9077, 0.7914),
    (0.3609, 0.1192),
    (0.03141, 0.004805),
    (1.859e-3, 1.722e-4),
    (1.070e-4, 6.144e-6),
    (6.144e-6, 2.192e-7),
]


def test_gairat_of_an_odd_number_of_steps_has_the_weights_of_the_formula_and_not_of_the_released_code():
    ours = Gairat().logarithm(torch.arange(8) / 7).exp().tolist()
    assert ours == pytest.approx([formula for formula, _ in GAIRAT_OF_7], rel=5e-4)
    released = [(math.tanh(-1 + (7 // 2 - kappa) * 5 / (7 // 2)) + 1) / 2 for kappa in range(8)]
    assert released == pytest.approx([code for _, code in GAIRAT_OF_7], rel=5e-4)
    differences = [a - b for a, b in zip(ours, released, strict=True)]
    assert max(differences) == differences[3] == pytest.approx(0.242, abs=5e-4)
    assert max(a / b for a, b in zip(ours, released, strict=True)) == pytest.approx(28.03, rel=1e-3)
    # Of an even number they are the same.
    even = [(math.tanh(-1 + (10 // 2 - kappa) * 5 / (10 // 2)) + 1) / 2 for kappa in range(11)]
    assert Gairat().logarithm(torch.arange(11) / 10).exp().tolist() == pytest.approx(even, rel=1e-5)


@pytest.mark.parametrize("slope", [10.0, 300.0, 1e4, 1e9])
def test_gairat_is_finite_where_all_images_of_a_batch_are_robust(slope: float):
    """Their weights are equal then, whatever rounding makes of tanh: 1 each."""
    method, y = Gairat(slope=slope, start_epoch=0), torch.tensor(LABELS)
    model = PrescribedLogits(NATURAL, ADVERSARIAL).float()
    images = torch.arange(BATCH, 2 * BATCH).view(-1, 1, 1, 1).float()
    batch = batch_of(images, y, Attacked(images, found={"kappa": torch.ones(BATCH)}), epoch=1)
    expected = [cross_entropy(a, label) for a, label in zip(ADVERSARIAL, LABELS, strict=True)]
    assert method.loss(Learner(model), batch).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("slope", [5.0, 10.0, 200.0, 400.0, 1e4, 1e7])
@pytest.mark.parametrize("offset", [-1.0, -1e4])
@pytest.mark.parametrize("steps", [[10, 10, 10, 10], [10, 10, 9, 10], [10, 7, 7, 8], [0, 10, 3, 3]])
def test_gairat_weights_are_those_of_the_formula_without_the_limits_of_float64(slope, offset, steps):
    """Python's decimals are never rounded to 0: tanh(z) + 1 = 2 e^2z / (e^2z + 1)."""

    def formula(kappa: float) -> Decimal:
        power = (2 * (Decimal(offset) + Decimal(slope) * (1 - 2 * Decimal(kappa)))).exp()
        return power / (power + 1)

    kappa = torch.tensor(steps).float() / 10
    with localcontext(Context(prec=50, Emax=MAX_EMAX, Emin=MIN_EMIN)):
        exact = [formula(k) for k in kappa.tolist()]
        expected = [float(w * len(exact) / sum(exact)) for w in exact]
    method = Gairat(slope=slope, offset=offset)
    # A rounding error of the exponent, 4 slope eps, is the relative error of its exponential.
    assert method.weights(kappa, Tensor.mean).tolist() == pytest.approx(expected, rel=1e-12 + 2e-15 * slope, abs=1e-200)


def test_gairat_weights_of_a_batch_in_two_processes_are_those_of_the_whole_batch():
    """Of a part without the least robust image nothing is left beside it."""
    kappa, method = torch.tensor([1.0, 1.0, 0.9, 1.0]), Gairat(slope=1e4)
    whole = method.weights(kappa, Tensor.mean)
    assert whole.tolist() == [0, 0, 4, 0]
    both = torch.stack([kappa[:2], kappa[2:]])  # each process sees a row; the mean is of both
    assert method.weights(both, Tensor.mean).flatten().tolist() == whole.tolist()


def test_standard_training_asks_for_no_attack():
    assert Standard().attack(10) is None


# 1 / ln(1 + exp(|E|)), to three decimals.
WEAT_TABLE = [
    (0, 1.443),
    (1, 0.761),
    (2, 0.470),
    (3.87, 0.257),
    (5, 0.200),
    (8, 0.125),
    (11.47, 0.087),
    (15, 0.067),
    (20, 0.050),
]


@pytest.mark.parametrize(("energy", "weight"), WEAT_TABLE)
@pytest.mark.parametrize("sign", [1, -1])
def test_weat_weight_of_an_energy(energy: float, weight: float, sign: int):
    logit = -sign * energy - math.log(2)  # two such logits have the marginal energy sign * energy
    w = Weat.weight(torch.tensor([[logit, logit]], dtype=torch.float64))
    assert w.item() == pytest.approx(weight, abs=5.1e-4)


@pytest.mark.parametrize("logit", [1e4, -1e4])
@pytest.mark.parametrize("variant", ["nat", "adv"])
def test_weat_is_finite_in_single_precision_at_huge_energies(logit: float, variant: str):
    natural = torch.tensor([[logit, logit - 5.0]], dtype=torch.float32)
    assert Weat.weight(natural).item() == pytest.approx(1e-4, rel=1e-4)
    loss, model = run(Weat(variant=variant), 1, natural.tolist(), [[-logit, logit]], [0])
    assert torch.isfinite(loss)
    assert torch.isfinite(model.logits.grad).all()


def test_weat_weights_are_not_normalised():
    """Twice as many copies of a sample: the same loss. One sample alone: its own weight, not 1."""
    alone, _ = run(Weat(variant="nat", beta=0.0), 1, NATURAL[:1], ADVERSARIAL[:1], LABELS[:1])
    assert alone.item() == pytest.approx(weat_weight(NATURAL[0]) * cross_entropy(NATURAL[0], LABELS[0]), rel=1e-12)
    copies, _ = run(Weat(variant="nat", beta=0.0), 1, NATURAL[:1] * 3, ADVERSARIAL[:1] * 3, LABELS[:1] * 3)
    assert copies.item() == pytest.approx(alone.item(), rel=1e-12)


def test_mail_weight_ranges_from_fooled_to_safe():
    """Weights lie in (0, 3): above 1.5 for a sample that is fooled (PM > 0), below for one that is not."""
    adversarial = torch.tensor(ADVERSARIAL, dtype=torch.float64, requires_grad=True)
    w = margin_weight(adversarial, torch.tensor(LABELS), slope=2.0, bias=0.0)
    assert not w.requires_grad
    fooled = [max(range(CLASSES), key=lambda k: a[k]) != y for a, y in zip(ADVERSARIAL, LABELS, strict=True)]
    assert fooled == [False, True, True, True]
    assert [value > 1.5 for value in w.tolist()] == fooled
    assert all(0 < value < 3 for value in w.tolist())
