"""SAT with a weight per class: a design of ours, the plainest way to attend to the worst class."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Epoch, Method
from robustlens.parameters import NonNegative


@dataclass(frozen=True)
class ClassWeightedSat(Method):
    """(1/B) sum_i w_y CE(f(x*_i), y_i), x* as in SAT.

    w = K softmax(strength (1 - a)), where a (K,) are the classes' accuracies on the adversarial training images of the
    last epoch, and K is the number of classes: their mean is 1. In the first epoch w = 1. A class without images keeps
    its weight, and the others have a mean of 1 among themselves.
    strength: 0 is SAT; the weights of two classes differ at most by a factor of exp(strength).
    """

    strength: NonNegative = 1.0

    def memory(self, classes: int) -> nn.Module:
        memory = nn.Module()
        memory.register_buffer("weight", torch.ones(classes))
        return memory

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="ce", start="uniform")

    def before_epoch(self, learner: Learner, epoch: Epoch) -> None:
        if epoch.number > 1:
            seen, weight = epoch.statistics["adversarial"], learner.memory.weight
            present = seen.total > 0
            error = 1 - seen.right[present] / seen.total[present]
            weight[present] = (len(error) * F.softmax(self.strength * error, dim=0)).to(weight.dtype)

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        cross_entropy = F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
        return learner.memory.weight[batch.y] * cross_entropy
