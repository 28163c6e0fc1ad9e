"""HE: hypersphere embedding (Pang et al. 2020), on SAT or on TRADES."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Attack, Batch, Build, Method
from robustlens.parameters import NonNegative, OneOf, Positive


@dataclass(frozen=True)
class He(Method):
    """(1/B) sum_i CE(s (z*_i - m 1_y), y_i) on SAT's images, and on TRADES'
    (1/B) sum_i CE(s (z_i - m 1_y), y_i) + beta KL(softmax(s z_i) || softmax(s z*_i)).

    The logits z are cosines (`head: cosine`), whose class rows have length 1 after every step. The attack climbs the
    cross-entropy (or the KL) of s z, without the margin m, from x + 0.001 N(0, 1). Evaluations take z as it is, as the
    authors' do. Defaults: their recipe for PGD; for TRADES s is 15.
    """

    HEAD = "cosine"

    base: OneOf("sat", "trades") = "sat"
    scale: Positive = 10.0
    margin: NonNegative = 0.2
    beta: NonNegative = 6.0

    def network(self, build: Build) -> nn.Module:
        network = build()
        normalise_rows(network.linear)
        return network

    def attack(self, steps: int) -> Attack:
        attack = PGD(steps=steps, loss="ce" if self.base == "sat" else "kl", start="gaussian")

        def scaled(learner: Learner, x: Tensor, y: Tensor, threat: Threat, random: torch.Generator) -> Tensor:
            return attack(lambda images: self.scale * learner(images), x, y, threat, random)

        return scaled

    def after_step(self, learner: Learner, batch: Batch) -> None:
        normalise_rows(learner.network.linear)

    def loss(self, learner: Learner, batch: Batch) -> Tensor | dict[str, Tensor]:
        if self.base == "sat":
            return self._with_margin(self.scale * learner(batch.x_adv), batch.y)
        natural, adversarial = self.scale * learner(batch.x), self.scale * learner(batch.x_adv)
        return {
            "natural": self._with_margin(natural, batch.y),
            "robust": self.beta * kl_divergence(natural, adversarial),
        }

    def _with_margin(self, scaled: Tensor, y: Tensor) -> Tensor:
        lowered = self.scale * self.margin * F.one_hot(y, scaled.shape[1])
        return F.cross_entropy(scaled - lowered, y, reduction="none")


@torch.no_grad()
def normalise_rows(layer: nn.Linear) -> None:
    """Every class row gets length 1."""
    layer.weight /= layer.weight.norm(dim=1, keepdim=True)
