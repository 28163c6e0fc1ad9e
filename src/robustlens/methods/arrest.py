"""ARREST: ours, after the abstract of Suzuki et al. (2023, arXiv 2308.16454)."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import PGD
from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.learning.learner import PENULTIMATE, Learner
from robustlens.learning.method import Attack, Attacked, Batch, Method
from robustlens.parameters import Fractional, NonNegative


@dataclass(frozen=True)
class Arrest(Method):
    """(1/B) sum_i [ CE(f(x~_i), y_i) + strength D(z(x~_i), z_0(x_i)) ]

    Neither full text nor code was read. From the abstract: f starts from a network of standard training
    (`start_from` of the recipe) and is trained on adversarial images; the distance between its representation and that
    of the standard network is penalised; where the representation changes much, a non-adversarial image takes the
    place of the adversarial one ("noisy replay"). From Waseda et al. (2025): the representation is the penultimate one.

    All else is ours. x* is as in SAT. z is the penultimate feature of f, and z_0 that of the given frozen network
    `standard`, in eval mode; the two need features of the same length. D is their angle, in units of pi: in [0, 1], and
    at most 1/2 for features that are not negative. x~ = x*, but where D(z(x*), z_0(x)) > threshold, in the mode of the
    attack, x~ is a uniform point of the ball around x. A threshold of 1 replaces no image.
    The defaults were tried on 200 digits.
    """

    GIVEN = ("standard",)

    strength: NonNegative = 1.0
    threshold: Fractional = 0.25

    def attack(self, steps: int) -> Attack:
        attack = PGD(steps=steps, loss="ce", start="uniform")

        @torch.no_grad()
        def replayed(learner: Learner, x: Tensor, y: Tensor, threat: Threat, random: torch.Generator) -> Attacked:
            x_adv, noisy = attack(learner, x, y, threat, random), threat.random_point(x, random)
            _, (standard,) = learner.features(x, [PENULTIMATE], of="standard")
            _, (ours,) = learner.features(x_adv, [PENULTIMATE])
            far = angle(ours, standard) > self.threshold
            x_adv = torch.where(far.view(-1, 1, 1, 1), noisy, x_adv)
            return Attacked(x_adv, found={"standard": standard})

        return replayed

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        logits, (ours,) = learner.features(batch.x_adv, [PENULTIMATE])
        return {
            "adversarial": F.cross_entropy(logits, batch.y, reduction="none"),
            "distance": self.strength * angle(ours, batch.found["standard"]),
        }


def angle(features: Tensor, others: Tensor) -> Tensor:
    """The angle between features (B, d), in units of pi: (B,), in [0, 1].

    2 atan2(|u - v|, |u + v|) of unit vectors has a gradient where they are equal, too; the arc cosine has none.
    Raises RobustlensError for features of different lengths.
    """
    if features.shape != others.shape:
        raise RobustlensError(
            f"arrest: the classifier has {features.shape[1]} features and the given network `standard` "
            f"{others.shape[1]}; give it a run of the same architecture"
        )
    u, v = F.normalize(features, dim=1), F.normalize(others, dim=1)
    apart, together = (torch.linalg.vector_norm(w, dim=1) for w in (u - v, u + v))
    return 2 / math.pi * torch.atan2(apart, together)
