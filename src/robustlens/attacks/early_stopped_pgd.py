"""PGD (`pgd`, on the cross-entropy from a uniform start) that leaves an image alone once it is misclassified.

For robust accuracies: a fooled image costs the steps up to there alone. From the same random start it is fooled where
PGD fools it (rounding aside), and where PGD would have lost it again at a later step. Its energies are those of the
first misclassified point, not of PGD's end.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class EarlyStoppedPGD:
    """Friendly PGD with a tau of 0 (Zhang et al. 2020, Algorithm 1) whose images leave the batch when they stop, which
    changes rounding at most. The network has to be in eval mode."""

    steps: PositiveInt = 20

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]: where PGD comes to a point that the network
        gets wrong, the first one. threat: of one epsilon and one step size for all images."""
        return early_stopped(model, model, self.steps, x, y, threat, generator)


def early_stopped(
    searched: Model, judge: Model, steps: int, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator
) -> Tensor:
    """searched: the network whose gradients are followed. judge: the one that has to be fooled, which is asked where
    the other one is."""
    step_size = threat.epsilon if steps == 1 else threat.step_size  # as PGD
    x_adv = threat.random_point(x, generator)
    left = torch.arange(len(x), device=x.device)  # positions of the images that nothing has fooled
    for _ in range(steps):
        here = x_adv[left].requires_grad_(True)
        with torch.enable_grad():
            logits = searched(here)
            loss = F.cross_entropy(logits, y[left], reduction="sum")
        (gradient,) = torch.autograd.grad(loss, here)
        here, fooled = here.detach(), logits.detach().argmax(1) != y[left]
        if judge is not searched and fooled.any():
            with torch.no_grad():
                fooled[fooled.clone()] = judge(here[fooled]).argmax(1) != y[left[fooled]]
        left, here, gradient = left[~fooled], here[~fooled], gradient[~fooled]
        if len(left) == 0:
            break
        x_adv[left] = threat.project(threat.ascend(here, gradient, step_size), x[left])
    return x_adv
