"""SAT with the attack of AR-AT's released code, as that code's own baseline (Waseda et al. 2025)."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.off_centre_pgd import OffCentrePGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method


@dataclass(frozen=True)
class OffCentreSAT(Method):
    """(1/B) sum_i CE(f(x*_i), y_i), x* by off-centre PGD, so up to 2 epsilon away from x. Only for L-inf."""

    def attack(self, steps: int) -> OffCentrePGD:
        return OffCentrePGD(steps=steps)

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        return F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
