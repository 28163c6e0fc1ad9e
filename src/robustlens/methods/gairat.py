"""GAIRAT: geometry-aware instance-reweighted adversarial training (Zhang et al. 2021, Eq. 5 and its released code)."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD, Model
from robustlens.attacks.threat import Threat
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attacked, Batch, Method
from robustlens.parameters import NonNegativeInt, Number, Positive

EXPONENT = 600.0  # the exponential of it, times any number of images, is a number in float64, and so is its inverse
LOG_OF_IMAGES = 30.0  # no batch has e^30 images


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
        return self.weights(batch.found["kappa"], batch.mean).to(cross_entropy.dtype) * cross_entropy

    def weights(self, kappa: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """w_i (B,), float64, from kappa (B,) in [0, 1]. mean: of numbers (B,), over the whole batch."""
        logarithm = self.logarithm(kappa)
        relative = torch.exp(logarithm - self._near_the_largest(logarithm, mean))
        return relative / mean(relative)

    def logarithm(self, kappa: Tensor) -> Tensor:
        """Of the paper's (tanh(z) + 1) / 2, which is the logistic function of 2z; (B,), float64. Where all images of a
        batch are robust and `slope` is large, the number itself would be rounded to 0."""
        return F.logsigmoid(2 * (self.offset + self.slope * (1 - 2 * kappa.double())))

    def _near_the_largest(self, logarithm: Tensor, mean: Callable[[Tensor], Tensor]) -> Tensor:
        """A number that the largest logarithm of the batch is less than EXPONENT away from. Of a batch that several
        processes share there is only the mean; that of exponentials tells the largest one the better, the steeper they
        are. 0, as long as no logarithm can be smaller than -EXPONENT."""
        near, distance = logarithm.new_zeros(()), -float(self.logarithm(torch.ones(())))
        while distance > EXPONENT:
            steepness = EXPONENT / distance
            near = near + mean(torch.exp(steepness * (logarithm - near))).log() / steepness
            distance = LOG_OF_IMAGES / steepness
        return near


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
