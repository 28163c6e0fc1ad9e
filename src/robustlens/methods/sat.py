"""SAT: standard adversarial training (Madry et al. 2018, Eq. 2.1)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method


@dataclass(frozen=True)
class SAT(Method):
    """(1/B) sum_i CE(f(x*_i), y_i), x* by PGD on the cross-entropy from a uniform start."""

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="ce", start="uniform")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        return F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
