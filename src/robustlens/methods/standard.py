"""Standard training: cross-entropy on natural images."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method


@dataclass(frozen=True)
class Standard(Method):
    """(1/B) sum_i CE(f(x_i), y_i)."""

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        return F.cross_entropy(learner(batch.x), batch.y, reduction="none")
