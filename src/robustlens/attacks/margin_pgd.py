"""PGD on the margin of the logits, as Carlini and Wagner (2017) compare them, inside a ball as Madry et al. (2018)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class MarginPGD:
    """PGD from a uniform start that climbs max_{k != y} z_k - z_y of the logits z.

    No constant bounds the margin: images that fool the model already are led further away. Where several rivals are
    equally strong, their gradients are averaged. A step has the threat's size, or that of epsilon for `steps: 1`.
    """

    steps: PositiveInt = 20

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]; the model's parameters get no gradient."""
        step_size = threat.epsilon if self.steps == 1 else threat.step_size
        x_adv = threat.random_point(x, generator)
        for _ in range(self.steps):
            x_adv.requires_grad_(True)
            with torch.enable_grad():
                margins = margin(model(x_adv), y).sum()
            (gradient,) = torch.autograd.grad(margins, x_adv)
            x_adv = threat.project(threat.ascend(x_adv.detach(), gradient, step_size), x)
        return x_adv


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{k != y} z_k - z_y of logits (B, K): (B,). Above 0 the image is misclassified."""
    true_class = F.one_hot(y, logits.shape[1]).bool()
    return logits.masked_fill(true_class, -torch.inf).amax(1) - logits[true_class]
