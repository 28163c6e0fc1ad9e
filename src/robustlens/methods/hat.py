"""HAT: helper-based adversarial training (Rade and Moosavi-Dezfooli 2022, and its released code)."""

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
class Hat(Method):
    """(1/B) sum_i [ CE(f(x_i), y_i) + beta KL(p_i || q_i) + gamma CE(f(x_i + reach (x*_i - x_i)), h(x*_i)) ]

    x* as in TRADES. The helper points lie beyond x*, outside of the ball, and are not cut to [0, 1]. Their label h(x*)
    is the class that the given `helper`, a network of standard training, sees in x* (not in the helper point).
    The passes of f are natural images, adversarial ones, helper points. Defaults: the authors' command for CIFAR-10.
    """

    GIVEN = ("helper",)

    beta: NonNegative = 2.5
    gamma: NonNegative = 0.5
    reach: NonNegative = 2.0

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad():
            helped = learner.run("helper", batch.x_adv).argmax(dim=1)
        beyond = batch.x + self.reach * (batch.x_adv - batch.x)
        natural, adversarial, further = learner(batch.x), learner(batch.x_adv), learner(beyond)
        return {
            "natural": F.cross_entropy(natural, batch.y, reduction="none"),
            "robust": self.beta * kl_divergence(natural, adversarial),
            "helper": self.gamma * F.cross_entropy(further, helped, reduction="none"),
        }
