"""GAIRAT: geometry-aware instance-reweighted adversarial training (Zhang et al. 2021, Eq. 5 and its released code)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD, Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import NonNegativeInt, Number, Positive


@dataclass(frozen=True)
class Gairat:
    """(1/B) sum_i w_i CE(f(x*_i), y_i), x* as in SAT.

    w_i is proportional to (tanh(offset + slope (1 - 2 kappa_i)) + 1) / 2 and sums to B over the batch (where several
    processes train together, over each one's part of it); kappa_i is the part of the attack's steps that began at a
    point still classified correctly (the paper's lambda is `offset`). Up to and including epoch `start_epoch` (counted
    from 1) w = 1; the released code starts in epoch 60 of 120.
    """

    offset: Number = -1.0
    slope: Positive = 5.0
    start_epoch: NonNegativeInt = 59

    def attack(self, steps: int) -> PGD | None:
        return GeometryPGD(steps=steps, loss="ce", start="uniform")

    def loss(self, model: nn.Module, x: Tensor, attacked: tuple[Tensor, Tensor], y: Tensor, epoch: int) -> Tensor:
        x_adv, kappa = attacked
        cross_entropy = F.cross_entropy(model(x_adv), y, reduction="none")
        if epoch > self.start_epoch:
            cross_entropy = self.weight(kappa) * cross_entropy
        return cross_entropy.mean()

    def weight(self, kappa: Tensor) -> Tensor:
        """w_i (B,) from kappa (B,) in [0, 1]."""
        weight = torch.tanh(self.offset + self.slope * (1 - 2 * kappa)) + 1
        return weight / weight.mean()


class GeometryPGD(PGD):
    """PGD that also tells how far from the decision boundary an image is."""

    def __call__(
        self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """x_adv as PGD gives it, and kappa (B,) in [0, 1]."""
        correct = []

        def watched(images: Tensor) -> Tensor:
            logits = model(images)
            correct.append(logits.detach().argmax(1) == y)
            return logits

        x_adv = super().__call__(watched, x, y, threat, generator)
        return x_adv, torch.stack(correct).float().mean(0)
