"""PGD (`pgd`, on the cross-entropy from a uniform start) that searches in bfloat16, for evaluations on a budget.

A family of its own, so that no result of PGD depends on a switch, and neither is mistaken for the other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class PGDInBfloat16:
    """Steps follow the gradients of a bfloat16 copy of the network; images, steps and the ball are float32. Verdicts
    are those of the network itself, as for every attack: an image that only the copy gets wrong counts as robust.
    """

    steps: PositiveInt = 20

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]. Raises RobustlensError where the device has
        no bfloat16."""
        return PGD(steps=self.steps)(Bfloat16Model(model, "pgd-bfloat16", "pgd"), x, y, threat, generator)
