"""MAIL-AT: margin-aware instance weights on the loss of SAT (Liu et al. 2021, and its released code)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.methods.mail_trades import margin_weight
from robustlens.parameters import NonNegativeInt, Number, Positive


@dataclass(frozen=True)
class MailAt(Method):
    """(1/B) sum_i w_i CE(f(x*_i), y_i), x* by PGD on the cross-entropy from x + 0.001 N(0, 1), as in its code.

    w_i as in MAIL-TRADES, with another slope and bias. Up to and including epoch `start_epoch` (counted from 1)
    w = 1; the released code starts after epoch 76 of 120.
    """

    slope: Positive = 10.0
    bias: Number = -0.5
    start_epoch: NonNegativeInt = 76

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="ce", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        adversarial = learner(batch.x_adv)
        cross_entropy = F.cross_entropy(adversarial, batch.y, reduction="none")
        if batch.epoch <= self.start_epoch:
            return cross_entropy
        return margin_weight(adversarial, batch.y, self.slope, self.bias) * cross_entropy
