"""Standard training: cross-entropy on natural images."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD


@dataclass(frozen=True)
class Standard:
    """(1/B) sum_i CE(f(x_i), y_i)."""

    def attack(self, steps: int) -> PGD | None:
        return None

    def loss(self, model: nn.Module, x: Tensor, x_adv: Tensor, y: Tensor, epoch: int) -> Tensor:
        return F.cross_entropy(model(x), y)
