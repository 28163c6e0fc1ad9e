"""Early-stopped PGD (`early-stopped-pgd`) that searches in bfloat16, for evaluations on a budget."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robustlens.attacks.early_stopped_pgd import early_stopped
from robustlens.attacks.threat import Threat
from robustlens.models.bfloat16 import Bfloat16Model
from robustlens.parameters import PositiveInt


@dataclass(frozen=True)
class EarlyStoppedPGDInBfloat16:
    """Steps follow the gradients of a bfloat16 copy of the network; images, steps and the ball are float32. An image
    stops once the network itself, in float32, gets it wrong; it is asked where the copy does."""

    steps: PositiveInt = 20

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """As `EarlyStoppedPGD`. Raises RobustlensError where the device has no bfloat16."""
        copy = Bfloat16Model(model, "early-stopped-pgd-bfloat16", "early-stopped-pgd")
        return early_stopped(copy, model, self.steps, x, y, threat, generator)
