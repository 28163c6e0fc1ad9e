"""LBGAT without a second network: the classifier teaches itself, by its natural images. A design of ours."""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from robustlens.attacks.pgd import PGD
from robustlens.learning.learner import Learner
from robustlens.learning.method import Batch, Build, Method
from robustlens.methods.lbgat import squared_distance
from robustlens.models.split_batchnorm import ADVERSARIAL, natural_batchnorm, ordinary, split
from robustlens.parameters import Flag, OneOf


@dataclass(frozen=True)
class SharedLbgat(Method):
    """(1/B) sum_i [ CE(g(x_i), y_i) + ||f(x*_i) - g(x_i)||^2 / K ], x* as in TRADES on f.

    LBGAT with beta 0, where f and g share their weights. It takes apart what a separate teacher avoids: gradients in
    conflict, and BatchNorm statistics of two kinds of images.

    batchnorm: with `shared`, g is f, and the passes f(x*), f(x) both go into the same statistics: half of them are of
        natural images, as in LBGAT's classifier. With `split`, the passes are f(x*), g(x), where g is f with BatchNorms
        of its own (Xie et al. 2020): they see natural images alone, and those of f adversarial ones alone. Attacks,
        tracking and evaluations are on f.
    stop_gradient: the squares have no gradient through g(x), so that f(x*) is drawn towards g(x), and not the reverse.
    """

    batchnorm: OneOf("shared", "split") = "shared"
    stop_gradient: Flag = False

    def network(self, build: Build) -> nn.Module:
        return split(build()) if self.batchnorm == "split" else build()

    def deployed(self, learner: Learner) -> nn.Module:
        return ordinary(learner.network, ADVERSARIAL) if self.batchnorm == "split" else learner.network

    def attack(self, steps: int) -> PGD:
        return PGD(steps=steps, loss="kl", start="gaussian")

    def loss(self, learner: Learner, batch: Batch) -> dict[str, Tensor]:
        adversarial = learner(batch.x_adv)
        with natural_batchnorm(learner.network):  # there is none with `shared`
            taught = learner(batch.x)
        target = taught.detach() if self.stop_gradient else taught
        return {
            "teacher": F.cross_entropy(taught, batch.y, reduction="none"),
            "distance": squared_distance(adversarial, target),
        }
