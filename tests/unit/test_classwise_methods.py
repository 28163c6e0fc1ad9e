"""What methods remember of classes, and what follows from it: weights, radii and multipliers.

The worked examples of DAFA and CFA are what functions of their released codes give; that of FRL follows its rules, of
which the weights and the limit were run. Loops are in float64. `test_methods.py` has the losses, too.
"""

import math

import numpy as np
import pytest
import torch
from classwise import CLASSES, THREAT, dafa_by_loops, learner_of, moment, statistics
from scipy.optimize import brentq
from torch import Tensor, nn

from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.methods import frl
from robustlens.methods.cfa import Cfa
from robustlens.methods.class_weighted_sat import ClassWeightedSat
from robustlens.methods.dafa import Dafa, class_weights
from robustlens.methods.frl import Frl


def threat_of(method: Method, learner: Learner, y: list[int], whole: list[int], threat: Threat = THREAT) -> Threat:
    return method.threat(threat, torch.tensor(y), torch.tensor(whole), learner.memory)


def table(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


# DAFA ---------------------------------------------------------------------------------------------------------------

SIMILARITY = table([0.60, 0.25, 0.15], [0.30, 0.40, 0.30], [0.10, 0.20, 0.70])
TIE = table([0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.2, 0.2, 0.6])


@pytest.mark.parametrize(
    ("similarity", "strength", "weights"),
    [
        (SIMILARITY, 1.0, (0.925, 1.390, 0.685)),
        (SIMILARITY, 1.5, (0.8875, 1.5850, 0.5275)),
        (SIMILARITY, 0.0, (1, 1, 1)),
        (TIE, 1.0, (0.97, 0.97, 0.76)),
    ],
)
def test_dafa_weights_of_the_worked_examples(similarity, strength, weights):
    assert class_weights(similarity, strength).tolist() == pytest.approx(weights, abs=1e-12)


def random_similarity(classes: int, seed: int = 0) -> Tensor:
    return torch.tensor(np.random.default_rng(seed).dirichlet(np.ones(classes), classes))


@pytest.mark.parametrize("seed", range(5))
def test_dafa_weights_by_loops_over_pairs_of_classes(seed: int):
    similarity = random_similarity(7, seed)
    weights = class_weights(similarity, 0.3)
    assert weights.tolist() == pytest.approx(dafa_by_loops(similarity.tolist(), 0.3), abs=1e-12)
    assert float(weights.sum()) == pytest.approx(7, abs=1e-12)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(class_weights(similarity[order][:, order], 0.3), weights[order], rtol=0, atol=1e-12)


def test_a_class_without_images_has_a_dafa_weight_of_1_and_moves_no_other():
    """Without its row and column the others would have the same weights."""
    absent = SIMILARITY.clone()
    absent[1] = math.nan
    alone = class_weights(SIMILARITY[[0, 2]][:, [0, 2]], 1.0).tolist()
    assert class_weights(absent, 1.0).tolist() == [alone[0], 1.0, alone[1]]
    assert class_weights(torch.full((3, 3), math.nan), 1.0).tolist() == [1, 1, 1]


def test_a_dafa_weight_is_never_negative_and_that_class_is_left_alone():
    """Nearly all images are taken for class 0: by the formula its weight is 1 - 4 x 0.9 x 0.95."""
    taken_for_0 = torch.full((5, 5), 0.025, dtype=torch.float64)
    taken_for_0[:, 0], taken_for_0[0, 0] = 0.9, 0.95
    assert dafa_by_loops(taken_for_0.tolist(), 1.0)[0] < -2
    method = Dafa()
    learner = learner_of(method, classes=5)
    method.before_epoch(learner, moment(71, statistics([0] * 5, [9] * 5, taken_for_0.tolist())))
    assert float(learner.memory.weight[0]) == 0 and (learner.memory.weight[1:] > 0).all()
    random, y = torch.Generator().manual_seed(0), torch.tensor([0, 1, 0, 2])
    x = torch.rand(4, 1, 2, 2, generator=random, dtype=torch.float64)
    weight = torch.randn(4, 5, generator=random, dtype=torch.float64)
    threat = method.threat(THREAT, y, y, learner.memory)
    x_adv = method.attack(3)(lambda images: images.flatten(1) @ weight, x, y, threat, random)
    moved = (x_adv - x).abs().flatten(1).amax(1)
    assert (moved[[0, 2]] == 0).all() and (moved[[1, 3]] > 0).all()


def test_dafa_weights_are_set_once_and_multiply_epsilon_and_step_size():
    method = Dafa()
    learner, of_epoch = learner_of(method), statistics([0] * 3, [9] * 3, SIMILARITY.tolist())
    for epoch in (69, 70):
        method.before_epoch(learner, moment(epoch, of_epoch))
        assert learner.memory.weight.tolist() == [1, 1, 1]
    method.before_epoch(learner, moment(71, of_epoch))
    method.before_epoch(learner, moment(72, statistics([0] * 3, [9] * 3, TIE.tolist())))
    threat = threat_of(method, learner, [0, 1, 2, 1], [0, 1, 2, 1], Threat("linf", 0.031, 0.007))
    assert threat.epsilon.shape == threat.step_size.shape == (4, 1, 1, 1)
    assert threat.epsilon.flatten().tolist() == pytest.approx([0.028675, 0.043090, 0.021235, 0.043090], abs=1e-12)
    assert threat.step_size.flatten().tolist() == pytest.approx([0.006475, 0.009730, 0.004795, 0.009730], abs=1e-12)


# CFA ----------------------------------------------------------------------------------------------------------------

RIGHT, TOTAL = [60, 6, 45], [100, 20, 100]  # t = 0.6, 0.3, 0.45, whatever the classes' sizes


def informed(method: Cfa, epoch: int = 11) -> Learner:
    learner = learner_of(method)
    method.before_epoch(learner, moment(epoch, statistics(RIGHT, TOTAL)))
    return learner


@pytest.mark.parametrize("base", ["sat", "trades"])
@pytest.mark.parametrize(("offset", "radii"), [(0.5, (8.8, 6.4, 7.6)), (0.3, (7.2, 4.8, 6.0)), (0.7, (10.4, 8.0, 9.2))])
def test_cfa_radii_of_the_worked_example(base, offset, radii):
    """In units of 1 / 255. The step size stays one for all."""
    method = Cfa(base=base, radius_offset=offset)
    threat = threat_of(method, informed(method), [2, 0, 1], [0, 1, 2])
    assert (threat.epsilon.flatten() * 255).tolist() == pytest.approx([radii[2], radii[0], radii[1]], abs=1e-12)
    assert threat.step_size == THREAT.step_size


def test_a_class_that_is_right_half_of_the_time_has_the_threat_s_own_radius_and_beta():
    method = Cfa()
    learner = learner_of(method)
    method.before_epoch(learner, moment(11, statistics([0, 5, 10], [10, 10, 10])))
    assert threat_of(method, learner, [1], [1]).epsilon.item() == THREAT.epsilon
    assert learner.memory.radius.tolist() == [0.5, 1.0, 1.5] and learner.memory.beta.tolist() == [3, 6, 9]


def test_cfa_betas_of_the_worked_example():
    beta = informed(Cfa()).memory.beta
    assert beta.tolist() == pytest.approx([6.6, 4.8, 5.7], abs=1e-12)
    assert (beta / (1 + beta)).tolist() == pytest.approx([0.868421, 0.827586, 0.850746], abs=5.1e-7)


def logits_of(cross_entropy: float, divergence: float, y: int) -> tuple[list[float], list[float]]:
    """Natural and adversarial logits of an image with this cross-entropy and this KL divergence."""
    rest = -math.expm1(-cross_entropy) / 2
    natural = [-cross_entropy if k == y else math.log(rest) for k in range(CLASSES)]

    def attacked(moved: float) -> list[float]:
        return [z - (k == y) * moved for k, z in enumerate(natural)]

    def missing(moved: float) -> float:
        normaliser = math.log(sum(map(math.exp, attacked(moved))))
        log_q = [z - normaliser for z in attacked(moved)]
        return sum(math.exp(z) * (z - q) for z, q in zip(natural, log_q, strict=True)) - divergence

    return natural, attacked(brentq(missing, 0, 20, xtol=1e-14))


class Prescribed(nn.Module):
    """Image number i (its only pixel) has the logits of row i."""

    def __init__(self, rows: list[list[float]]):
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows, dtype=torch.float64))

    def forward(self, images: Tensor) -> Tensor:
        return self.rows[images.flatten().long()]


def losses_of(method: Method, memory: nn.Module, y: list[int], errors: list[tuple[float, float]]) -> Tensor:
    """Of images with these labels, cross-entropies and divergences, (B,)."""
    pairs = [logits_of(*error, label) for error, label in zip(errors, y, strict=True)]
    network = Prescribed([natural for natural, _ in pairs] + [adversarial for _, adversarial in pairs])
    images = torch.arange(2 * len(y), dtype=torch.float64).view(-1, 1, 1, 1)
    batch = Batch(images[: len(y)], images[len(y) :], torch.tensor(y), epoch=11)
    return sum(method.loss(Learner(network, memory=memory), batch).values()).detach()


ERRORS = [(0.4, 0.05), (1.2, 0.3), (0.8, 0.1)]


def test_cfa_loss_of_the_worked_example():
    losses = losses_of(Cfa(), informed(Cfa()).memory, [0, 1, 2], ERRORS)
    assert losses.tolist() == pytest.approx([0.096053, 0.455172, 0.204478], abs=5.1e-7)
    assert float(losses.mean()) == pytest.approx(0.251901, abs=5.1e-7)


def test_cfa_loss_of_the_worked_example_where_betas_are_alike():
    method = Cfa(class_betas=False)
    assert float(losses_of(method, informed(method).memory, [0, 1, 2], ERRORS).mean()) == pytest.approx(
        0.242857, abs=5.1e-7
    )


def test_cfa_radii_and_betas_follow_the_last_epoch_after_the_start():
    method = Cfa()
    assert informed(method, epoch=10).memory.radius.tolist() == [1, 1, 1]
    learner = informed(method, epoch=11)
    method.before_epoch(learner, moment(12, statistics([30, 30, 45], [100, 100, 100])))
    assert learner.memory.radius.tolist() == pytest.approx([0.8, 0.8, 0.95], abs=1e-12)
    assert learner.memory.beta.tolist() == pytest.approx([4.8, 4.8, 5.7], abs=1e-12)


def test_a_class_without_training_images_keeps_its_radius_and_beta():
    learner = informed(Cfa())
    Cfa().before_epoch(learner, moment(12, statistics([0, 30, 0], [0, 100, 100])))
    assert learner.memory.radius.tolist() == pytest.approx([1.1, 0.8, 0.5], abs=1e-12)
    assert learner.memory.beta.tolist() == pytest.approx([6.6, 4.8, 3.0], abs=1e-12)


def test_each_part_of_cfa_can_be_left_out():
    assert informed(Cfa(class_radii=False)).memory.radius.tolist() == [1, 1, 1]
    assert informed(Cfa(class_betas=False)).memory.beta.tolist() == [6, 6, 6]
    method = Cfa(averaging=False)
    learner = learner_of(method)
    method.after_epoch(learner, moment(1))  # without validation images
    assert not learner.parts and method.deployed(learner) is learner.network


# FRL ----------------------------------------------------------------------------------------------------------------

# Of 100 images of each class, before two epochs: right, and right under attack.
MEASURED = [([90, 60, 66], [70, 15, 30]), ([86, 70, 64], [64, 30, 24])]
DEFAULTS, STRONG = Frl(), Frl(tolerance=0.02, rate=2.0, margin_rate=4.0)
# After each epoch: l0, l1, l2, u, v, m of the three classes.
FRL_TABLE = {
    DEFAULTS: (
        """
            0 .0025 0                     0 .004333 0                   -.041333 .008667 -.009333
            .3325 .335 .3325              .331889 .336222 .331889       .98 1.017484 .981506
        """,
        """
            0 .000667 .001167             0 .003333 0                   -.079333 .006667 -.011333
            .332722 .333389 .333889       .332222 .335556 .332222       .98 1.013423 .98
        """,
    ),
    STRONG: (
        """
            0 .2 .08                      0 .373333 .013333             -.626667 .373333 .013333
            .24 .44 .32                   .204444 .577778 .217778       .98 2.109955 1.027025
        """,
        """
            0 .226667 .226667             0 .377358 .122642             -1.186667 .533333 .173333
            .182222 .408889 .408889       .166667 .544025 .289308       .98 2.905678 1.414345
        """,
    ),
}


def tabulated(method: Frl, epoch: int) -> np.ndarray:
    """(6, 3)."""
    return np.array(FRL_TABLE[method][epoch - 1].split(), dtype=float).reshape(6, CLASSES)


each_setting = pytest.mark.parametrize("method", FRL_TABLE, ids=["defaults", "strong"])


def multipliers(memory: nn.Module) -> list[Tensor]:
    return [memory.natural, memory.boundary, memory.margin]


def measure(monkeypatch, method: Frl, learner: Learner, epoch: int, right: list, robust: list, total: list) -> None:
    found = {"natural": statistics(right, total), "adversarial": statistics(robust, total)}
    monkeypatch.setattr(frl, "validated", lambda *_: found)
    method.before_epoch(learner, moment(epoch))


@each_setting
def test_frl_of_the_worked_example(method: Frl, monkeypatch):
    learner = learner_of(method)
    for epoch, (right, robust) in enumerate(MEASURED, start=1):
        measure(monkeypatch, method, learner, epoch, right, robust, [100] * 3)
        l0, l1, l2 = multipliers(learner.memory)
        found = l0, l1, l2, frl.weights(l0), frl.weights(l1), frl.margins(l2)
        np.testing.assert_allclose(torch.stack(found).numpy(), tabulated(method, epoch), rtol=0, atol=5.1e-7)
        for values in (frl.weights(l0), frl.weights(l1)):
            assert float(values.sum()) == pytest.approx(1, abs=1e-12) and (values > 0).all()


def loop_multipliers(method: Frl, before: list[list[float]], epoch: int, counts: list[list[int]]) -> list[list[float]]:
    """After an epoch's update. counts: of each class, how many are right, right under attack, and exist."""
    classes, total = range(len(counts)), sum(n for _, _, n in counts)
    e0 = [1 - right / n for right, _, n in counts]
    e1 = [right / n - robust / n for right, robust, n in counts]
    all0 = 1 - sum(right for right, _, _ in counts) / total
    all1 = sum(right - robust for right, robust, _ in counts) / total
    rate = method.rate
    for earlier in range(1, epoch + 1):
        if earlier % method.halved_every == 0:
            rate = rate / 2
    l0 = [max(before[0][k] + rate * (e0[k] - all0 - method.tolerance), 0) for k in classes]
    l1 = [max(before[1][k] + 2 * rate * (e1[k] - all1 - method.tolerance), 0) for k in classes]
    l2 = [before[2][k] + method.margin_rate * (e1[k] - all1 - method.tolerance) for k in classes]
    capped = [[v * 0.5 / sum(kind) if sum(kind) > 0.5 else v for v in kind] for kind in (l0, l1)]
    return [*capped, l2]


@pytest.mark.parametrize("epoch", [1, 39, 40, 79, 80])
@each_setting
def test_frl_by_loops_with_classes_of_different_sizes(method: Frl, epoch: int, monkeypatch):
    learner = learner_of(method, classes=4)
    before = [[0.1, 0.0, 0.2, 0.05], [0.0, 0.3, 0.02, 0.1], [-0.1, 0.2, 0.0, 0.4]]
    for memory, values in zip(multipliers(learner.memory), before, strict=True):
        memory.copy_(torch.tensor(values, dtype=torch.float64))
    counts = [[17, 5, 20], [3, 1, 11], [30, 30, 30], [4, 0, 9]]
    measure(monkeypatch, method, learner, epoch, *map(list, zip(*counts, strict=True)))
    expected = loop_multipliers(method, before, epoch, counts)
    for found, values in zip(multipliers(learner.memory), expected, strict=True):
        assert found.tolist() == pytest.approx(values, abs=1e-12)


def test_frl_multipliers_have_a_limit():
    assert frl.limited(torch.tensor([-0.1, 0.4, 0.6], dtype=torch.float64)).tolist() == pytest.approx(
        [0, 0.2, 0.3], abs=1e-12
    )
    assert frl.limited(torch.zeros(3)).tolist() == [0, 0, 0]


def test_frl_weights_are_those_of_the_released_closed_form():
    """w_i = 1/K + (1 - 1/K) l_i - (sum of the others) / K, class by class, and permuted with the classes."""
    values = [0.1, 0.0, 0.25, 0.05, 0.0]
    expected = [0.2 + 0.8 * values[i] - sum(values[:i] + values[i + 1 :]) / 5 for i in range(5)]
    assert frl.weights(torch.tensor(values, dtype=torch.float64)).tolist() == pytest.approx(expected, abs=1e-12)
    order = [2, 4, 0, 1, 3]
    permuted = frl.weights(torch.tensor([values[k] for k in order], dtype=torch.float64)).tolist()
    assert permuted == pytest.approx([expected[k] for k in order], abs=1e-12)


def test_equal_classes_leave_the_weights_of_frl_alike_while_margins_fall(monkeypatch):
    method = Frl()
    learner = learner_of(method)
    for epoch in (1, 2, 3):
        measure(monkeypatch, method, learner, epoch, [80] * 3, [50] * 3, [100] * 3)
        assert learner.memory.natural.tolist() == learner.memory.boundary.tolist() == [0, 0, 0]
        assert learner.memory.margin.tolist() == pytest.approx([-0.2 * 0.07 * epoch] * 3, abs=1e-12)
        assert frl.margins(learner.memory.margin).tolist() == pytest.approx([0.98] * 3, abs=1e-12)


@pytest.mark.parametrize(("multiplier", "factor"), [(0, 1), (1e6, 3), (-1e6, 0.98), (0.1, math.exp(0.2))])
def test_frl_margins_are_bounded(multiplier: float, factor: float):
    assert frl.margins(torch.tensor([multiplier], dtype=torch.float64)).item() == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(("epoch", "step"), [(1, 4.219910), (2, 5.811355)])
def test_the_step_of_frl_is_a_quarter_of_the_largest_radius_of_the_whole_batch(epoch, step, monkeypatch):
    """Class 1 has it, of which this process has no image."""
    learner = learner_of(STRONG)
    for number, (right, robust) in enumerate(MEASURED[:epoch], start=1):
        measure(monkeypatch, STRONG, learner, number, right, robust, [100] * 3)
    threat, factor = threat_of(STRONG, learner, [2, 0], [0, 1, 2, 0]), tabulated(STRONG, epoch)[5]
    assert float(threat.step_size) * 255 == pytest.approx(step, abs=5.1e-7)
    assert (threat.epsilon.flatten() * 255).tolist() == pytest.approx([8 * factor[2], 8 * factor[0]], abs=8 * 5.1e-7)
    alone = threat_of(STRONG, learner, [2, 0], [2, 0])
    assert float(alone.step_size) == pytest.approx(float(alone.epsilon.max()) / 4, abs=1e-12)


def test_frl_without_a_margin_rate_keeps_the_threat(monkeypatch):
    method = Frl(margin_rate=0.0, tolerance=0.1)
    learner = learner_of(method)
    measure(monkeypatch, method, learner, 1, *MEASURED[0], [100] * 3)
    threat = threat_of(method, learner, [0, 1, 2], [0, 1, 2])
    assert threat.epsilon.flatten().tolist() == [THREAT.epsilon] * 3 and float(threat.step_size) == THREAT.step_size
    assert (learner.memory.natural > 0).any()


def test_frl_divides_by_the_weights_of_the_batch(monkeypatch):
    """By hand: sum u CE / sum u + 1.5 sum v KL / sum v, with two images of class 1 and none of class 2."""
    learner = learner_of(STRONG)
    measure(monkeypatch, STRONG, learner, 1, *MEASURED[0], [100] * 3)
    u, v = (frl.weights(m).tolist() for m in multipliers(learner.memory)[:2])
    y = [1, 0, 1]
    found = float(losses_of(STRONG, learner.memory, y, ERRORS).mean())
    natural = sum(u[k] * ce for k, (ce, _) in zip(y, ERRORS, strict=True)) / sum(u[k] for k in y)
    robust = sum(v[k] * kl for k, (_, kl) in zip(y, ERRORS, strict=True)) / sum(v[k] for k in y)
    assert found == pytest.approx(natural + 1.5 * robust, abs=1e-12)


def test_a_class_without_validation_images_keeps_its_multipliers(monkeypatch):
    learner = learner_of(STRONG)
    measure(monkeypatch, STRONG, learner, 1, *MEASURED[0], [100] * 3)
    before = [memory.clone() for memory in multipliers(learner.memory)]
    measure(monkeypatch, STRONG, learner, 2, [70, 0, 70], [40, 0, 40], [100, 0, 100])
    assert learner.memory.margin[1] == before[2][1]  # the others share a limit with it, which was not reached
    assert learner.memory.natural[1] == before[0][1] and learner.memory.boundary[1] == before[1][1]


# Class-weighted SAT -------------------------------------------------------------------------------------------------


def class_weighted(strength: float, right: list[int], total: list[int], epoch: int = 2) -> list[float]:
    method = ClassWeightedSat(strength=strength)
    learner = learner_of(method, classes=len(right))
    method.before_epoch(learner, moment(epoch, statistics(right, total)))
    return learner.memory.weight.tolist()


@pytest.mark.parametrize("strength", [0.0, 1.0, 4.0])
def test_class_weighted_sat_weighs_by_the_last_epoch_s_errors(strength: float):
    exponentials = [math.exp(strength * error) for error in (0.4, 0.7, 0.55)]
    expected = [3 * e / sum(exponentials) for e in exponentials]
    assert class_weighted(strength, RIGHT, TOTAL) == pytest.approx(expected, abs=1e-12)
    assert class_weighted(strength, RIGHT[::-1], TOTAL[::-1]) == pytest.approx(expected[::-1], abs=1e-12)
    assert class_weighted(strength, RIGHT, TOTAL, epoch=1) == [1, 1, 1]
    if strength == 0:
        assert expected == [1, 1, 1]


def test_a_class_without_training_images_keeps_its_weight_in_class_weighted_sat():
    found = class_weighted(1.0, [5, 0, 2], [10, 0, 10])
    share = 1 / (1 + math.exp(0.3))
    assert found == pytest.approx([2 * share, 1, 2 * (1 - share)], abs=1e-12)
