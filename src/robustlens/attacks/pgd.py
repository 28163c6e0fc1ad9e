"""Projected gradient descent (Madry et al. 2018) on a chosen loss; one step from the image itself is FGSM."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from robustlens.attacks.threat import Threat
from robustlens.errors import RobustlensError
from robustlens.parameters import Flag, OneOf, PositiveInt

Model = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PGD:
    """PGD with the threat's step size (or with one step of length epsilon for `steps: 1`, which is FGSM).

    loss: `ce` climbs the cross-entropy of y; `kl` climbs KL(p(.|x) || p(.|x_adv)), the attack of TRADES, which
        needs no label. The natural softmax of `kl` does not change during the attack and is computed once.
    targeted: every image is led to another class, drawn at random, by descending the cross-entropy of that class.
    start: `uniform` in the ball, `gaussian` x + 0.001 N(0, 1) as in TRADES, or `image` for x itself.
    """

    steps: PositiveInt = 20
    loss: OneOf("ce", "kl") = "ce"
    start: OneOf("uniform", "gaussian", "image") = "uniform"
    targeted: Flag = False

    def __post_init__(self):
        if self.loss == "kl" and self.start == "image":
            raise RobustlensError("pgd: loss kl can't start from the image, where its gradient is zero; use gaussian")
        if self.loss == "kl" and self.targeted:
            raise RobustlensError("pgd: loss kl has no label that it could lead to; use loss ce for a targeted attack")

    def __call__(self, model: Model, x: Tensor, y: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        """x_adv of the shape of x (B, C, H, W), inside the ball and [0, 1]; the model's parameters get no gradient."""
        step_size = threat.epsilon if self.steps == 1 else threat.step_size
        if self.loss == "kl":
            with torch.no_grad():
                p = F.softmax(model(x), dim=1)

        x_adv = self._start(x, threat, generator)
        goal, uphill = (self._targets(model, x, y, generator), -1.0) if self.targeted else (y, 1.0)
        for _ in range(self.steps):
            x_adv.requires_grad_(True)
            with torch.enable_grad():
                logits = model(x_adv)
                if self.loss == "kl":
                    loss = -(p * F.log_softmax(logits, dim=1)).sum()  # the KL, but for the constant entropy of p
                else:
                    loss = uphill * F.cross_entropy(logits, goal, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x_adv)
            x_adv = threat.project(threat.ascend(x_adv.detach(), gradient, step_size), x)
        return x_adv

    @staticmethod
    def _targets(model: Model, x: Tensor, y: Tensor, generator: torch.Generator) -> Tensor:
        """For each image one of the classes that it is not of, all of them equally likely."""
        with torch.no_grad():
            classes = model(x[:1]).shape[1]
        return (y + torch.randint(1, classes, y.shape, generator=generator, device=y.device)) % classes

    def _start(self, x: Tensor, threat: Threat, generator: torch.Generator) -> Tensor:
        if self.start == "uniform":
            return threat.random_point(x, generator)
        if self.start == "gaussian":
            return x + 0.001 * torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype)
        return x.clone()
