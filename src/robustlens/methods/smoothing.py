"""Training for randomised smoothing: stability training (Zheng et al. 2016; as in Carmon et al. 2019), or on noise."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.noise import with_noise
from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.energy.energies import kl_divergence
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Method
from robustlens.parameters import Flag, NonNegative, OneOf, Positive


@dataclass(frozen=True)
class Smoothing(Method):
    """With x' = x + sigma N(0, 1), drawn anew for every batch, and p, q the softmax of x and of x':

    stability:  (1/B) sum_i [ CE(f(x_i), y_i) + beta KL(p_i || q_i) ]
    noise:      (1/B) sum_i CE(f(x'_i), y_i), as in Cohen et al. (2019)

    The gradient flows through p and q. The passes are x, but for the variant noise, and then x'. x' takes the place of
    the adversarial images, whose number of steps has no effect. The best epoch is chosen under PGD, as for methods with
    an attack, unless `training.selection` says otherwise.

    clip: x' is cut to [0, 1]. A certification of the classifier then does the same (`certifications.<name>.clip`).
    """

    variant: OneOf("stability", "noise") = "stability"
    sigma: Positive = 0.25
    beta: NonNegative = 6.0
    clip: Flag = True

    def attack(self, steps: int) -> "GaussianNoise":
        return GaussianNoise(self.sigma, self.clip)

    def loss(self, learner: Learner, batch: Batch) -> Tensor | dict[str, Tensor]:
        if self.variant == "noise":
            return F.cross_entropy(learner(batch.x_adv), batch.y, reduction="none")
        natural, noised = learner(batch.x), learner(batch.x_adv)
        cross_entropy = F.cross_entropy(natural, batch.y, reduction="none")
        return {"natural": cross_entropy, "robust": self.beta * kl_divergence(natural, noised)}


@dataclass(frozen=True)
class GaussianNoise:
    """In place of an attack. It looks at no model and knows no ball."""

    sigma: float
    clip: bool

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        return with_noise(x, self.sigma, self.clip, generator)
