"""No attack: the natural image, so that natural accuracy is a row like any other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat


@dataclass(frozen=True)
class Clean:
    """x_adv = x."""

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        return x.clone()
