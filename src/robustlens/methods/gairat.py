"""GAIRAT: geometry-aware instance-reweighted adversarial training (Zhang et al. 2021, Eq. 5 and its released code)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD, Model
from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, Batch, Method
from robustlens.parameters import NonNegativeInt, Number, Positive


@dataclass(frozen=True)
class Gairat(Method):
    """(1/B) sum_i w_i CE(f(x*_i), y_i), x* as in SAT.

    w_i is proportional to (tanh(offset + slope (1 - 2 kappa_i)) + 1) / 2 and has a mean of 1 over the batch; kappa_i is
    the part of the attack's steps that began at a point still classified correctly (the paper's lambda is `offset`). Up
    to and including epoch `start_epoch` (counted from 1) w = 1; the released code starts in epoch 60 of 120.
    """

    offset: Number = -1.0
    slope: Positive = 5.0
    start_epoch: NonNegativeInt = 59

    def attack(self, steps: int) -> "GeometryPGD":
        return GeometryPGD(steps=steps, loss="ce", start="uniform")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        cross_entropy = F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
        if batch.epoch <= self.start_epoch:
            return cross_entropy
        weight = self.weight(batch.found["kappa"])
        return (weight / batch.mean(weight)).to(cross_entropy.dtype) * cross_entropy

    def weight(self, kappa: Tensor) -> Tensor:
        """What w_i is proportional to (B,), from kappa (B,) in [0, 1]. It is the paper's (tanh(z) + 1) / 2, written as
        the logistic function of 2z in float64, which is not rounded to 0 where all images of a batch are robust."""
        return torch.sigmoid(2 * (self.offset + self.slope * (1 - 2 * kappa.double())))


class GeometryPGD(PGD):
    """PGD that also tells how far from the decision boundary an image is."""

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Attacked:
        """With "kappa" (B,) in [0, 1] among what is found."""
        correct = []

        def watched(images: Tensor) -> Tensor:
            logits = model(images)
            correct.append(logits.detach().argmax(1) == y)
            return logits

        x_adv = super().__call__(watched, x, y, threat, generator)
        return Attacked(x_adv, found={"kappa": torch.stack(correct).float().mean(0)})
