"""DAFA: distance-aware fair adversarial training (Lee et al. 2024, and its released code)."""

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
from robustlens.parameters import NonNegative, PositiveInt


@dataclass(frozen=True)
class Dafa(Method):
    """(1/B) sum_i [ w_y CE(f(x_i), y_i) + beta KL(p_i || q_i) ]

    x* as in TRADES, but with w_y times the threat's epsilon and step size.

    Up to and including epoch `start_epoch` (counted from 1) w = 1. Then the weights follow, once and for all, from how
    that epoch's adversarial images were classified (`class_weights`); the released code does so after epoch 70 of 110.
    strength: how far they are from 1 (the paper's lambda): 1 for CIFAR-10, 1.5 for CIFAR-100 and STL-10.
    """

    beta: NonNegative = 6.0
    start_epoch: PositiveInt = 70
    strength: NonNegative = 1.0

    def memory(self, classes: int) -> nn.Module:
        memory = nn.Module()
        memory.register_buffer("weight", torch.ones(classes))
        return memory

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def threat(self, threat: Threat, y: Tensor, whole: Tensor, memory: nn.Module) -> Threat:
        weight = memory.weight[y]
        return dataclasses.replace(threat, epsilon=threat.epsilon * weight, step_size=threat.step_size * weight)

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        if epoch.number == self.start_epoch + 1:
            learner.memory.weight.copy_(class_weights(epoch.statistics["adversarial"].softmax, self.strength))

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        natural, adversarial = learner(batch.x), learner(batch.x_adv)
        cross_entropy = F.cross_entropy(natural, batch.y, reduction="none")
        return {
            "natural": learner.memory.weight[batch.y] * cross_entropy,
            "robust": self.beta * kl_divergence(natural, adversarial),
        }


def class_weights(similarity: Tensor, strength: float) -> Tensor:
    """The weights (K,), from S (K, K): S_ij is the mean softmax of class j on adversarial images of class i. They start
    at 1, and each pair of classes i and j moves them:

        where S_ii < S_jj:  w_i += strength S_ij S_jj,  w_j -= strength S_ij S_jj

    The harder class of a pair gains what the easier one loses. Where S_ii = S_jj, each loses as the easier one would:
    so does the released code, while the paper's algorithm leaves both alone. A class without images (a row of NaN)
    keeps 1 and moves no other. What would be below 0 (with a large strength, or where nearly all is taken for one
    class) is 0.
    """
    similarity = similarity.nan_to_num(0.0)
    own = similarity.diagonal()
    gain = strength * similarity * own  # (i, j): what i gains if j is easier
    moved = torch.where(own[:, None] < own, gain, -gain.T).fill_diagonal_(0.0)
    return (1 + moved.sum(1)).clamp_min(0.0)
