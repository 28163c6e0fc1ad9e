"""TRADES (Zhang et al. 2019, Eq. 5)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import Flag, NonNegative


@dataclass(frozen=True)
class Trades(Method):
    """(1/B) sum_i [ CE(f(x_i), y_i) + beta KL(p_i || q_i) ], x* by PGD on the KL from x + 0.001 N(0, 1).

    p and q are the softmax of the natural and of the adversarial logits; the gradient flows through both.
    natural_again: p in the KL is of a pass of its own, after the adversarial one, as in the authors' code. BatchNorm's
        running statistics see natural images in two passes of three then; without it (as in WEAT's code) in one of two.
    """

    beta: NonNegative = 6.0
    natural_again: Flag = False

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        natural, adversarial = learner(batch.x), learner(batch.x_adv)
        again = learner(batch.x) if self.natural_again else natural
        cross_entropy = F.cross_entropy(natural, batch.y, reduction="none")
        return {"natural": cross_entropy, "robust": self.beta * kl_divergence(again, adversarial)}
