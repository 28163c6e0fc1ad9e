"""PGD on the squared distance of probabilities, the training attack of SCORE (Pang et al. 2022)."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.pgd import Model
from robustlens.attacks.threat import Threat
from robustlens.parameters import OneOf, PositiveInt


@dataclass(frozen=True)
class SquaredPGD:
    """PGD that climbs sum_k (q_k - t_k)^2, where q is the softmax of x*.

    target: with `label`, t is 1 for the class y and 0 for the others, and the start is uniform in the ball. With
        `natural`, t is the softmax of x, computed once, and the start x + 0.001 N(0, 1), cut to the ball and to [0, 1].
    """

    steps: PositiveInt = 20
    target: OneOf("label", "natural") = "label"

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]; the model's parameters get no gradient."""
        step_size = threat.epsilon if self.steps == 1 else threat.step_size  # as PGD
        if self.target == "natural":
            with torch.no_grad():
                p = F.softmax(model(x), dim=1)

        x_adv = self._start(x, threat, generator)
        for _ in range(self.steps):
            x_adv.requires_grad_(True)
            with torch.enable_grad():
                q = F.softmax(model(x_adv), dim=1)
                distances = squared_distance(q, p if self.target == "natural" else F.one_hot(y, q.shape[1]))
            (gradient,) = torch.autograd.grad(distances.sum(), x_adv)
            x_adv = threat.project(threat.ascend(x_adv.detach(), gradient, step_size), x)
        return x_adv

    def _start(self, x: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        if self.target == "label":
            return threat.random_point(x, generator)
        noise = torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return threat.project(x + 0.001 * noise, x)


def squared_distance(p: Tensor, q: Tensor) -> Tensor:
    """sum_k (p_k - q_k)^2 of probabilities (B, K): (B,), between 0 and 2."""
    return (p - q).square().sum(dim=1)
