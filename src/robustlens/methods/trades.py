"""TRADES (Zhang et al. 2019, Eq. 5)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence
from robustlens.parameters import NonNegative


@dataclass(frozen=True)
class Trades:
    """(1/B) sum_i [ CE(f(x_i), y_i) + beta KL(p_i || q_i) ], x* by PGD on the KL from x + 0.001 N(0, 1).

    p and q are the softmax of the natural and of the adversarial logits; the gradient flows through both.
    """

    beta: NonNegative = 6.0

    def attack(self, steps: int) -> PGD | None:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, epoch: int) -> Tensor:
        natural, adversarial = model(x), model(x_adv)
        return F.cross_entropy(natural, y) + self.beta * kl_divergence(natural, adversarial).mean()
