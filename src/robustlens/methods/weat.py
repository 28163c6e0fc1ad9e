"""WEAT: weighted energy adversarial training (Mirza et al. 2024, section 4)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.energy.energies import kl_divergence, marginal_energy
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import Flag, NonNegative, OneOf


@dataclass(frozen=True)
class Weat(Method):
    """(1/B) sum_i w(x_i) [ CE + beta KL(p_i || q_i) ], w(x) = 1 / log(1 + exp(|E(x)|)), x* as in TRADES.

    variant: the cross-entropy is taken on natural (`nat`) or adversarial (`adv`) images. In both variants the
        weight comes from the natural energy of the train-mode forward, is detached, not normalised, and
        multiplies both terms.
    The others are ablations. energy: whose energy the weight comes from. weighted: the terms that it multiplies.
    normalised: weights divided by their mean over the batch, so that the loss is as large as without them.
    """

    variant: OneOf("nat", "adv") = "adv"
    beta: NonNegative = 6.0
    energy: OneOf("natural", "adversarial") = "natural"
    weighted: OneOf("both", "cross-entropy", "kl") = "both"
    normalised: Flag = False

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> Tensor:
        natural, adversarial = learner(batch.x), learner(batch.x_adv)
        classified = natural if self.variant == "nat" else adversarial
        cross_entropy = F.cross_entropy(classified, batch.y, reduction="none")
        kl = kl_divergence(natural, adversarial)
        weight = self.weight(natural if self.energy == "natural" else adversarial)
        if self.normalised:
            weight = weight / batch.mean(weight)
        if self.weighted != "kl":
            cross_entropy = weight * cross_entropy
        if self.weighted != "cross-entropy":
            kl = weight * kl
        return cross_entropy + self.beta * kl

    @staticmethod
    @torch.no_grad()
    def weight(logits: Tensor) -> Tensor:
        """w(x) from logits (B, K), without gradient; softplus keeps it finite for any |E|."""
        return 1.0 / F.softplus(marginal_energy(logits).abs())
