"""FRL: fair robust learning (Xu et al. 2021, and its released code), with re-weighting and re-margin."""

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch, Method
from robustlens.learning.validation import validated
from robustlens.parameters import NonNegative, PositiveInt

LIMIT = 0.5  # of the sum of the multipliers of a kind
MARGINS = 0.98, 3.0  # the least and the largest factor of a radius


@dataclass(frozen=True)
class Frl(Method):
    """sum_i u_y CE(f(x_i), y_i) / sum_i u_y + beta sum_i v_y KL(p_i || q_i) / sum_i v_y, over the images i of a batch.

    x* as in TRADES, but within m_y epsilon. As in the released code, p in the KL is of a pass of its own, after the
    adversarial one. The method is meant to start from a robust network.

    Before every epoch the validation images (PGD with 20 steps) change three multipliers of each class k, which begin
    at 0. e0_k is the class's natural error, e1_k its natural accuracy minus its robust accuracy, and e0 and e1 are
    those of all images:

        g0_k = e0_k - e0 - tolerance,  g1_k = e1_k - e1 - tolerance
        l0_k += rate g0_k,  l1_k += 2 rate g1_k    then none is below 0, and the sum of either kind is at most 1/2
        l2_k += margin_rate g1_k

    The weights and margins are

        u_k = 1/K + l0_k - mean(l0),  v_k = 1/K + l1_k - mean(l1),  m_k = exp(2 l2_k), but from 0.98 to 3

    The step size is the threat's times the largest m_y of the whole batch. With the paper's threat that is a quarter of
    the largest radius, as in the released code. `rate` is halved before every `halved_every`-th epoch. A class without
    validation images keeps its multipliers.
    tolerance: 0.07 in the released code; 0.1 in its variant without margins, which is `margin_rate: 0` here.
    """

    beta: NonNegative = 1.5
    tolerance: NonNegative = 0.07
    rate: NonNegative = 0.05
    margin_rate: NonNegative = 0.2
    halved_every: PositiveInt = 40

    def memory(self, classes: int) -> nn.Module:
        memory = nn.Module()
        for name in ("natural", "boundary", "margin"):  # l0, l1, l2
            memory.register_buffer(name, torch.zeros(classes))
        return memory

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def threat(self, threat: Threat, y: Tensor, whole: Tensor, memory: nn.Module) -> Threat:
        factor = margins(memory.margin)
        step_size = threat.step_size * factor[whole].max()
        return dataclasses.replace(threat, epsilon=threat.epsilon * factor[y], step_size=step_size)

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        of_class = validated(learner, epoch, PGD(steps=20), len(learner.memory.natural))
        natural, adversarial = of_class["natural"], of_class["adversarial"]
        self.update(learner.memory, epoch.number, natural.right, adversarial.right, natural.total)

    def update(self, memory: nn.Module, epoch: int, right: Tensor, robust: Tensor, total: Tensor) -> None:
        """The multipliers before an epoch, from how many validation images of each class (K,) are right, are right
        under attack, and exist."""
        g0 = violations(total - right, total, self.tolerance)
        g1 = violations(right - robust, total, self.tolerance)
        rate = self.rate / 2 ** (epoch // self.halved_every)
        memory.natural.copy_(limited(memory.natural + rate * g0))
        memory.boundary.copy_(limited(memory.boundary + 2 * rate * g1))
        memory.margin.copy_(memory.margin + self.margin_rate * g1)

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        natural, adversarial, again = learner(batch.x), learner(batch.x_adv), learner(batch.x)
        u, v = (weights(multipliers)[batch.y] for multipliers in (learner.memory.natural, learner.memory.boundary))
        cross_entropy = F.cross_entropy(natural, batch.y, reduction="none")
        return {
            "natural": u / batch.mean(u) * cross_entropy,
            "robust": self.beta * v / batch.mean(v) * kl_divergence(again, adversarial),
        }


def violations(wrong: Tensor, total: Tensor, tolerance: float) -> Tensor:
    """By how much the error of each class (K,) exceeds that of all images and the tolerance; 0 without images."""
    excess = wrong / total - wrong.sum() / total.sum() - tolerance
    return torch.where(total > 0, excess, 0.0)


def limited(multipliers: Tensor) -> Tensor:
    """None below 0, and their sum at most 1/2."""
    positive = multipliers.clamp_min(0.0)
    return positive * (LIMIT / positive.sum().clamp_min(LIMIT))


def weights(multipliers: Tensor) -> Tensor:
    """Class weights (K,), which are positive and add up to 1."""
    return 1 / len(multipliers) + multipliers - multipliers.mean()


def margins(multipliers: Tensor) -> Tensor:
    """The factors of the classes' radii, (K,)."""
    return torch.exp(2 * multipliers).clamp(*MARGINS)
