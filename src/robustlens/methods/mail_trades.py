"""MAIL-TRADES: margin-aware instance weights on the KL of TRADES (Liu et al. 2021, and its released code)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import NonNegative, NonNegativeInt, Number, Positive


@dataclass(frozen=True)
class MailTrades(Method):
    """(1/B) sum_i [ CE(f(x_i), y_i) + beta w_i KL(p_i || q_i) ], x* as in TRADES.

    w_i = 3 sigmoid(slope (PM_i + bias)), PM_i = max_{k != y} q_i[k] - q_i[y_i] on adversarial logits, detached and
    not normalised. Up to and including epoch `start_epoch` (counted from 1) w = 1; the released code, which counts from
    0 and weighs after 75, starts after epoch 76 of 120.
    """

    beta: NonNegative = 5.0
    slope: Positive = 2.0
    bias: Number = 0.0
    start_epoch: NonNegativeInt = 76

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        natural, adversarial = learner(batch.x), learner(batch.x_adv)
        kl = kl_divergence(natural, adversarial)
        if batch.epoch > self.start_epoch:
            kl = margin_weight(adversarial, batch.y, self.slope, self.bias) * kl
        return F.cross_entropy(natural, batch.y, reduction="none") + self.beta * kl


@torch.no_grad()
def margin_weight(adversarial: Tensor, y: Tensor, slope: float, bias: float) -> Tensor:
    """w_i = 3 sigmoid(slope (PM_i + bias)) from adversarial logits (B, K) and labels (B,), without gradient."""
    q = F.softmax(adversarial, dim=1)
    true_class = F.one_hot(y, q.shape[1]).bool()
    margin = q.masked_fill(true_class, 0.0).amax(dim=1) - q[true_class]
    return 3.0 * torch.sigmoid(slope * (margin + bias))
