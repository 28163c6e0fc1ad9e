"""LBGAT: learnable boundary guided adversarial training (Cui et al. 2021, and its released code)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Build, Method
from robustlens.parameters import NonNegative


@dataclass(frozen=True)
class Lbgat(Method):
    """(1/B) sum_i [ CE(g(x_i), y_i) + ||f(x*_i) - g(x_i)||^2 / K + beta KL(p_i || q_i) ], x* as in TRADES.

    f is the classifier, and g the `teacher`, which learns beside it from fresh weights, by the same steps; f(x) and
    g(x) are logits of K classes. No gradient is stopped: the squares draw g towards f(x*), too.

    The passes are f(x*), f(x), g(x). f(x) is made with a beta of 0 as well, as in the released code: BatchNorm's
    running statistics of f are then half of natural images, although no loss sees them.
    beta: 0 and 6 in the paper. The teacher there is a ResNet-18; the recipe says which it is here.
    """

    PARTS = ("teacher",)

    beta: NonNegative = 0.0

    def parts(self, network: nn.Module, build: Build) -> dict[str, nn.Module]:
        return {"teacher": build("teacher")}

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        adversarial, natural = learner(batch.x_adv), learner(batch.x)
        taught = learner.run("teacher", batch.x)
        return {
            "teacher": F.cross_entropy(taught, batch.y, reduction="none"),
            "distance": squared_distance(adversarial, taught),
            "robust": self.beta * kl_divergence(natural, adversarial),
        }


def squared_distance(logits: Tensor, others: Tensor) -> Tensor:
    """The mean over the classes of the squared differences of logits (B, K): (B,)."""
    return (logits - others).square().mean(dim=1)
