"""SAT: standard adversarial training (Madry et al. 2018, Eq. 2.1)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD


@dataclass(frozen=True)
class SAT:
    """(1/B) sum_i CE(f(x*_i), y_i), x* by PGD on the cross-entropy from a uniform start."""

    def attack(self, steps: int) -> PGD | None:
        return PGD(steps=steps, loss="ce", start="uniform")

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, epoch: int) -> Tensor:
        return F.cross_entropy(model(x_adv), y)
