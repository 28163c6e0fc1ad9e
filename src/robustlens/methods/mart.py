"""MART: misclassification-aware adversarial training (Wang et al. 2020, Eq. 11 and its released code)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import NonNegative


@dataclass(frozen=True)
class Mart(Method):
    """(1/B) sum_i [ BCE(q_i, y_i) + beta KL(p_i || q_i) (1 - p_i[y_i]) ], x* by PGD on the cross-entropy.

    BCE(q, y) = -log q[y] - log(1.0001 - max_{k != y} q[k]); 1.0001 is the released code's guard against log 0.
    """

    beta: NonNegative = 5.0

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="ce", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        natural, adversarial = learner(batch.x), learner(batch.x_adv)
        true_class = F.one_hot(batch.y, natural.shape[1]).bool()
        q_other = F.softmax(adversarial, dim=1).masked_fill(true_class, 0.0).amax(dim=1)
        boosted = F.cross_entropy(adversarial, batch.y, reduction="none") - torch.log(1.0001 - q_other)
        p_true = F.softmax(natural, dim=1)[true_class]
        return boosted + self.beta * kl_divergence(natural, adversarial) * (1.0 - p_true)
